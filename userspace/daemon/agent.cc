#include "daemon/agent.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/version.h"
#include "daemon/clock.h"
#include "daemon/memory.h"
#include "daemon/texts.h"

namespace sluice::daemon {

using admin::Json;

namespace {

constexpr std::uint64_t kBeatLimitNs = 5'000'000'000;
constexpr std::size_t kSplitsShown = 100;
constexpr std::size_t kDoorsShown = 100;
constexpr std::size_t kTrimBytes = 4u << 20;  // of replies, from which on their memory is worth giving back
constexpr std::size_t kRowsAtOnce = 8;        // that a listing renders before it lets others through the gate

Json capture_json(const CaptureFacts& facts) {
    Json doors = Json::array();
    for (const CaptureFacts::Door& door : facts.doors) {
        if (doors.size() < kDoorsShown) {
            doors.push_back({{"netns_cookie", door.netns_cookie},
                             {"netns", door.netns_inode},
                             {"port_v4", door.port_v4},
                             {"port_v6", door.port_v6},
                             {"own", door.own}});
        }
    }
    return {{"namespaces", facts.doors.size()},
            {"listeners", std::move(doors)},
            {"processes_denied", facts.denied},
            {"errors", facts.errors}};
}

}  // namespace

Agent::Agent(const Options& options, Controller& controller, compile::Publisher& publisher, bpf::Kernel& kernel,
             const ProxyLane* lane, const LogBudget& budget, std::function<void()> changed)
    : options_(options),
      controller_(controller),
      publisher_(publisher),
      kernel_(kernel),
      lane_(lane),
      budget_(budget),
      changed_(std::move(changed)),
      started_ns_(monotonic_ns()),
      beat_ns_(started_ns_) {}

void Agent::beat(std::uint64_t now_ns) {
    beat_ns_ = now_ns;
    sl_store(&publisher_.tables().control->heartbeat_ns, now_ns);
}

void Agent::trim() {
    if (reply_bytes_.exchange(0) > kTrimBytes) {
        give_memory_back();
    }
}

std::string Agent::unhealthy() {
    std::uint64_t age = monotonic_ns() - beat_ns_;
    return age > kBeatLimitNs
               ? fmt::format("the control thread has not ticked for {:.1f} s", static_cast<double>(age) / 1e9)
               : "";
}

std::string Agent::unready() {
    if (publisher_.generation() == 0) {
        return "no generation is in force";
    }
    return unhealthy();
}

std::uint64_t Agent::ejected_now() const {
    std::uint64_t sum = 0;
    for (std::uint32_t number : publisher_.cluster_numbers()) {
        sum += sl_load(&publisher_.tables().clusters[number].ejected);
    }
    return sum;
}

Json Agent::status() {
    const LoadState load = controller_.load_state();
    Json out{{"version", kVersion}, {"pid", ::getpid()}, {"generation", publisher_.generation()}};
    out["uptime_s"] = static_cast<double>((monotonic_ns() - started_ns_) / 1'000'000) / 1000;
    out["config"] = {{"dir", options_.config},
                     {"loaded_at", time_text(load.loaded_at)},
                     {"last_load_success", load.last_success},
                     {"serving", load.from_state ? "state" : "directory"},
                     {"last_error", load.last_error},
                     {"warnings", load.last_warnings},
                     {"state_error", load.state_error}};
    out["lanes"] = lanes();
    out["kernel"] = {{"adopted", kernel_.adopted()},
                     {"cgroup", options_.kernel.cgroup},
                     {"bpffs", options_.kernel.bpffs},
                     {"abi", SL_ABI_VERSION}};
    Json capacities = Json::array();
    std::uint64_t endpoints = 0;
    for (const compile::Occupancy& table : publisher_.occupancy()) {
        endpoints = table.table == "endpoints" ? table.used : endpoints;
        capacities.push_back({{"table", table.table}, {"used", table.used}, {"capacity", table.capacity}});
    }
    out["services"] = controller_.services().size();
    out["endpoints"] = endpoints;
    out["ejected"] = ejected_now();
    out["clients"] = {{"known", load.clients}, {"unresolved", load.clients_unresolved}, {"error", load.client_error}};
    out["capacities"] = std::move(capacities);
    out["watching"] = watching();
    out["drain"] = drains();
    out["splits"] = splits();
    out["canaries"] = canary_states();
    return out;
}

Json Agent::lanes() const {
    const auto lane = [](const char* name, bool available, std::string reason) {
        return Json{{"name", name}, {"available", available}, {"reason", std::move(reason)}};
    };
    const auto& lanes = options_.mesh.lanes;
    const bool direct = std::ranges::find(lanes, model::Lane::kDirect) != lanes.end();
    Json proxy = lane("proxy", lane_ != nullptr, lane_ != nullptr ? "" : "--lanes leaves it out");
    if (lane_ != nullptr) {
        const std::vector<proxy::WorkerStats> workers = lane_->engine().stats();
        std::uint64_t connections = 0, active = 0, total = 0;
        for (const proxy::WorkerStats& worker : workers) {
            connections += worker.connections;
            active += worker.requests_active;
            total += worker.requests_total;
        }
        proxy["io"] = io::backend_name(lane_->engine().backend());
        proxy["workers"] = workers.size();
        proxy["connections"] = connections;
        proxy["requests_active"] = active;
        proxy["requests"] = total;
        if (lane_->capture() != nullptr) {
            proxy["capture"] = capture_json(lane_->capture()->facts());
        }
    }
    return Json::array({lane("direct", direct,
                             direct              ? ""
                             : options_.programs ? "--lanes leaves it out"
                                                 : "--cgroup none: nothing is loaded into the kernel"),
                        lane("kernel", false, "not part of this version"), std::move(proxy)});
}

// Services with weights that have connections open.
Json Agent::splits() {
    Json out = Json::array();
    for (const model::ServicePortPtr& service : controller_.services()) {
        if (service->route->destinations.size() < 2 || out.size() >= kSplitsShown) {
            continue;
        }
        controller_.view([&](const model::Mesh&, const admin::ViewContext& context) {
            auto live = context.live->route(*service);
            if (!live || live->open + live->open_older == 0) {
                return;
            }
            Json row{{"service", fmt::format("{}:{}", service->host, service->port)},
                     {"scope", service->scope.empty() ? "*" : service->scope},
                     {"generation", live->generation},
                     {"connections", live->open},
                     {"old_generation_connections", live->open_older}};
            std::string coarse = admin::coarse_split(*service->route, live->open + live->open_older);
            row["warning"] = coarse.empty() ? Json(nullptr) : Json(coarse);
            out.push_back(std::move(row));
        });
    }
    return out;
}

std::string Agent::list(admin::List what, const admin::ListFilter& filter) {
    std::vector<model::ServicePortPtr> services = controller_.services();
    if (!filter.host.empty()) {
        std::erase_if(services, [&](const auto& service) { return !admin::means(filter.host, *service); });
    }
    std::string out = "[";
    for (std::size_t i = 0; i < services.size(); i += kRowsAtOnce) {
        std::string some;  // joined to the rest when the gate is free again: that may move many bytes
        controller_.view([&](const model::Mesh&, const admin::ViewContext& context) {
            for (std::size_t j = i; j < std::min(services.size(), i + kRowsAtOnce); ++j) {
                for (const Json& row : admin::rows(what, *services[j], context)) {
                    some += "\n" + row.dump(-1, ' ', false, Json::error_handler_t::replace) + ",";
                }
            }
        });
        out += some;
    }
    if (out.ends_with(',')) {
        out.pop_back();
    }
    reply_bytes_ += out.size();
    return out + "\n]\n";
}

Json Agent::maps() {
    std::lock_guard lock(kernel_mutex_);
    auto maps = kernel_.maps();
    Json out = Json::array();
    for (const bpf::MapInfo& map : maps ? *maps : std::vector<bpf::MapInfo>{}) {
        out.push_back({{"name", map.name},
                       {"type", map.type},
                       {"key_size", map.key_size},
                       {"value_size", map.value_size},
                       {"max_entries", map.max_entries},
                       {"used", map.used},
                       {"bytes", map.bytes}});
    }
    return out;
}

Result<Json> Agent::map(const std::string& name) {
    std::lock_guard lock(kernel_mutex_);
    auto dumped = kernel_.dump(name);
    if (!dumped) {
        return std::unexpected(dumped.error());
    }
    return Json{{"name", name}, {"rows", *dumped}};
}

Result<Json> Agent::explain(const admin::ExplainQuery& query) {
    Result<Json> out = Json();
    controller_.view([&](const model::Mesh& mesh, const admin::ViewContext& context) {
        auto service = admin::find_service(mesh.services(), query);
        if (service) {
            out = admin::explain(**service, query, context);
        } else {
            out = std::unexpected(service.error());
        }
    });
    return out;
}

void Agent::forget_clusters(const std::vector<std::uint32_t>& numbers) {
    if (numbers.empty()) {
        return;
    }
    std::vector<std::uint32_t> sorted = numbers;
    std::ranges::sort(sorted);
    std::lock_guard lock(kernel_mutex_);
    // A row that cannot be removed now goes when its number is freed again; until then it is counted to its successor.
    static_cast<void>(
        kernel_.erase_flows([&](const sl_flow_key& key) { return std::ranges::binary_search(sorted, key.cluster); }));
    static_cast<void>(kernel_.erase_requests(
        [&](const sl_request_key& key) { return std::ranges::binary_search(sorted, key.cluster); }));
}

}  // namespace sluice::daemon
