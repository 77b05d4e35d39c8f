#include "verify/dialled.h"

#include <algorithm>

#include "base/ip.h"
#include "model/names.h"

namespace sluice::verify {

namespace {

using model::ServicePortPtr;

// What clients of `ns` see of these: their own view of a service port stands in for what all see.
std::vector<ServicePortPtr> seen_by(const std::vector<ServicePortPtr>& all, const std::string& ns) {
    std::vector<ServicePortPtr> seen;
    for (const ServicePortPtr& port : all) {
        if (port->scope == ns || (port->scope.empty() && std::ranges::none_of(all, [&](const ServicePortPtr& other) {
                                      return !ns.empty() && other->scope == ns && other->host == port->host &&
                                             other->port == port->port;
                                  }))) {
            seen.push_back(port);
        }
    }
    return seen;
}

std::string listed(const std::vector<ServicePortPtr>& ports) {
    constexpr std::size_t kShown = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(ports.size(), kShown); ++i) {
        text += (i == 0 ? "" : ", ") + ports[i]->host + ":" + std::to_string(ports[i]->port);
    }
    return ports.size() > kShown ? text + ", …" : text;
}

}  // namespace

DialledIndex::DialledIndex(const std::map<model::ServicePortKey, ServicePortPtr>& services) {
    for (const auto& [key, port] : services) {
        const std::string host = model::canonical_host(port->host);
        if (host.starts_with('*')) {
            wildcards_[host.substr(1)].push_back(port);
            continue;
        }
        exact_[host].push_back(port);
        for (const IpAddress& address : port->addresses) {
            exact_[address.text()].push_back(port);
        }
        for (std::size_t dot = host.find('.'); dot != std::string::npos; dot = host.find('.', dot + 1)) {
            prefix_[host.substr(0, dot)].push_back(port);
        }
    }
}

std::vector<ServicePortPtr> DialledIndex::candidates(std::string_view name, const std::string& ns) const {
    const auto look = [&](const auto& map, const std::string& key) {
        const auto it = map.find(key);
        return it == map.end() ? Ports() : seen_by(it->second, ns);
    };
    const std::string host = model::canonical_host(name);
    const bool bare = host.find('.') == std::string::npos;
    if (Ports own = bare ? look(exact_, model::cluster_host(host, ns)) : Ports(); !own.empty()) {
        return own;
    }
    if (Ports found = look(exact_, host); !found.empty()) {
        return found;
    }
    if (const auto address = IpAddress::parse(host)) {
        return look(exact_, address->text());
    }
    for (std::size_t at = 1; at < host.size(); ++at) {
        if (Ports found = look(wildcards_, host.substr(at)); !found.empty()) {
            return found;
        }
    }
    return look(prefix_, host);
}

Result<ServicePortPtr> DialledIndex::find(std::string_view name, std::uint16_t port, const std::string& ns) const {
    const std::string asked = "'" + std::string(name) + "'";
    Ports found = candidates(name, ns);
    if (found.empty()) {
        return fail("no service " + asked + " for clients of namespace " + ns);
    }
    const Ports all = found;
    if (port != 0) {
        std::erase_if(found, [&](const ServicePortPtr& each) { return each->port != port; });
        if (found.empty()) {
            return fail(asked + " has no port " + std::to_string(port) + "; it has " + listed(all));
        }
    }
    if (std::ranges::any_of(found, [&](const ServicePortPtr& each) { return each->host != found.front()->host; })) {
        return fail(asked + " means several services: " + listed(found));
    }
    if (found.size() > 1) {
        std::erase_if(found, [](const ServicePortPtr& each) { return !config::is_http(each->protocol); });
    }
    if (found.size() != 1) {
        return fail(asked + " has several ports, one must be given: " + listed(all));
    }
    return found.front();
}

}  // namespace sluice::verify
