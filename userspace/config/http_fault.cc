// Faults, and the percentages that they share with mirrors.
#include <array>
#include <cmath>

#include "config/http.h"

namespace sluice::config {

namespace {

constexpr Millionths kPercent = kAlways / 100;

// `percentage` wins over the deprecated `percent`.
struct Share {
    std::optional<Millionths> percentage, percent;

    // Says so where neither is given and nothing is wrong: Istio's default is nothing.
    Millionths of(const Value& fault, std::size_t problems) const {
        if (!percentage && !percent && fault.scope().report.errors() == problems) {
            fault.warning("has no effect: without a percentage no request is hit, as in Istio");
        }
        return percentage.value_or(percent.value_or(0));
    }
};

struct Delay {
    Fault::Delay out;
    Share share;
};

constexpr Field<Delay> kDelay[] = {
    {"fixedDelay", [](const Value& value,
                      Delay& delay) { delay.out.duration = value.duration().value_or(std::chrono::nanoseconds(0)); }},
    {"percentage", [](const Value& value, Delay& delay) { read_percentage(value, delay.share.percentage); }},
    {"percent", [](const Value& value, Delay& delay) { read_percent(value, delay.share.percent); }},
    {"exponentialDelay", nullptr, "Istio refuses it too; use fixedDelay"},
};

struct Abort {
    Fault::Abort out;
    Share share;
};

void read_grpc_status(const Value& value, Abort& abort) {
    // By number.
    static constexpr std::array<std::string_view, 17> kNames{
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    if (const auto index = value.one_of(kNames)) {
        abort.out.grpc_status = static_cast<int>(*index);
    }
}

constexpr Field<Abort> kAbort[] = {
    {"httpStatus",
     [](const Value& value, Abort& abort) {
         abort.out.status = static_cast<std::uint16_t>(value.integer(200, 599).value_or(0));
     }},
    {"grpcStatus", read_grpc_status},
    {"percentage", [](const Value& value, Abort& abort) { read_percentage(value, abort.share.percentage); }},
    {"percent", [](const Value& value, Abort& abort) { read_percent(value, abort.share.percent); }},
    {"http2Error", nullptr, "Istio refuses it too; use httpStatus or grpcStatus"},
};

constexpr Field<Fault> kFault[] = {
    {"delay",
     [](const Value& value, Fault& fault) {
         Delay delay;
         const std::size_t problems = value.scope().report.errors();
         if (!read_fields(value, kDelay, delay)) {
             return;
         }
         if (!value.has("fixedDelay") && !value.has("exponentialDelay")) {
             value.missing("fixedDelay", "a duration of at least 1ms");
         }
         delay.out.share = delay.share.of(value, problems);
         fault.delay = delay.out;
     }},
    {"abort",
     [](const Value& value, Fault& fault) {
         Abort abort;
         const std::size_t problems = value.scope().report.errors();
         if (!read_fields(value, kAbort, abort)) {
             return;
         }
         if (!value.has("http2Error") && value.has("httpStatus") == value.has("grpcStatus")) {
             value.error_at_key("one of httpStatus and grpcStatus is needed");
         }
         abort.out.share = abort.share.of(value, problems);
         fault.abort = abort.out;
     }},
};

}  // namespace

void read_percentage(const Value& value, std::optional<Millionths>& out) {
    static constexpr Field<double> kPercentage[] = {
        {"value", [](const Value& number, double& percent) { percent = number.number(0, 100).value_or(0); }}};
    double percent = 0;
    read_fields(value, kPercentage, percent);
    if (percent > 0 && percent < 0.0001) {
        value.each_field([](const Value& number) { number.wrong("0, or a percentage from 0.0001 to 100, is needed"); });
    }
    // Envoy's fractions cut what is below a millionth; what is nearly the next one was written in decimals as that one.
    out = static_cast<Millionths>(std::floor(percent * kPercent + 1e-6));
}

void read_percent(const Value& value, std::optional<Millionths>& out) {
    if (const auto percent = value.integer(0, 100)) {
        out = static_cast<Millionths>(*percent) * kPercent;
        value.warning("is deprecated; write " + std::string(value.key()) + "age: {value: " + std::to_string(*percent) +
                      "}");
    }
}

void read_fault(const Value& value, std::optional<Fault>& out) {
    if (read_fields(value, kFault, out.emplace()) && !value.has("delay") && !value.has("abort")) {
        value.error_at_key("at least one of delay and abort is needed");
    }
}

}  // namespace sluice::config
