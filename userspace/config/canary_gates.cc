// The gates of a canary.
#include <algorithm>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr std::size_t kMostGates = 64;
constexpr std::int64_t kMostFailures = 100;
constexpr std::chrono::nanoseconds kLongestTimeout = std::chrono::minutes(1);
constexpr double kWidest = 1e300;  // of bounds in a query's own unit

double seconds(std::chrono::nanoseconds duration) {
    return std::chrono::duration<double>(duration).count();
}

// A percentage, as a part of 1.
std::optional<double> part(const Value& value, double most) {
    const auto percent = value.number(0, most);
    return percent ? std::optional(*percent / 100) : std::nullopt;
}

void read_failures(const Value& value, Gate& gate) {
    gate.failures = static_cast<std::uint32_t>(value.integer(1, kMostFailures).value_or(1));
}

void read_timeout(const Value& value, Gate& gate) {
    const auto timeout = value.duration();
    if (timeout && *timeout > kLongestTimeout) {
        value.wrong("at most 1m is allowed");
    }
    gate.timeout = timeout.value_or(gate.timeout);
}

void needs_bound(const Value& value, const char* allowed) {
    if (!value.has("max") && !value.has("min") && !value.has("regression")) {
        value.error_at_key(std::string("a bound is needed: ") + allowed);
    }
}

// ---- gates
constexpr Field<Gate> kErrorRate[] = {
    {"max", [](const Value& value, Gate& gate) { gate.max = part(value, 100); }},
    {"regression", [](const Value& value, Gate& gate) { gate.regression = part(value, 100); }},
};

