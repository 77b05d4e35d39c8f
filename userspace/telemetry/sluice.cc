// Sluice's metrics of connections, of the tables, and of the agent itself.
#include <array>
#include <initializer_list>

#include "telemetry/exposition.h"
#include "telemetry/labels.h"

namespace sluice::telemetry {

namespace {

constexpr double kNanosecond = 1e-9;
constexpr double kMicrosecond = 1e-6;

// Upper bounds in seconds of all latency buckets but the last, which is +Inf.
const std::array<double, SL_LATENCY_BUCKETS - 1>& latency_bounds() {
    static const auto bounds = [] {
        std::array<double, SL_LATENCY_BUCKETS - 1> made{};
        for (std::size_t i = 0; i < made.size(); ++i) {
            made[i] = static_cast<double>(16u << i) * kMicrosecond;
        }
        return made;
    }();
    return bounds;
}

using LabelNames = std::vector<std::string>;
const LabelNames kClusterNames{"service", "port", "subset"};
const LabelNames kVersionNames{"service", "port", "subset", "version"};

Family counter(SeriesBook& book, const char* name, const char* help, const LabelNames& labels) {
    return Family(book, name, help, Kind::kCounter, labels);
}

Family gauge(SeriesBook& book, const char* name, const char* help, const LabelNames& labels) {
    return Family(book, name, help, Kind::kGauge, labels);
}

void single(SeriesBook& book, std::string& out, Kind kind, const char* name, const char* help, double value) {
    Family family(book, name, help, kind, {});
    family.add({}, value);
    std::move(family).write(out);
}

void write(std::string& out, std::initializer_list<Family*> families) {
    for (Family* family : families) {
        std::move(*family).write(out);
    }
}

std::array<std::string_view, 4> version_labels(const ClusterLabels& cluster, const model::Workload* destination) {
    return {cluster.service, cluster.port, cluster.subset, version_of(destination)};
}

// What is told under sluice_drops_total. How requests ended and why connections are unobserved is told of requests.
bool is_drop(std::uint32_t reason) {
    return reason >= SL_REASON_STORAGE_FULL && !SL_REASON_IS_UNOBSERVED(reason) &&
           reason != SL_REASON_UPSTREAM_CLOSED && reason != SL_REASON_DOWNSTREAM_CLOSED && reason != SL_REASON_DRAINED;
}

}  // namespace

void flow_counters(SeriesBook& book, const Reading& reading, std::string& out) {
    const LabelNames labels{"service", "port", "subset", "reason"};
    Family outcomes = counter(book, "sluice_outcomes_total", "Connections by outcome; each has exactly one.", labels);
    Family refusals = counter(book, "sluice_refusals_total",
                              "Connects refused before the network: no healthy endpoint, limit, no cluster.", labels);
    Family retransmits = counter(book, "sluice_retransmits_total", "Segments retransmitted.", kVersionNames);
    for (const auto& [key, flow] : reading.flows) {
        const ClusterLabels cluster(reading.names.cluster(key.cluster));
        const std::array<std::string_view, 4> values{cluster.service, cluster.port, cluster.subset,
                                                     reason_label(key.reason)};
        outcomes.add(values, static_cast<double>(flow.opened));
        if (is_refusal(key.reason)) {
            refusals.add(values, static_cast<double>(flow.opened));
        }
        if (key.reason == SL_REASON_ESTABLISHED) {
            retransmits.add(version_labels(cluster, reading.names.workload(key.destination_workload)),
                            static_cast<double>(flow.retransmits));
        }
    }
    write(out, {&outcomes, &refusals, &retransmits});
}

void flow_durations(SeriesBook& book, const Reading& reading, std::string& out) {
    Family connect(book, "sluice_connect_duration_seconds", "Time from connect to established, as the kernel saw it.",
                   Kind::kHistogram, kVersionNames);
    Family rtt(book, "sluice_srtt_seconds", "Smoothed round-trip time at the end of each connection.", Kind::kSummary,
               kVersionNames);
    Family duration(book, "sluice_connection_duration_seconds", "Lifetime of closed connections.", Kind::kSummary,
                    kVersionNames);
    for (const auto& [key, flow] : reading.flows) {
        if (key.reason != SL_REASON_ESTABLISHED) {
            continue;
        }
        const ClusterLabels cluster(reading.names.cluster(key.cluster));
        const auto values = version_labels(cluster, reading.names.workload(key.destination_workload));
        connect.add_histogram(values, latency_bounds(), flow.connect_latency,
                              static_cast<double>(flow.connect_ns) * kNanosecond);
        rtt.add_summary(values, flow.closed, static_cast<double>(flow.srtt_us) * kMicrosecond);
        duration.add_summary(values, flow.closed, static_cast<double>(flow.duration_ns) * kNanosecond);
    }
    write(out, {&rtt, &duration, &connect});
}

void table_families(SeriesBook& book, const Reading& reading, std::string& out) {
    Family picks = counter(book, "sluice_picks_total", "Decisions that chose this subset.", kClusterNames);
    Family ejections =
        counter(book, "sluice_ejections_total", "Endpoints ejected by outlier detection.", kClusterNames);
    Family overflow = counter(book, "sluice_ejections_overflow_total",
                              "Ejections that maxEjectionPercent did not allow.", kClusterNames);
    Family ejected = gauge(book, "sluice_endpoints_ejected", "Endpoints ejected now.", kClusterNames);
    Family active = gauge(book, "sluice_active_connections", "Connections held now.", kClusterNames);
    for (std::uint32_t i = 0; i < reading.tables.cluster_count && i < reading.names.clusters.size(); ++i) {
        const model::Cluster* known = reading.names.cluster(i);
        if (!known) {
            continue;
        }
        const sl_cluster& record = reading.tables.clusters[i];
        std::uint64_t picked = sl_load(&record.picks_total);
        std::uint32_t out_now = sl_load(&record.ejected);
        if (picked == 0 && out_now == 0) {
            continue;  // on first use
        }
        const ClusterLabels cluster(known);
        const std::array<std::string_view, 3> values{cluster.service, cluster.port, cluster.subset};
        picks.add(values, static_cast<double>(picked));
        ejected.add(values, out_now);
        active.add(values, sl_load(&record.active));
        if (std::uint64_t total = sl_load(&record.ejections_total)) {
            ejections.add(values, static_cast<double>(total));
        }
        if (std::uint64_t total = sl_load(&record.ejections_overflow)) {
            overflow.add(values, static_cast<double>(total));
        }
    }
    write(out, {&picks, &ejections, &overflow, &ejected, &active});
}

void drain_families(SeriesBook& book, const Reading& reading, std::string& out) {
    const Drains& drains = reading.drains;
    Family drained =
        counter(book, "sluice_drained_connections_total", "Connections ended by sluice.dev/drain.", {"mode"});
    drained.add(std::array<std::string_view, 1>{"idle"}, static_cast<double>(drains.idle));
    drained.add(std::array<std::string_view, 1>{"now"}, static_cast<double>(drains.now));
    Family failures =
        counter(book, "sluice_drain_failures_total", "Connections that could not be ended, by reason.", {"reason"});
    for (const auto& [reason, count] : drains.failures) {
        failures.add(std::array<std::string_view, 1>{reason}, static_cast<double>(count));
    }
    write(out, {&drained, &failures});
    single(book, out, Kind::kGauge, "sluice_drain_waiting_connections",
           "Connections that end when their answer is whole.", static_cast<double>(drains.waiting));
    single(book, out, Kind::kGauge, "sluice_drain_unwatched_connections",
           "Connections that stay because nobody sees when they are idle.", static_cast<double>(drains.unwatched));
}

void agent_families(SeriesBook& book, const Reading& reading, std::string& out) {
    const AgentFacts& agent = reading.agent;
    Family used = gauge(book, "sluice_table_used", "Rows in use.", {"table"});
    Family capacity = gauge(book, "sluice_table_capacity", "Rows a table can hold.", {"table"});
    for (const compile::Occupancy& table : reading.occupancy) {
        std::array<std::string_view, 1> values{table.table};
        used.add(values, static_cast<double>(table.used));
        capacity.add(values, static_cast<double>(table.capacity));
    }
    Family drops = counter(book, "sluice_drops_total", "Fallbacks and events lost, by reason.", {"reason"});
    for (std::uint32_t reason = 0; reason < SL_REASON_COUNT; ++reason) {
        if (is_drop(reason)) {
            drops.add(std::array<std::string_view, 1>{reason_label(reason)},
                      static_cast<double>(reading.counters[reason]));
        }
    }
    Family runs = counter(book, "sluice_program_runs_total", "Program runs (kernel.bpf_stats_enabled).", {"program"});
    Family time = counter(book, "sluice_program_run_seconds_total",
                          "Time spent in programs (kernel.bpf_stats_enabled).", {"program"});
    for (const ProgramRuns& program : reading.programs) {
        std::array<std::string_view, 1> values{program.name};
        runs.add(values, static_cast<double>(program.run_count));
        time.add(values, static_cast<double>(program.run_time_ns) * kNanosecond);
    }
    Family applies = counter(book, "sluice_applies_total", "Applies by result.", {"result"});
    applies.add(std::array<std::string_view, 1>{"done"}, static_cast<double>(agent.applies_done));
    applies.add(std::array<std::string_view, 1>{"refused"}, static_cast<double>(agent.applies_refused));
    write(out, {&used, &capacity, &drops, &runs, &time, &applies});

    auto number = [](std::uint64_t value) { return static_cast<double>(value); };
    single(book, out, Kind::kGauge, "sluice_generation", "The generation in force.", number(agent.generation));
    single(book, out, Kind::kGauge, "sluice_services", "Service ports in force.", number(agent.services));
    single(book, out, Kind::kGauge, "sluice_endpoints", "Endpoints in force.", number(agent.endpoints));
    single(book, out, Kind::kCounter, "sluice_config_load_errors_total", "Loads that were refused.",
           number(agent.config_load_errors));
    single(book, out, Kind::kGauge, "sluice_config_last_load_success", "1 if the last load was accepted.",
           agent.last_load_success ? 1 : 0);
    single(book, out, Kind::kGauge, "sluice_heartbeat_age_seconds", "Time since the agent's last control tick.",
           number(agent.heartbeat_age_ns) * kNanosecond);
    single(book, out, Kind::kGauge, "sluice_clients_unresolved", "Clients whose cgroup does not exist now.",
           number(agent.clients_unresolved));
    single(book, out, Kind::kCounter, "sluice_log_suppressed_total", "Event lines over the log's rate limit.",
           number(agent.log_suppressed));
    single(book, out, Kind::kGauge, "process_resident_memory_bytes", "Resident memory of the agent.",
           number(agent.resident_bytes));
}

}  // namespace sluice::telemetry
