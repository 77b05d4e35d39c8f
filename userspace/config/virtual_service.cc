#include <algorithm>
#include <cctype>

#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

// "*.example.com" covers "a.example.com".
bool covers(std::string_view wildcard, std::string_view host) {
    return wildcard.starts_with('*') && host != wildcard && host.ends_with(wildcard.substr(1));
}

void read_gateways(const Value& list, VirtualService&) {
    read_list(list, [](const Value& value) {
        const auto name = value.nonempty();
        if (name && *name != "mesh") {
            value.wrong("gateways are not supported yet; allowed: \"mesh\", which means all clients in the mesh");
        }
    });
}

// As in Istio, what stands behind a rule that takes everything is accepted.
void warn_unreached(const Value& list, const std::vector<WeightedRule>& rules) {
    const auto last = std::ranges::find_if(rules, [](const WeightedRule& rule) { return catches_all(rule); });
    std::ptrdiff_t index = 0;
    list.each_element([&](const Value& value) {
        if (index++ == last - rules.begin() + 1) {
            value.warning("is never reached, nor is what follows: the rule at line " +
                          std::to_string(last->place.line) + " takes all that comes");
        }
    });
}

template <typename Read>
void read_rules(const Value& list, std::vector<WeightedRule>& out, Read read) {
    if (list.is_seq() && list.is_empty()) {
        list.wrong("a list of at least one rule is needed");
    }
    const std::size_t problems = list.scope().report.errors();
    read_list(list, [&](const Value& value) {
        WeightedRule rule;
        rule.place = value.place();
        read(value, rule);
        rule.destinations.shrink_to_fit();
        out.push_back(std::move(rule));
    });
    out.shrink_to_fit();
    if (list.scope().report.errors() == problems) {
        warn_unreached(list, out);
    }
}

constexpr Field<VirtualService> kVirtualService[] = {
    {"hosts", [](const Value& value, VirtualService& out) { read_hosts(value, false, out.hosts, out.host_places); }},
    {"http", [](const Value& value, VirtualService& out) { read_rules(value, out.http, read_http_rule); }},
    {"tcp", [](const Value& value, VirtualService& out) { read_rules(value, out.tcp, read_tcp_rule); }},
    {"exportTo", [](const Value& value, VirtualService& out) { read_export_to(value, out.export_to); }},
    {"gateways", read_gateways},
    {"tls", nullptr, "routing by SNI needs the proxy lane; a tcp route without match carries TLS ports too"},
};

}  // namespace

void read_hosts(const Value& list, bool lone_star, std::vector<std::string>& hosts, std::vector<Place>& places) {
    if (list.is_seq() && list.is_empty()) {
        list.wrong("a list of at least one host is needed");
    }
    read_list(list, kMostCompared, [&](const Value& value) {
        const auto host = value.nonempty();
        if (!host) {
            return;
        }
        const std::string problem = check_wildcard_host(*host, lone_star);
        if (!problem.empty()) {
            value.wrong(problem);
            return;
        }
        for (const std::string& other : hosts) {
            const std::string a = lower(other);
            const std::string b = lower(*host);
            if (a == b || covers(a, b) || covers(b, a)) {
                value.wrong(a == b ? "every host is named once"
                                   : "it overlaps with " + quoted(other) + "; every host is named once");
                return;
            }
        }
        hosts.emplace_back(*host);
        places.push_back(value.place());
    });
    hosts.shrink_to_fit();
    places.shrink_to_fit();
}

void read_virtual_service(const Value& spec, VirtualService& out) {
    if (!read_fields(spec, kVirtualService, out)) {
        return;
    }
    if (!spec.has("hosts")) {
        spec.missing("hosts", "at least one host (a delegate, without hosts, is not supported yet)");
    }
    if (!spec.has("http") && !spec.has("tcp") && !spec.has("tls")) {
        spec.missing("http", "http or tcp with at least one rule");
    }
}

}  // namespace sluice::config