constexpr Field<Gate> kLatency[] = {
    {"quantile",
     [](const Value& value, Gate& gate) {
         const auto quantile = value.number(0, 100);
         if (quantile && (*quantile == 0 || *quantile == 100)) {
             value.wrong("a number between 0 and 100 is needed, such as 99");
         }
         gate.quantile = quantile.value_or(99) / 100;
     }},
    {"max",
     [](const Value& value, Gate& gate) {
         const auto duration = value.duration();
         gate.max = duration ? std::optional(seconds(*duration)) : std::nullopt;
     }},
    {"regression", [](const Value& value, Gate& gate) { gate.regression = part(value, 10'000); }},
    {"tolerance",
     [](const Value& value, Gate& gate) {
         const auto duration = value.duration();
         gate.tolerance = duration ? seconds(*duration) : 0;
     }},
};

constexpr Field<Gate> kQuery[] = {
    {"promql", [](const Value& value, Gate& gate) { gate.query = value.nonempty().value_or(""); }},
    {"championPromql", [](const Value& value, Gate& gate) { gate.champion_query = value.nonempty().value_or(""); }},
    {"versionLabel",
     [](const Value& value, Gate& gate) {
         const auto label = value.nonempty();
         const auto good = [](unsigned char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         };
         if (label && (!std::ranges::all_of(*label, good) || ((*label)[0] >= '0' && (*label)[0] <= '9'))) {
             value.wrong("the name of a label is letters, digits and _, and does not begin with a digit");
         }
         gate.version_label = label.value_or("");
     }},
    {"max", [](const Value& value, Gate& gate) { gate.max = value.number(-kWidest, kWidest); }},
    {"min", [](const Value& value, Gate& gate) { gate.min = value.number(-kWidest, kWidest); }},
    {"regression", [](const Value& value, Gate& gate) { gate.regression = part(value, 10'000); }},
    {"failures", read_failures},
    {"timeout", read_timeout},
};

void check_query(const Value& value, const Gate& gate) {
    const bool by_template = gate.query.find("{{version}}") != std::string::npos;
    if (!value.has("promql")) {
        value.missing("promql", "a query whose value is compared");
    }
    needs_bound(value, "max, min or regression");
    if (gate.max && gate.min && *gate.min > *gate.max) {
        value.error_at_key("min is above max, so that no value passes");
    }
    if (value.has("championPromql") && !value.has("regression")) {
        value.error_at_key("championPromql has no effect without regression: max and min are for the challenger");
    }
    if (value.has("versionLabel") && (by_template || value.has("championPromql"))) {
        value.error_at_key("versionLabel has no effect: each version has a query of its own");
    }
}

constexpr Field<Gate> kWebhook[] = {
    {"url", [](const Value& value, Gate& gate) { gate.url = read_http_url(value); }},
    {"timeout", read_timeout},
    {"failures", read_failures},
};

// A gate while it is read; the kind's check comes when all of its fields are there.
struct GateReader {
    Gate& out;
    int kinds = 0;

    void is(Gate::Kind kind, const char* name) {
        ++kinds;
        out.kind = kind;
        if (out.name.empty()) {
            out.name = name;
        }
    }
};

constexpr Field<GateReader> kGate[] = {
    {"name", nullptr},  // read first
    {"errorRate",
     [](const Value& value, GateReader& reader) {
         reader.is(Gate::Kind::kErrorRate, "errorRate");
         if (read_fields(value, kErrorRate, reader.out)) {
             needs_bound(value, "max (percent) or regression (percentage points)");
         }
     }},
    {"latency",
     [](const Value& value, GateReader& reader) {
         reader.is(Gate::Kind::kLatency, "latency");
         if (read_fields(value, kLatency, reader.out)) {
             needs_bound(value, "max (a duration) or regression (percent)");
             if (value.has("tolerance") && !value.has("regression")) {
                 value.error_at_key("tolerance has no effect without regression");
             }
         }
     }},
    {"query",
     [](const Value& value, GateReader& reader) {
         reader.is(Gate::Kind::kQuery, "query");
         if (read_fields(value, kQuery, reader.out)) {
             check_query(value, reader.out);
         }
     }},
    {"webhook",
     [](const Value& value, GateReader& reader) {
         reader.is(Gate::Kind::kWebhook, "webhook");
         if (read_fields(value, kWebhook, reader.out) && !value.has("url")) {
             value.missing("url", "what is asked");
         }
     }},
};

void read_gate_name(const Value& gate, Gate& out) {
    gate.each_field([&](const Value& value) {
        if (value.key() != "name" || value.is_null()) {
            return;
        }
        const auto name = value.nonempty();
        const auto good = [](unsigned char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        };
        if (name && (name->size() > 63 || !std::ranges::all_of(*name, good))) {
            value.wrong("a name of at most 63 letters, digits, - and _ is needed");
        }
        out.name = name.value_or("");
    });
}

}  // namespace

void read_gates(const Value& list, Canary& out) {
    read_list(list, kMostGates, [&](const Value& value) {
        Gate gate;
        gate.place = value.place();
        GateReader reader{gate};
        const std::size_t problems = value.scope().report.errors();
        if (!value.expect_map()) {
            return;
        }
        read_gate_name(value, gate);
        if (!read_fields(value, kGate, reader)) {
            return;
        }
        if (reader.kinds != 1) {
            if (value.scope().report.errors() == problems) {
                value.error("found " + std::to_string(reader.kinds) +
                            " kinds of gate; one of errorRate, latency, query and webhook is needed");
            }
            return;
        }
        if (std::ranges::any_of(out.gates, [&](const Gate& other) { return other.name == gate.name; })) {
            value.error("a gate before this one has the name " + gate.name + " too; give each a name of its own");
        }
        out.gates.push_back(std::move(gate));
    });
    if (list.is_seq() && list.is_empty()) {
        list.wrong("at least one gate is needed: without one nothing would stop a bad version");
    }
}

std::string read_http_url(const Value& value) {
    const auto url = value.nonempty();
    const std::string problem = url ? check_http_url(*url) : "";
    if (!problem.empty()) {
        value.wrong(problem);
    }
    return std::string(url.value_or(""));
}

}  // namespace sluice::config
