#include <algorithm>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr Field<Subset> kSubset[] = {
    {"name",
     [](const Value& value, Subset& out) {
         if (const auto name = value.nonempty()) {
             const std::string problem = check_label(*name);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.name = *name;
         }
     }},
    {"labels", [](const Value& value, Subset& out) { read_labels(value, out.labels); }},
    {"trafficPolicy", [](const Value& value, Subset& out) { read_traffic_policy(value, out.policy); }},
};

void read_subsets(const Value& list, DestinationRule& out) {
    read_list(list, kMostCompared, [&](const Value& value) {
        Subset subset;
        subset.place = value.place();
        if (!read_fields(value, kSubset, subset)) {
            return;
        }
        if (!value.has("name")) {
            value.missing("name", "the name that routes use");
        } else if (std::ranges::find(out.subsets, subset.name, &Subset::name) != out.subsets.end()) {
            value.error("found a second subset " + quoted(subset.name) + "; every name is allowed once");
        }
        out.subsets.push_back(std::move(subset));
    });
    out.subsets.shrink_to_fit();
}

constexpr Field<DestinationRule> kDestinationRule[] = {
    {"host",
     [](const Value& value, DestinationRule& out) {
         if (const auto host = value.nonempty()) {
             const std::string problem = check_wildcard_host(*host, true);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.host = *host;
             out.host_place = value.place();
         }
     }},
    {"trafficPolicy", [](const Value& value, DestinationRule& out) { read_traffic_policy(value, out.policy); }},
    {"subsets", read_subsets},
    {"exportTo", [](const Value& value, DestinationRule& out) { read_export_to(value, out.export_to); }},
    {"workloadSelector", nullptr, "a rule applies to all clients that it is exported to; use exportTo"},
};

}  // namespace

void read_destination_rule(const Value& spec, DestinationRule& out) {
    if (read_fields(spec, kDestinationRule, out) && !spec.has("host")) {
        spec.missing("host", "the service's host name");
    }
}

}  // namespace sluice::config
