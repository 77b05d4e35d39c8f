// Open connections, finished requests and counters of services: what `sluice get connections`, `tail` and `top` ask
// for.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "admin/top.h"
#include "admin/watching.h"
#include "bpf/lib/tables.h"
#include "daemon/agent.h"
#include "daemon/clock.h"

namespace sluice::daemon {

using admin::Json;

namespace {

constexpr std::size_t kRowsAtOnce = 8;  // that are made before others may go through the gate

std::string text_of(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string endpoint_of(const sl_tables& tables, std::uint32_t number) {
    if (number >= tables.endpoint_count) {
        return {};
    }
    const sl_endpoint& slot = tables.endpoints[number];
    IpAddress address;
    std::ranges::copy(slot.address, address.bytes.begin());
    return endpoint_text(address, __builtin_bswap16(slot.port));
}

// Whether a newer row than the one that placed the connection is in force.
bool follows_older(const sl_tables& tables, const sl_connection& connection) {
    std::uint32_t row = SL_NONE;
    if (connection.service >= tables.service_count) {
        return true;
    }
    const bool found =
        sl_slot_row(tables.services[connection.service].slot, sl_load(&tables.control->generation), &row) != 0;
    return !found || row != connection.route;
}

// What there is of an array, then how it ends.
std::string closed_array(std::string text) {
    if (text.ends_with(',')) {
        text.pop_back();
    }
    return text + "\n]}\n";
}

}  // namespace

Result<std::vector<model::ServicePortPtr>> Agent::services_of(const std::string& host) {
    std::vector<model::ServicePortPtr> services = controller_.services();
    if (!host.empty()) {
        std::erase_if(services, [&](const auto& service) { return !admin::means(host, *service); });
        if (services.empty()) {
            return fail("no service '" + host + "'");
        }
    }
    return services;
}

Result<std::string> Agent::connections(const admin::ConnectionsQuery& query) {
    auto services = services_of(query.host);
    if (!services) {
        return std::unexpected(services.error());
    }
    std::unordered_set<std::uint32_t> wanted;
    if (!query.host.empty()) {
        for (const model::ServicePortPtr& service : *services) {
            auto numbers = publisher_.service_numbers({service->scope, service->host, service->port});
            wanted.insert(numbers.begin(), numbers.end());
        }
    }
    std::vector<sl_connection> found;
    std::uint64_t total = 0;
    {
        std::lock_guard lock(kernel_mutex_);
        auto read = kernel_.for_each_connection([&](const sl_connection& connection) {
            if (query.host.empty() || wanted.contains(connection.service)) {
                ++total;
                if (found.size() < query.limit) {
                    found.push_back(connection);
                }
            }
        });
        if (!read) {
            return std::unexpected(read.error());
        }
    }
    const std::uint64_t now = monotonic_ns();
    std::string text =
        "{\"total\":" + std::to_string(total) + ",\"shown\":" + std::to_string(found.size()) + ",\"connections\":[";
    for (const sl_connection& connection : found) {
        const admin::Known known{.service = publisher_.service(connection.service),
                                 .cluster = publisher_.cluster(connection.cluster),
                                 .client = publisher_.workload(connection.workload)};
        const bool older = follows_older(publisher_.tables(), connection);
        text += "\n" + text_of(admin::connection_row(connection, known, older, now)) + ",";
    }
    text = closed_array(std::move(text));
    reply_bytes_ += text.size();
    return text;
}

Result<Json> Agent::tail(const admin::TailQuery& query) {
    auto services = services_of(query.host);
    if (!services) {
        return std::unexpected(services.error());
    }
    std::unordered_set<std::uint32_t> clusters;
    std::set<std::pair<std::string, std::uint16_t>> asked;
    for (const model::ServicePortPtr& service : *services) {
        if (query.host.empty()) {
            break;
        }
        asked.emplace(service->host, service->port);
        for (const model::Destination& destination : service->route->destinations) {
            if (destination.cluster) {
                clusters.insert(publisher_.cluster_number(destination.cluster->id));
            }
        }
    }
    // A proxied request tells what was asked for, another only where it went.
    const auto wanted = [&](const proxy::Sample& sample) {
        return query.host.empty() || (sample.proxied ? asked.contains({sample.host.data(), sample.port})
                                                     : clusters.contains(sample.seen.cluster));
    };
    const std::uint64_t now = monotonic_ns();
    SampleRing::Taken taken;
    std::uint64_t lost = 0;
    {
        std::lock_guard lock(kernel_mutex_);
        auto took = take_samples();
        auto counters = kernel_.counters();
        if (!took || !counters) {
            return std::unexpected(took ? counters.error() : took.error());
        }
        lost = (*counters)[SL_REASON_SAMPLES_LOST] + (lane_ == nullptr ? 0 : lane_->recorders().samples_lost());
        taken = samples_.since(query.after.value_or(samples_.next()), query.limit, wanted);
    }
    const std::int64_t to_wall =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count() -
        static_cast<std::int64_t>(now);
    Json out{{"next", taken.next}, {"lost", lost}, {"skipped", taken.skipped}};
    Json& rows = out["samples"] = Json::array();
    for (const proxy::Sample& sample : taken.samples) {
        const admin::Known known{.service = {},
                                 .cluster = publisher_.cluster(sample.seen.cluster),
                                 .client = publisher_.workload(sample.seen.workload)};
        rows.push_back(admin::sample_row(sample, known, endpoint_of(publisher_.tables(), sample.seen.endpoint),
                                         to_wall + static_cast<std::int64_t>(sample.seen.time_ns)));
    }
    return out;
}

// Requests and failed connects by cluster number, as they stand now.
Result<Agent::RequestTotals> Agent::request_totals() {
    RequestTotals totals;
    std::lock_guard lock(kernel_mutex_);
    auto requests = kernel_.for_each_request(
        [&](const sl_request_key& key, const sl_request_counts& counts) { totals[key.cluster].add(key, counts); });
    if (!requests) {
        return std::unexpected(requests.error());
    }
    auto flows =
        kernel_.for_each_flow([&](const sl_flow_key& key, const sl_flow& flow) { totals[key.cluster].add(key, flow); });
    if (!flows) {
        return std::unexpected(flows.error());
    }
    return totals;
}

Agent::UnroutedTotals Agent::add_proxied(RequestTotals& totals) const {
    UnroutedTotals unrouted;
    if (lane_ != nullptr) {
        lane_->recorders().visit([&](const telemetry::ProxiedLabels& labels, const sl_request_counts& counts) {
            if (labels.side != telemetry::ProxiedLabels::Side::kSource) {
                return;
            }
            if (labels.cluster != Identity{}) {
                totals[publisher_.cluster_number(labels.cluster)].add(labels, counts);
            } else {
                unrouted[admin::service_key(labels.service)].add(labels, counts);
            }
        });
    }
    return unrouted;
}

Result<std::string> Agent::top(const admin::TopQuery& query) {
    auto services = services_of(query.host);
    if (!services) {
        return std::unexpected(services.error());
    }
    auto totals = request_totals();
    if (!totals) {
        return std::unexpected(totals.error());
    }
    const UnroutedTotals unrouted = add_proxied(*totals);
    const auto in = [](const auto& sums, const auto& key) {
        const auto found = sums.find(key);
        return found == sums.end() ? admin::ClusterRequests{} : found->second;
    };
    const admin::RequestsOf requests{
        .cluster = [&](const model::Cluster& cluster) { return in(*totals, publisher_.cluster_number(cluster.id)); },
        .unrouted = [&](const model::ServicePort& service) { return in(unrouted, admin::service_key(service)); }};
    const std::uint64_t now = monotonic_ns();
    std::vector<std::pair<std::uint64_t, std::string>> rows;
    for (std::size_t i = 0; i < services->size(); i += kRowsAtOnce) {
        controller_.view([&](const model::Mesh&, const admin::ViewContext& context) {
            for (std::size_t j = i; j < std::min(services->size(), i + kRowsAtOnce); ++j) {
                const Json row = admin::top_row(*(*services)[j], *context.live, requests);
                rows.emplace_back(admin::activity(row), text_of(row));
            }
        });
    }
    if (rows.size() > query.limit) {
        std::ranges::stable_sort(rows, std::ranges::greater(), &std::pair<std::uint64_t, std::string>::first);
        rows.resize(query.limit);
    }
    std::string text = text_of(Json{{"time_ns", now},
                                    {"generation", publisher_.generation()},
                                    {"watching", options_.kernel.observe},
                                    {"ejected", ejected_now()},
                                    {"total", services->size()},
                                    {"shown", rows.size()}});
    text.pop_back();
    text += ",\"services\":[";
    for (const auto& [active, row] : rows) {
        text += "\n" + row + ",";
    }
    text = closed_array(std::move(text));
    reply_bytes_ += text.size();
    return text;
}

// Whether answers are watched, and what became of the connections to HTTP ports that are open.
Json Agent::watching() {
    std::uint64_t watched = 0, unobserved = 0;
    Json reasons = Json::object();
    std::lock_guard lock(kernel_mutex_);
    static_cast<void>(kernel_.for_each_connection([&](const sl_connection& connection) {
        watched += connection.watched == SL_REASON_NONE ? 1 : 0;
        unobserved += SL_REASON_IS_UNOBSERVED(connection.watched) ? 1 : 0;
    }));
    auto counters = kernel_.counters();
    for (std::uint32_t reason = 0; counters && reason < counters->size(); ++reason) {
        if (SL_REASON_IS_UNOBSERVED(reason) && (*counters)[reason] != 0) {
            reasons[telemetry::reason_label(reason)] = (*counters)[reason];
        }
    }
    return Json{{"on", options_.kernel.observe},
                {"connections_watched", watched},
                {"connections_unobserved", unobserved},
                {"unobserved_total", std::move(reasons)}};
}

// Connections that are asked to end, and those that were ended.
Json Agent::drains() const {
    const DrainFacts facts = drain_facts_ ? drain_facts_() : DrainFacts{};
    Json failures = Json::object();
    for (const auto& [reason, count] : facts.failures) {
        failures[reason] = count;
    }
    return Json{{"waiting", facts.waiting},
                {"unwatched", facts.unwatched},
                {"drained_idle", facts.drained_idle},
                {"drained_now", facts.drained_now},
                {"failures", std::move(failures)},
                {"last_error", facts.last_error},
                {"off", facts.off}};
}

}  // namespace sluice::daemon
