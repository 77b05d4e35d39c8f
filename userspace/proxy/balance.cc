#include "proxy/balance.h"

#include <algorithm>
#include <random>
#include <span>

#include "bpf/lib/request.h"

namespace sluice::proxy {
namespace {

constexpr int kRedraws = 5;
// A generation may be retired between reading its number and its row, as often as it is published.
constexpr int kGenerations = 8;

std::uint64_t seed() {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
}

Failure failure_of(std::uint32_t reason) {
    return reason == SL_REASON_NO_CLUSTER || reason == SL_REASON_NO_GENERATION ? Failure::kNoCluster
                                                                               : Failure::kNoHealthyUpstream;
}

}  // namespace

Balancer::Balancer(const sl_tables& tables, const Upstreams::Events& events)
    : tables_(tables), events_(events), seeds_{seed()} {}

void Balancer::tell(const sl_event& event) const {
    if (events_) {
        events_(event);
    }
}

Balancer::Pick Balancer::pick(std::uint32_t cluster, const TryRequest& request, std::uint64_t now_ns) {
    const std::span avoid(request.avoid, request.avoid_count);
    sl_ask ask{};
    ask.reach = SL_REACH_V4 | SL_REACH_V6;
    ask.has_key = request.has_key ? 1 : 0;
    ask.key = request.key;
    ask.now_ns = now_ns;
    ask.random.state = sl_random_next(&seeds_);
    sl_random keys{request.key};
    sl_choice choice{};
    const sl_warmup* warmup =
        request.cluster != nullptr && *request.cluster != nullptr ? (*request.cluster)->warmup() : nullptr;
    std::uint32_t too_new = 0;
    for (int redraws = 0, generations = 0;;) {
        const std::uint32_t reason = sl_choose_in_cluster(&tables_, cluster, &ask, &choice);
        if (reason == SL_REASON_NO_GENERATION && ++generations < kGenerations) {
            continue;
        }
        if (choice.returned_ns != 0) {
            sl_event event{};
            sl_returned_event(&choice, now_ns, &event);
            tell(event);
        }
        if (reason != SL_REASON_NONE) {
            return {SL_NONE, failure_of(reason)};
        }
        if (warmup != nullptr && too_new < SL_WARMUP_DRAWS &&
            sl_warmup_accepts(&tables_, warmup, choice.endpoint, &ask) == 0) {
            ++too_new;
            continue;
        }
        if (std::ranges::find(avoid, choice.endpoint) == avoid.end() || ++redraws > kRedraws) {
            break;
        }
        ask.key = sl_random_next(&keys);
    }
    sl_hold(&tables_, &choice);
    return {choice.endpoint, std::nullopt};
}

void Balancer::release(std::uint32_t cluster, std::uint32_t endpoint) {
    sl_release(&tables_, SL_NONE, cluster, endpoint);
}

void Balancer::connected(std::uint32_t endpoint) {
    sl_outlier_connected(&tables_, endpoint);
}

void Balancer::answered(std::uint32_t cluster, std::uint32_t endpoint, int status, std::uint64_t now_ns) {
    sl_event event{};
    if (sl_outlier_answer(&tables_, cluster, endpoint, static_cast<std::uint32_t>(status), now_ns, &event) != 0) {
        tell(event);
    }
}

void Balancer::failed(std::uint32_t cluster, std::uint32_t endpoint, std::uint32_t failure, std::uint64_t now_ns) {
    sl_event event{};
    if (sl_outlier_failure(&tables_, cluster, endpoint, failure, now_ns, &event) != 0) {
        tell(event);
    }
}

const sl_endpoint* Balancer::endpoint(std::uint32_t number) const {
    return sl_endpoint_at(&tables_, number);
}

bool Balancer::takes_new(std::uint32_t cluster, std::uint32_t endpoint, std::uint64_t now_ns) const {
    sl_endpoint* record = sl_endpoint_at(&tables_, endpoint);
    sl_health* health = sl_health_at(&tables_, endpoint);
    return record != nullptr && sl_load(&record->cluster) == cluster &&
           (sl_load(&record->flags) & SL_ENDPOINT_LISTED) != 0 && sl_outlier_is_out(health, now_ns) == 0;
}

}  // namespace sluice::proxy
