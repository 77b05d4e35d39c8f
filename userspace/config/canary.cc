// The policy of our own that moves a rule's weights step by step.
#include "config/canary.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"
#include "config/scalar.h"

namespace sluice::config {

namespace {

constexpr std::chrono::nanoseconds kShortestInterval = std::chrono::milliseconds(100);

std::string read_subset(const Value& value) {
    const auto name = value.nonempty();
    const std::string problem = name ? check_label(*name) : "";
    if (!problem.empty()) {
        value.wrong(problem);
    }
    return std::string(name.value_or(""));
}

// ---- stages
constexpr Field<Canary::Mirror> kMirror[] = {
    {"percentage",
     [](const Value& value, Canary::Mirror& out) {
         const auto percent = value.number(0, 100);
         out.share = static_cast<std::uint32_t>(percent.value_or(100) * 10'000 + 0.5);
         if (percent && out.share == 0) {
             value.wrong("a number from 0.0001 to 100 is needed");
         }
     }},
    {"hold", [](const Value& value, Canary::Mirror& out) { out.hold = value.duration().value_or(out.hold); }},
};

void read_mirror(const Value& value, Canary& out) {
    out.mirror = Canary::Mirror{};
    if (read_fields(value, kMirror, *out.mirror) && !value.has("hold")) {
        value.missing("hold", "how long copies are looked at, such as 5m");
    }
}

constexpr Field<Canary::Stage> kStage[] = {
    {"weight", [](const Value& value,
                  Canary::Stage& out) { out.weight = static_cast<std::uint32_t>(value.integer(1, 100).value_or(0)); }},
    {"hold", [](const Value& value, Canary::Stage& out) { out.hold = value.duration().value_or(out.hold); }},
};

void read_stages(const Value& list, Canary& out) {
    std::uint32_t highest = 0;
    read_list(list, 100, [&](const Value& value) {
        Canary::Stage stage;
        if (!read_fields(value, kStage, stage)) {
            return;
        }
        if (!value.has("weight")) {
            value.missing("weight", "the challenger's percentage, from 1 to 100");
        } else if (stage.weight != 0 && stage.weight <= highest) {
            value.error("found the weight " + std::to_string(stage.weight) + " after " + std::to_string(highest) +
                        "; each stage must have a higher one than the stage before it");
        }
        highest = std::max(highest, stage.weight);
        if (stage.weight != 100 && !value.has("hold")) {
            value.missing("hold", "how long the stage is looked at, such as 10m");
        } else if (stage.weight == 100 && value.has("hold")) {
            value.error(
                "weight 100 ends the canary: the champion then gets no request to compare with, so there is "
                "nothing to hold for; hold the stage before it");
        }
        out.stages.push_back(stage);
    });
    if (list.is_seq() && list.is_empty()) {
        list.wrong("at least one stage is needed");
    }
}

// ---- internal
nlohmann::ordered_json json_of(const Value& value) {
    using Json = nlohmann::ordered_json;
    if (value.is_map()) {
        Json out = Json::object();
        value.each_field([&](const Value& field) { out[std::string(field.key())] = json_of(field); });
        return out;
    }
    if (value.is_seq()) {
        Json out = Json::array();
        value.each_element([&](const Value& element) { out.push_back(json_of(element)); });
        return out;
    }
    const Scalar kind = value.node().plain ? classify(value.text()) : Scalar::kText;
    if (kind == Scalar::kNull) {
        return nullptr;
    }
    if (kind == Scalar::kBool) {
        return value.text()[0] == 't' || value.text()[0] == 'T';
    }
    if (kind == Scalar::kInteger) {
        if (const auto number = parse_integer(value.text())) {
            return *number;
        }
    }
    return std::string(value.text());
}

void read_internal(const Value& list, Canary& out) {
    out.internal_place = list.key_place();
    auto http = std::make_shared<HttpRule>();
    const std::size_t problems = list.scope().report.errors();
    read_http_matches(list, http->matches);
    if (list.is_seq() && list.is_empty()) {
        list.wrong("say who is internal, or leave it out");
    }
    if (list.scope().report.errors() != problems) {
        return;
    }
    WeightedRule rule;
    rule.http = std::move(http);
    if (catches_all(rule)) {
        list.error_at_key("matches every request, so that all would go to the challenger at once; say who is internal");
        return;
    }
    out.internal = json_of(list).dump();
}

// ---- the whole
constexpr Field<Canary> kCanary[] = {
    {"host",
     [](const Value& value, Canary& out) {
         const auto host = value.nonempty();
         const std::string problem = host ? check_host(*host) : "";
         if (!problem.empty()) {
             value.wrong(problem);
         }
         out.host = host.value_or("");
         out.host_place = value.place();
     }},
    {"route",
     [](const Value& value, Canary& out) {
         out.route = value.nonempty().value_or("");
         out.route_place = value.place();
     }},
    {"champion",
     [](const Value& value, Canary& out) {
         out.champion = read_subset(value);
         out.champion_place = value.place();
     }},
    {"challenger",
     [](const Value& value, Canary& out) {
         out.challenger = read_subset(value);
         out.challenger_place = value.place();
     }},
    {"mirror", read_mirror},
    {"internal", read_internal},
    {"stages", read_stages},
    {"gates", read_gates},
    {"interval",
     [](const Value& value, Canary& out) {
         const auto interval = value.duration();
         if (interval && *interval < kShortestInterval) {
             value.wrong("at least 100ms is needed");
         }
         out.interval = interval.value_or(out.interval);
     }},
    {"minimumRequests",
     [](const Value& value, Canary& out) {
         out.minimum_requests = static_cast<std::uint64_t>(value.integer(1, 1'000'000'000).value_or(1));
     }},
    {"dataTimeout",
     [](const Value& value, Canary& out) { out.data_timeout = value.duration(true).value_or(out.data_timeout); }},
    {"confidence",
     [](const Value& value, Canary& out) { out.confidence = value.number(50, 99.999).value_or(95) / 100; }},
    {"prometheus", [](const Value& value, Canary& out) { out.prometheus = read_http_url(value); }},
    {"metrics",
     [](const Value& value, Canary& out) {
         static constexpr std::array<std::string_view, 2> kNames{"agent", "prometheus"};
         out.metrics_from_prometheus = value.one_of(kNames) == 1;
     }},
};

void check_prometheus(const Value& spec, const Canary& canary) {
    if (spec.has("prometheus")) {
        return;
    }
    constexpr const char* kUrl = "the URL of a Prometheus server, such as http://127.0.0.1:9090";
    const auto query = std::ranges::find(canary.gates, Gate::Kind::kQuery, &Gate::kind);
    if (query != canary.gates.end()) {
        spec.missing("prometheus", (std::string(kUrl) + ", which the gate " + query->name + " asks").c_str());
    } else if (canary.metrics_from_prometheus) {
        spec.missing("prometheus", (std::string(kUrl) + ", for metrics: prometheus").c_str());
    }
}

}  // namespace

void read_canary(const Value& spec, Canary& out) {
    out.place = spec.key_place();
    if (!read_fields(spec, kCanary, out)) {
        return;
    }
    constexpr std::array<std::pair<std::string_view, const char*>, 5> kRequired{{
        {"host", "the host of the VirtualService whose weights are moved"},
        {"champion", "the subset that serves now"},
        {"challenger", "the subset that shall take over"},
        {"stages", "at least one {weight, hold}"},
        {"gates", "at least one of errorRate, latency, query and webhook"},
    }};
    for (const auto& [field, allowed] : kRequired) {
        if (!spec.has(field)) {
            spec.missing(field, allowed);
        }
    }
    if (!out.champion.empty() && out.champion == out.challenger) {
        spec.scope().report.error(out.challenger_place, spec.path() + ".challenger",
                                  "is the champion too; a canary moves requests from one subset to another");
    }
    check_prometheus(spec, out);
}

}  // namespace sluice::config
