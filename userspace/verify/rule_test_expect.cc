#include "verify/rule_test_expect.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "config/http.h"
#include "config/report.h"
#include "http/writer.h"

namespace sluice::verify {

using config::Field;
using config::read_fields;
using config::read_list;
using config::Value;

void read_headers(const Value& map, Fields& out) {
    if (!map.expect_map()) {
        return;
    }
    map.each_field([&](const Value& value) {
        const std::string name(value.key());
        if (!http::field_name_ok(name)) {
            value.error_at_key("this is no name of a header field");
            return;
        }
        const auto add = [&](const Value& each) {
            const auto text = each.string();
            if (text && !http::field_value_ok(*text)) {
                each.wrong("a value without control characters is needed");
            }
            out.emplace_back(name, text.value_or(""));
        };
        if (value.is_seq()) {
            read_list(value, config::kMostCompared, add);
        } else {
            add(value);
        }
    });
}

namespace {

// Sums of percentages that people round.
constexpr double kRounding = 0.05;

std::string text_of(const Value& value) {
    return std::string(value.string().value_or(""));
}

template <std::optional<std::string> Expected::*Member>
void read_text(const Value& value, Expected& out) {
    out.*Member = text_of(value);
}

void read_subsets(const Value& map, Expected& out) {
    if (!map.expect_map()) {
        return;
    }
    auto& subsets = out.subsets.emplace();
    double sum = 0;
    map.each_field([&](const Value& value) {
        const double percent = value.number(0, 100).value_or(0);
        sum += percent;
        subsets.emplace_back(std::string(value.key()), percent / 100);
    });
    if (std::abs(sum - 100) > kRounding) {
        char shown[32];
        std::snprintf(shown, sizeof shown, "%g", sum);
        map.error_at_key(std::string("found percentages that add up to ") + shown + "; 100 is needed");
    }
}

void read_lane(const Value& value, Expected& out) {
    static constexpr std::array<std::string_view, 3> kLanes{"direct", "kernel", "proxy"};
    if (const auto lane = value.one_of(kLanes)) {
        out.lane = static_cast<model::Lane>(*lane);
    }
}

constexpr Field<ExpectedRetries> kRetries[] = {{"attempts"}, {"perTryTimeout"}, {"retryOn"}};

void read_retries(const Value& value, Expected& out) {
    ExpectedRetries unused;
    const std::size_t problems = value.scope().report.errors();
    if (!read_fields(value, kRetries, unused) || value.scope().report.errors() != problems) {
        return;
    }
    std::optional<config::Retries> read;
    config::read_retries(value, read);
    auto& retries = out.retries.emplace();
    retries.attempts = value.has("attempts") ? std::optional(read->attempts) : std::nullopt;
    retries.per_try_timeout = read->per_try_timeout;
    retries.on = read->on;
}

constexpr Field<Mirror> kMirror[] = {
    {"subset", [](const Value& value, Mirror& out) { out.name = std::string(value.nonempty().value_or("")); }},
    {"percentage", [](const Value& value, Mirror& out) { out.share = value.number(0, 100).value_or(100) / 100; }},
};

void read_mirrors(const Value& list, Expected& out) {
    auto& mirrors = out.mirrors.emplace();
    read_list(list, config::kMostCompared, [&](const Value& value) {
        if (read_fields(value, kMirror, mirrors.emplace_back()) && !value.has("subset")) {
            value.missing("subset", "the subset that gets the copies, or the host where there is none");
        }
    });
}

config::Millionths read_share(const Value& value) {
    return static_cast<config::Millionths>(value.number(0, 100).value_or(0) * config::kAlways / 100 + 0.5);
}

constexpr Field<config::Fault::Delay> kDelay[] = {
    {"fixedDelay",
     [](const Value& value, config::Fault::Delay& out) {
         out.duration = value.duration().value_or(std::chrono::nanoseconds(0));
     }},
    {"percentage", [](const Value& value, config::Fault::Delay& out) { out.share = read_share(value); }},
};
constexpr Field<config::Fault::Abort> kAbort[] = {
    {"httpStatus",
     [](const Value& value, config::Fault::Abort& out) {
         out.status = static_cast<std::uint16_t>(value.integer(200, 599).value_or(0));
     }},
    {"percentage", [](const Value& value, config::Fault::Abort& out) { out.share = read_share(value); }},
};
constexpr Field<config::Fault> kFault[] = {
    {"delay",
     [](const Value& value, config::Fault& out) {
         config::Fault::Delay delay{.duration = {}, .share = config::kAlways};
         read_fields(value, kDelay, delay);
         out.delay = delay;
     }},
    {"abort",
     [](const Value& value, config::Fault& out) {
         config::Fault::Abort abort{.status = 0, .grpc_status = {}, .share = config::kAlways};
         read_fields(value, kAbort, abort);
         out.abort = abort;
     }},
};

void read_removed(const Value& list, ExpectedFields& out) {
    read_list(list, config::kMostCompared, [&](const Value& value) {
        const auto name = value.nonempty();
        if (name && !http::field_name_ok(*name)) {
            value.wrong("a name of a header field is needed");
        }
        out.remove.emplace_back(name.value_or(""));
    });
}

constexpr Field<ExpectedFields> kFields[] = {
    {"set", [](const Value& value, ExpectedFields& out) { read_headers(value, out.set); }},
    {"add", [](const Value& value, ExpectedFields& out) { read_headers(value, out.add); }},
    {"remove", read_removed},
};
constexpr Field<Expected> kHeaders[] = {
    {"request", [](const Value& value, Expected& out) { read_fields(value, kFields, out.request); }},
    {"response", [](const Value& value, Expected& out) { read_fields(value, kFields, out.response); }},
};

constexpr Field<ExpectedExperiment> kExperiment[] = {
    {"name", [](const Value& value, ExpectedExperiment& out) { out.name = text_of(value); }},
    {"arm", [](const Value& value, ExpectedExperiment& out) { out.arm = text_of(value); }},
    {"bucket", [](const Value& value, ExpectedExperiment& out) { out.bucket = value.u32(); }},
};

constexpr Field<Expected> kExpect[] = {
    {"service", read_text<&Expected::service>},
    {"route", read_text<&Expected::route>},
    {"subset",
     [](const Value& value, Expected& out) {
         out.subsets = {{std::string(value.nonempty().value_or("")), 1.0}};
     }},
    {"subsets", read_subsets},
    {"lane", read_lane},
    {"status",
     [](const Value& value, Expected& out) { out.status = static_cast<int>(value.integer(100, 599).value_or(0)); }},
    {"location", read_text<&Expected::location>},
    {"target", read_text<&Expected::target>},
    {"headers", [](const Value& value, Expected& out) { read_fields(value, kHeaders, out); }},
    {"timeout", [](const Value& value, Expected& out) { out.timeout = value.duration(true); }},
    {"retries", read_retries},
    {"mirrors", read_mirrors},
    {"fault", [](const Value& value, Expected& out) { read_fields(value, kFault, out.fault.emplace()); }},
    {"experiment",
     [](const Value& value, Expected& out) { read_fields(value, kExperiment, out.experiment.emplace()); }},
    {"error", read_text<&Expected::error>},
};

void check_expected(const Value& value) {
    if (value.is_empty()) {
        value.error("found an empty mapping; at least one expectation is needed, or the test says nothing");
    }
    if (value.has("subset") && value.has("subsets")) {
        value.error_at_key("found subset and subsets; one of them is allowed");
    }
    if (value.has("error")) {
        std::size_t fields = 0;
        value.each_field([&](const Value& each) { fields += each.is_null() ? 0 : 1; });
        if (fields > 1) {
            value.error_at_key("found error beside others; a request that is refused has no other answer");
        }
    }
}

}  // namespace

void read_expected(const Value& value, Expected& out) {
    if (read_fields(value, kExpect, out)) {
        check_expected(value);
    }
}

}  // namespace sluice::verify
