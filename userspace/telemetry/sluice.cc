#include <array>

#include "telemetry/exposition.h"

namespace sluice::telemetry {

namespace {

using prometheus::MetricType;

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

// service, port, subset: the labels by which people know a cluster.
struct ClusterLabels {
    std::string_view service = "unknown";
    std::string port = "unknown";
    std::string_view subset = "unknown";

    explicit ClusterLabels(const model::Cluster* cluster) {
        if (cluster) {
            service = cluster->host;
            port = std::to_string(cluster->port);
            subset = cluster->subset;
        }
    }
};

std::string_view version_of(const model::Workload* workload) {
    return workload && !workload->version.empty() ? std::string_view(workload->version) : "unknown";
}

Family counter(SeriesBook& book, const char* name, const char* help, std::vector<std::string> labels) {
    return Family(book, name, help, MetricType::Counter, std::move(labels));
}

Family gauge(SeriesBook& book, const char* name, const char* help, std::vector<std::string> labels) {
    return Family(book, name, help, MetricType::Gauge, std::move(labels));
}

void single(SeriesBook& book, Families& out, MetricType type, const char* name, const char* help, double value) {
    Family family(book, name, help, type, {});
    family.add({}, value);
    out.push_back(std::move(family).finish());
}

void outcome_families(SeriesBook& book, const Reading& reading, Families& out) {
    const std::vector<std::string> labels{"service", "port", "subset", "reason"};
    Family outcomes = counter(book, "sluice_outcomes_total", "Connections by outcome; each has exactly one.", labels);
    Family refusals = counter(book, "sluice_refusals_total",
                              "Connects refused before the network: no healthy endpoint, limit, no cluster.", labels);
    for (const auto& [key, flow] : reading.flows) {
        ClusterLabels cluster(reading.names.cluster(key.cluster));
        std::array<std::string_view, 4> values{cluster.service, cluster.port, cluster.subset, reason_label(key.reason)};
        outcomes.add(values, static_cast<double>(flow.opened));
        if (is_refusal(key.reason)) {
            refusals.add(values, static_cast<double>(flow.opened));
        }
    }
    out.push_back(std::move(outcomes).finish());
    out.push_back(std::move(refusals).finish());
}

}  // namespace

void flow_families(SeriesBook& book, const Reading& reading, Families& out) {
    outcome_families(book, reading, out);
    const std::vector<std::string> labels{"service", "port", "subset", "version"};
    Family connect(book, "sluice_connect_duration_seconds", "Time from connect to established, as the kernel saw it.",
                   MetricType::Histogram, labels);
    Family rtt(book, "sluice_srtt_seconds", "Smoothed round-trip time at the end of each connection.",
               MetricType::Summary, labels);
    Family duration(book, "sluice_connection_duration_seconds", "Lifetime of closed connections.", MetricType::Summary,
                    labels);
    Family retransmits = counter(book, "sluice_retransmits_total", "Segments retransmitted.", labels);
    for (const auto& [key, flow] : reading.flows) {
        if (key.reason != SL_REASON_ESTABLISHED) {
            continue;
        }
        ClusterLabels cluster(reading.names.cluster(key.cluster));
        std::array<std::string_view, 4> values{cluster.service, cluster.port, cluster.subset,
                                               version_of(reading.names.workload(key.destination_workload))};
        std::array<std::uint64_t, SL_LATENCY_BUCKETS> counts{};
        for (std::size_t i = 0; i < counts.size(); ++i) {
            counts[i] = flow.connect_latency[i];
        }
        connect.add_histogram(values, latency_bounds(), counts, static_cast<double>(flow.connect_ns) * kNanosecond);
        rtt.add_summary(values, flow.closed, static_cast<double>(flow.srtt_us) * kMicrosecond);
        duration.add_summary(values, flow.closed, static_cast<double>(flow.duration_ns) * kNanosecond);
        retransmits.add(values, static_cast<double>(flow.retransmits));
    }
    out.push_back(std::move(connect).finish());
    out.push_back(std::move(rtt).finish());
    out.push_back(std::move(duration).finish());
    out.push_back(std::move(retransmits).finish());
}

void table_families(SeriesBook& book, const Reading& reading, Families& out) {
    const std::vector<std::string> labels{"service", "port", "subset"};
    Family picks = counter(book, "sluice_picks_total", "Decisions that chose this subset.", labels);
    Family ejections = counter(book, "sluice_ejections_total", "Endpoints ejected by outlier detection.", labels);
    Family overflow =
        counter(book, "sluice_ejections_overflow_total", "Ejections that maxEjectionPercent did not allow.", labels);
    Family ejected = gauge(book, "sluice_endpoints_ejected", "Endpoints ejected now.", labels);
    Family active = gauge(book, "sluice_active_connections", "Connections held now.", labels);
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
        ClusterLabels cluster(known);
        std::array<std::string_view, 3> values{cluster.service, cluster.port, cluster.subset};
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
    for (Family* family : {&picks, &ejections, &overflow, &ejected, &active}) {
        out.push_back(std::move(*family).finish());
    }
}

void agent_families(SeriesBook& book, const Reading& reading, Families& out) {
    const AgentFacts& agent = reading.agent;
    Family used = gauge(book, "sluice_table_used", "Rows in use.", {"table"});
    Family capacity = gauge(book, "sluice_table_capacity", "Rows a table can hold.", {"table"});
    for (const compile::Occupancy& table : reading.occupancy) {
        std::array<std::string_view, 1> values{table.table};
        used.add(values, static_cast<double>(table.used));
        capacity.add(values, static_cast<double>(table.capacity));
    }
    Family drops = counter(book, "sluice_drops_total", "Fallbacks and events lost, by reason.", {"reason"});
    for (std::uint32_t reason = SL_REASON_STORAGE_FULL; reason < SL_REASON_COUNT; ++reason) {
        std::array<std::string_view, 1> values{reason_label(reason)};
        drops.add(values, static_cast<double>(reading.counters[reason]));
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
    for (Family* family : {&used, &capacity, &drops, &runs, &time, &applies}) {
        out.push_back(std::move(*family).finish());
    }

    auto number = [](std::uint64_t value) { return static_cast<double>(value); };
    single(book, out, MetricType::Gauge, "sluice_generation", "The generation in force.", number(agent.generation));
    single(book, out, MetricType::Gauge, "sluice_services", "Service ports in force.", number(agent.services));
    single(book, out, MetricType::Gauge, "sluice_endpoints", "Endpoints in force.", number(agent.endpoints));
    single(book, out, MetricType::Counter, "sluice_config_load_errors_total", "Loads that were refused.",
           number(agent.config_load_errors));
    single(book, out, MetricType::Gauge, "sluice_config_last_load_success", "1 if the last load was accepted.",
           agent.last_load_success ? 1 : 0);
    single(book, out, MetricType::Gauge, "sluice_heartbeat_age_seconds", "Time since the agent's last control tick.",
           number(agent.heartbeat_age_ns) * kNanosecond);
    single(book, out, MetricType::Gauge, "sluice_clients_unresolved", "Clients whose cgroup does not exist now.",
           number(agent.clients_unresolved));
    single(book, out, MetricType::Counter, "sluice_log_suppressed_total", "Event lines over the log's rate limit.",
           number(agent.log_suppressed));
    single(book, out, MetricType::Gauge, "process_resident_memory_bytes", "Resident memory of the agent.",
           number(agent.resident_bytes));
}

}  // namespace sluice::telemetry
