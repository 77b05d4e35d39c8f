#include "proxy/table_index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <functional>

#include "base/ip.h"

namespace sluice::proxy {

namespace {

constexpr std::string_view kServices = ".svc.cluster.local";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

}  // namespace

std::size_t HostIndex::Hash::operator()(const KeyView& key) const {
    return XXH3_64bits_withSeed(key.name.data(), key.name.size(), key.port);
}

void HostIndex::put(Map& map, std::string name, std::uint16_t port, const std::string& scope, const VirtualHost& host,
                    Claim claim) {
    Entry& entry = map[Key{std::move(name), port}];
    const auto it = std::ranges::find(entry, scope, &Seen::scope);
    if (it == entry.end()) {
        entry.insert(scope.empty() ? entry.end() : entry.begin(), Seen{scope, &host, claim});
    } else if (it->claim < claim) {
        it->host = &host;
        it->claim = claim;
    }
}

void HostIndex::add(const VirtualHost& host) {
    const model::ServicePort& service = *host.port;
    const HostName lowered(service.host);
    const std::string name(lowered.name);
    const std::string& scope = service.scope;
    if (name.starts_with('*')) {
        put(wildcards_, name.substr(1), service.port, scope, host, Claim::kExact);
        const auto at = std::ranges::lower_bound(lengths_, name.size() - 1, std::greater());
        if (at == lengths_.end() || *at != name.size() - 1) {
            lengths_.insert(at, name.size() - 1);
        }
        return;
    }
    put(names_, name, service.port, scope, host, Claim::kExact);
    for (const IpAddress& address : service.addresses) {
        put(names_, address.text(), service.port, scope, host, Claim::kExact);
    }
    const std::string_view head = name.ends_with(kServices)
                                      ? std::string_view(name).substr(0, name.size() - kServices.size())
                                      : std::string_view();
    const std::size_t dot = head.find('.');
    if (dot == std::string_view::npos || dot == 0 || head.find('.', dot + 1) != std::string_view::npos) {
        return;
    }
    put(names_, std::string(head), service.port, scope, host, Claim::kAlias);
    put(names_, std::string(head) + ".svc", service.port, scope, host, Claim::kAlias);
    // The bare name is the client's namespace's own service.
    const std::string ns(head.substr(dot + 1));
    if (scope.empty() || scope == ns) {
        put(names_, std::string(head.substr(0, dot)), service.port, ns, host,
            scope.empty() ? Claim::kBareName : Claim::kBareNameOfScope);
    }
}

const VirtualHost* HostIndex::look(const Map& map, std::string_view scope, std::string_view name, std::uint16_t port) {
    const auto it = map.find(KeyView{name, port});
    if (it == map.end()) {
        return nullptr;
    }
    for (const Seen& seen : it->second) {
        if (seen.scope.empty() || seen.scope == scope) {
            return seen.host;
        }
    }
    return nullptr;
}

const VirtualHost* HostIndex::find(std::string_view scope, std::string_view name, std::uint16_t port) const {
    if (const VirtualHost* host = look(names_, scope, name, port)) {
        return host;
    }
    for (const std::size_t length : lengths_) {
        if (length < name.size()) {
            if (const VirtualHost* host = look(wildcards_, scope, name.substr(name.size() - length), port)) {
                return host;
            }
        }
    }
    return nullptr;
}

HostName::HostName(std::string_view authority) {
    const bool bracket = authority.starts_with('[');
    const std::size_t end = bracket ? authority.find(']') : authority.find(':');
    std::string_view host = authority.substr(bracket ? 1 : 0, end == std::string_view::npos ? end : end - bracket);
    if (!bracket && host.size() > 1 && host.ends_with('.')) {
        host.remove_suffix(1);
    }
    if (host.size() > sizeof(buffer)) {
        return;
    }
    name = {buffer, static_cast<std::size_t>(std::ranges::transform(host, buffer, lower).out - buffer)};
    if (bracket) {
        const std::optional<IpAddress> address = IpAddress::parse(host);
        const std::string text = address ? address->text() : std::string();
        name = {buffer, static_cast<std::size_t>(std::ranges::copy(text, buffer).out - buffer)};
    }
}

}  // namespace sluice::proxy
