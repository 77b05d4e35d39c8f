// Arbitrary bytes in every table: the decision core neither reads out of bounds nor loops forever, and names only
// reasons that exist. The rows lie in separate heap blocks, so that one step too far is seen.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bpf/lib/decide.h"

namespace {

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
    void fill(void* to, std::size_t bytes) {
        std::memset(to, 0, bytes);
        const std::size_t some = bytes < size_ ? bytes : size_;
        std::memcpy(to, data_, some);
        data_ += some;
        size_ -= some;
    }
    template <typename T>
    T take() {
        T value{};
        fill(&value, sizeof value);
        return value;
    }
    template <typename T>
    std::unique_ptr<T[]> rows(__u64& count, unsigned most) {
        count = take<std::uint8_t>() % (most + 1);
        std::unique_ptr<T[]> result(new T[count]);
        if (count != 0) {
            fill(result.get(), count * sizeof(T));
        }
        return result;
    }

  private:
    const std::uint8_t* data_;
    std::size_t size_;
};

// Brings most indexes into range, so that the deeper parts are reached too; every other word stays arbitrary.
void tame(sl_tables& t, sl_ask& ask) {
    t.control->generation = 1 + t.control->generation % 1024;
    const auto slot_to = [&](sl_slot* slot, __u64 count) {
        slot[0].generation %= t.control->generation + 1;
        slot[0].row %= static_cast<__u32>(count);
        slot[1].row %= static_cast<__u32>(count);
    };
    for (__u64 i = 0; i < t.service_count && t.route_count != 0; ++i) {
        slot_to(t.services[i].slot, t.route_count);
    }
    for (__u64 i = 0; i < t.route_count && t.destination_count != 0; ++i) {
        t.routes[i].destination_first %= t.destination_count;
        t.routes[i].destination_count = 1 + t.routes[i].destination_count % 4;
        t.routes[i].flags &= SL_ROUTE_SPILL | SL_ROUTE_PROXY | SL_ROUTE_NO_FALLBACK;
    }
    for (__u64 i = 0; i < t.destination_count && t.cluster_count != 0; ++i) {
        t.destinations[i].cluster %= t.cluster_count;
        t.destinations[i].alias %= 2;
    }
    for (__u64 i = 0; i < t.cluster_count && t.cluster_row_count != 0; ++i) {
        slot_to(t.clusters[i].slot, t.cluster_row_count);
        t.clusters[i].ejected %= 8;
    }
    for (__u64 i = 0; i < t.cluster_row_count; ++i) {
        sl_cluster_row& row = t.cluster_rows[i];
        row.load_balancer %= 6;
        row.endpoint_first %= 8;
        row.endpoint_count %= 9;
        row.endpoint_v4_count %= 5;
        row.hash_first %= 4;
        row.hash_count %= 14;
        row.consecutive_5xx %= 3;
        row.consecutive_gateway %= 3;
        row.consecutive_local %= 3;
    }
    for (__u64 i = 0; i < t.endpoint_list_count && t.endpoint_count != 0; ++i) {
        t.endpoint_list[i] %= t.endpoint_count;
    }
    for (__u64 i = 0; i < t.endpoint_count && t.cluster_count != 0; ++i) {
        t.endpoints[i].cluster %= t.cluster_count;
    }
    for (__u64 i = 0; i < t.hash_entry_count; ++i) {
        t.hash_entries[i].position %= 9;
    }
    ask.reach |= 1u << (ask.reach >> 31);
}

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    auto control = std::make_unique<sl_control>(input.take<sl_control>());
    sl_ask ask = input.take<sl_ask>();
    const auto steer = input.take<std::uint8_t>();
    const __u32 service = steer % 4;
    sl_tables t{};
    t.control = control.get();
    const auto services = input.rows<sl_service>(t.service_count, 3);
    const auto routes = input.rows<sl_route>(t.route_count, 3);
    const auto destinations = input.rows<sl_destination>(t.destination_count, 8);
    const auto clusters = input.rows<sl_cluster>(t.cluster_count, 4);
    const auto cluster_rows = input.rows<sl_cluster_row>(t.cluster_row_count, 4);
    const auto list = input.rows<__u32>(t.endpoint_list_count, 16);
    const auto endpoints = input.rows<sl_endpoint>(t.endpoint_count, 8);
    const std::unique_ptr<sl_health[]> health(new sl_health[t.endpoint_count]);
    input.fill(health.get(), t.endpoint_count * sizeof(sl_health));
    const auto entries = input.rows<sl_hash_entry>(t.hash_entry_count, 16);
    t.services = services.get();
    t.routes = routes.get();
    t.destinations = destinations.get();
    t.clusters = clusters.get();
    t.cluster_rows = cluster_rows.get();
    t.endpoint_list = list.get();
    t.endpoints = endpoints.get();
    t.health = health.get();
    t.hash_entries = entries.get();
    if (steer >= 64) {
        tame(t, ask);
    }

    sl_choice choice{};
    std::uint32_t reason = sl_choose_cluster(&t, service, &ask, &choice);
    require(reason == choice.reason);
    require(reason == SL_REASON_NONE || reason == SL_REASON_NO_CLUSTER || reason == SL_REASON_NO_HEALTHY_UPSTREAM ||
            reason == SL_REASON_TABLE_CORRUPT || reason == SL_REASON_NO_GENERATION);
    if (reason != SL_REASON_NONE || choice.route == SL_NONE) {
        return 0;
    }
    require(choice.cluster < t.cluster_count && choice.cluster_row < t.cluster_row_count);
    reason = sl_choose_endpoint(&t, &ask, &choice);
    require(reason == choice.reason);
    require(reason == SL_REASON_NONE || reason == SL_REASON_NO_HEALTHY_UPSTREAM ||
            reason == SL_REASON_FAMILY_MISMATCH || reason == SL_REASON_TABLE_CORRUPT);
    if (reason != SL_REASON_NONE) {
        return 0;
    }
    require(choice.endpoint < t.endpoint_count);
    sl_hold(&t, &choice);
    sl_event event{};
    for (int i = 0; i < 3; ++i) {
        if (sl_outlier_failure(&t, choice.cluster, choice.endpoint, 1 + (ask.has_key & 1), ask.now_ns, &event)) {
            require(event.kind == SL_EVENT_EJECTED && event.until_ns != 0);
            require(health[choice.endpoint].ejected_until == event.until_ns);
        }
    }
    sl_outlier_success(&t, choice.cluster, choice.endpoint);
    sl_outlier_return(&t, choice.cluster, choice.endpoint, ask.now_ns, &event);
    sl_release(&t, choice.route, choice.cluster, choice.endpoint);
    return 0;
}
