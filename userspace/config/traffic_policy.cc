#include "config/kinds.h"

namespace sluice::config {

namespace {

constexpr Field<OutlierDetection> kOutlier[] = {
    {"consecutive5xxErrors", [](const Value& value, OutlierDetection& out) { out.consecutive_5xx = value.u32(); }},
    {"consecutiveGatewayErrors",
     [](const Value& value, OutlierDetection& out) { out.consecutive_gateway = value.u32(); }},
    {"splitExternalLocalOriginErrors",
     [](const Value& value, OutlierDetection& out) { out.split_local_origin = value.boolean().value_or(false); }},
    {"consecutiveLocalOriginFailures",
     [](const Value& value, OutlierDetection& out) { out.consecutive_local = value.u32(); }},
    {"interval",
     [](const Value& value, OutlierDetection& out) { out.interval = value.duration().value_or(out.interval); }},
    {"baseEjectionTime",
     [](const Value& value, OutlierDetection& out) {
         out.base_ejection = value.duration().value_or(out.base_ejection);
     }},
    {"maxEjectionPercent",
     [](const Value& value, OutlierDetection& out) {
         const auto percent = value.integer(0, 100);
         if (percent && *percent > 0) {  // 0 is unset, as in Istio
             out.max_ejection_percent = static_cast<std::uint32_t>(*percent);
         }
     }},
    {"minHealthPercent",
     [](const Value& value, OutlierDetection& out) {
         out.min_health_percent = static_cast<std::uint32_t>(value.integer(0, 100).value_or(0));
     }},
    {"consecutiveErrors",
     [](const Value& value, OutlierDetection&) {
         if (value.integer(-0x80000000LL, 0x7fffffff)) {
             value.warning(
                 "is deprecated and ignored, as in Istio; use consecutive5xxErrors or "
                 "consecutiveGatewayErrors");
         }
     }},
    {"outlierDetectionHttpErrorCodes", nullptr, "an answer has failed when its status is 5xx"},
};

void read_outlier(const Value& value, PolicyBlocks& out) {
    OutlierDetection outlier;
    outlier.place = value.key_place();
    if (read_fields(value, kOutlier, outlier) && value.has("consecutiveLocalOriginFailures") &&
        !outlier.split_local_origin) {
        value.each_field([](const Value& field) {
            if (field.key() == "consecutiveLocalOriginFailures") {
                field.error_at_key("needs splitExternalLocalOriginErrors: true beside it");
            }
        });
    }
    out.outlier = outlier;
}

struct PortPolicy {
    std::uint16_t number = 0;
    PolicyBlocks blocks;
};

constexpr Field<PortPolicy> kPortNumber[] = {
    {"number", [](const Value& value, PortPolicy& out) { out.number = value.port().value_or(0); }},
};

constexpr const char* kTlsAdvice = "TLS between workloads comes with a later release";

constexpr Field<PortPolicy> kPortPolicy[] = {
    {"port",
     [](const Value& value, PortPolicy& out) {
         if (read_fields(value, kPortNumber, out) && !value.has("number")) {
             value.missing("number", "a port from 1 to 65535");
         }
     }},
    {"loadBalancer", [](const Value& value, PortPolicy& out) { read_load_balancer(value, out.blocks.load_balancer); }},
    {"connectionPool",
     [](const Value& value, PortPolicy& out) { read_connection_pool(value, out.blocks.connection_pool); }},
    {"outlierDetection", [](const Value& value, PortPolicy& out) { read_outlier(value, out.blocks); }},
    {"tls", nullptr, kTlsAdvice},
};

void read_port_policies(const Value& list, TrafficPolicy& out) {
    read_list(list, [&](const Value& value) {
        PortPolicy policy;
        if (!read_fields(value, kPortPolicy, policy)) {
            return;
        }
        if (!value.has("port")) {
            value.missing("port", "a mapping with the port's number");
        } else if (policy.number != 0 && !out.port_level.emplace(policy.number, std::move(policy.blocks)).second) {
            value.error("found a second entry for port " + std::to_string(policy.number) +
                        "; every port is allowed once");
        }
    });
}

constexpr Field<TrafficPolicy> kTrafficPolicy[] = {
    {"loadBalancer",
     [](const Value& value, TrafficPolicy& out) { read_load_balancer(value, out.blocks.load_balancer); }},
    {"connectionPool",
     [](const Value& value, TrafficPolicy& out) { read_connection_pool(value, out.blocks.connection_pool); }},
    {"outlierDetection", [](const Value& value, TrafficPolicy& out) { read_outlier(value, out.blocks); }},
    {"portLevelSettings", read_port_policies},
    {"tls", nullptr, kTlsAdvice},
    {"tunnel", nullptr, "connections to endpoints are plain TCP"},
    {"proxyProtocol", nullptr, "connections to endpoints begin with the client's own bytes"},
    {"retryBudget", nullptr, "connectionPool.http.maxRetries limits the retries at once"},
};

}  // namespace

void read_traffic_policy(const Value& value, Boxed<TrafficPolicy>& out) {
    read_fields(value, kTrafficPolicy, out.emplace());
}

}  // namespace sluice::config
