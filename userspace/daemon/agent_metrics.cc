// One scrape of the agent.
#include "base/version.h"
#include "daemon/agent.h"
#include "daemon/clock.h"
#include "daemon/memory.h"

namespace sluice::daemon {

void Agent::read_names(telemetry::Reading& reading) const {
    auto need = [](auto& names, std::uint32_t number, auto&& find) {
        constexpr std::uint32_t kNumbers = 1u << 24;  // SL_NONE and nonsense have no name
        if (number < kNumbers) {
            if (names.size() <= number) {
                names.resize(number + 1);
            }
            if (!names[number]) {
                names[number] = find(number);
            }
        }
    };
    auto cluster = [&](std::uint32_t number) { return publisher_.cluster(number); };
    auto workload = [&](std::uint32_t number) { return publisher_.workload(number); };
    for (std::uint32_t number : publisher_.cluster_numbers()) {
        need(reading.names.clusters, number, cluster);
    }
    for (const auto& [key, flow] : reading.flows) {
        need(reading.names.clusters, key.cluster, cluster);
        need(reading.names.workloads, key.workload, workload);
        need(reading.names.workloads, key.destination_workload, workload);
    }
    for (const auto& [key, counts] : reading.requests) {
        need(reading.names.clusters, key.cluster, cluster);
        need(reading.names.workloads, key.workload, workload);
        need(reading.names.workloads, key.destination_workload, workload);
    }
}

telemetry::Reading Agent::read() {
    telemetry::Reading reading;
    reading.tables = publisher_.tables();
    reading.occupancy = publisher_.occupancy();
    {
        std::lock_guard lock(kernel_mutex_);
        static_cast<void>(kernel_.report_open_connections());
        static_cast<void>(kernel_.for_each_flow([&](const sl_flow_key& key, const sl_flow& flow) {
            if (flow.opened != 0 || flow.closed != 0) {  // the overflow row exists before it is needed
                reading.flows.emplace_back(key, flow);
            }
        }));
        telemetry::RequestSums requests;
        static_cast<void>(kernel_.for_each_request(
            [&](const sl_request_key& key, const sl_request_counts& counts) { requests.add(key, counts); }));
        reading.requests = requests.take();
        reading.counters = kernel_.counters().value_or(reading.counters);
        for (const bpf::MapInfo& map : kernel_.maps().value_or(std::vector<bpf::MapInfo>{})) {
            for (const char* hash : {"flows", "requests", "limits", "clients", "doors", "captures"}) {
                if (map.name == hash) {
                    reading.occupancy.push_back({map.name, map.used, map.max_entries});
                }
            }
        }
        for (const bpf::ProgramCost& program : kernel_.programs().value_or(std::vector<bpf::ProgramCost>{})) {
            reading.programs.push_back({program.name, program.run_count, program.run_time_ns});
        }
    }
    if (lane_ != nullptr) {
        lane_->recorders().read(reading);
    }
    read_names(reading);
    read_canaries(reading);
    const LoadState load = controller_.load_state();
    reading.agent = {.version = kVersion,
                     .generation = publisher_.generation(),
                     .services = controller_.services().size(),
                     .endpoints = 0,
                     .config_load_errors = load.errors_total,
                     .last_load_success = load.last_success,
                     .applies_done = load.applies_done,
                     .applies_refused = load.applies_refused,
                     .heartbeat_age_ns = monotonic_ns() - beat_ns_,
                     .clients_unresolved = load.clients_unresolved,
                     .log_suppressed = budget_.suppressed(),
                     .resident_bytes = resident_bytes()};
    if (drain_facts_) {
        const DrainFacts drains = drain_facts_();
        reading.drains = {.idle = drains.drained_idle,
                          .now = drains.drained_now,
                          .waiting = drains.waiting,
                          .unwatched = drains.unwatched,
                          .failures = drains.failures};
    }
    for (const compile::Occupancy& table : reading.occupancy) {
        reading.agent.endpoints = table.table == "endpoints" ? table.used : reading.agent.endpoints;
    }
    return reading;
}

std::string Agent::metrics() {
    std::lock_guard lock(scrape_mutex_);
    std::string text = exposition_.text(read());
    reply_bytes_ += text.size();
    return text;
}

}  // namespace sluice::daemon
