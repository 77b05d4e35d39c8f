#include "daemon/event_log.h"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::daemon {

namespace {

const char* ejection_text(std::uint32_t reason) {
    switch (reason) {
        case SL_EJECTION_5XX:
            return "consecutive failures (consecutive5xxErrors)";
        case SL_EJECTION_GATEWAY:
            return "consecutive failures (consecutiveGatewayErrors)";
        case SL_EJECTION_LOCAL_ORIGIN:
            return "consecutive failures (consecutiveLocalOriginFailures)";
        default:
            return "unknown reason";
    }
}

std::string endpoint_name(std::uint32_t number, const sl_tables& tables) {
    if (number >= tables.endpoint_count) {
        return "endpoint " + std::to_string(number);
    }
    const sl_endpoint& slot = tables.endpoints[number];
    IpAddress address;
    std::copy(std::begin(slot.address), std::end(slot.address), address.bytes.begin());
    return endpoint_text(address, __builtin_bswap16(slot.port));
}

}  // namespace

std::string event_text(const sl_event& event, const compile::Publisher& publisher) {
    model::ClusterPtr cluster = publisher.cluster(event.cluster);
    std::string of = cluster ? fmt::format("{}:{}{}{}", cluster->host, cluster->port,
                                           cluster->subset.empty() ? "" : " subset ", cluster->subset)
                             : fmt::format("cluster {}", event.cluster);
    std::string who = endpoint_name(event.endpoint, publisher.tables());
    if (event.kind == SL_EVENT_RETURNED) {
        return fmt::format("returned {} to {}", who, of);
    }
    double seconds = event.until_ns > event.time_ns ? static_cast<double>(event.until_ns - event.time_ns) / 1e9 : 0;
    return fmt::format("ejected {} from {} for {:.1f} s: {}", who, of, seconds, ejection_text(event.reason));
}

bool LogBudget::take(std::uint64_t now_ns) {
    if (last_ns_ != 0) {
        tokens_ = std::min(burst_, tokens_ + static_cast<double>(now_ns - last_ns_) / 1e9 * per_second_);
    }
    last_ns_ = now_ns;
    if (tokens_ < 1) {
        ++suppressed_;
        return false;
    }
    tokens_ -= 1;
    return true;
}

}  // namespace sluice::daemon
