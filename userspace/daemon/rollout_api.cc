// Canaries as the admin API and metrics tell of them.
#include <algorithm>

#include <fmt/format.h>

#include "admin/canaries.h"
#include "daemon/agent.h"
#include "daemon/texts.h"
#include "model/names.h"

namespace sluice::daemon {

using admin::Json;

namespace {

using Views = Result<std::vector<rollout::View>>;

constexpr const char* kNone = "canaries are not available";

admin::Answer refusal(const Error& error) {
    return admin::error_answer(error.code == ENOENT ? 404 : 409, error.code == ENOENT ? error.message : error.text());
}

// Of rules that somebody wrote: those of the HTTP port, else the one of the connection's.
void add_route_weights(const model::ServicePort& service, std::vector<telemetry::RouteWeight>& out) {
    const auto add = [&](const std::string& route, const std::vector<model::Destination>& destinations) {
        std::uint64_t sum = 0;
        for (const model::Destination& destination : destinations) {
            sum += destination.weight;
        }
        for (const model::Destination& destination : destinations) {
            if (destination.cluster && sum > 0) {
                out.push_back({.service = service.host,
                               .port = service.port,
                               .route = route,
                               .subset = destination.cluster->subset,
                               .scope = service.scope,
                               .share = static_cast<double>(destination.weight) / static_cast<double>(sum)});
            }
        }
    };
    if (!service.route->source) {
        return;
    }
    for (const model::HttpRoute& rule : service.route->http) {
        if (rule.rule != nullptr && rule.source) {
            const auto& all = std::get<config::VirtualService>(rule.source->spec).http;
            add(rule.name.empty() ? fmt::format("http[{}]", rule.rule - all.data()) : rule.name, rule.destinations);
        }
    }
    if (service.route->http.empty()) {
        add("default", service.route->destinations);
    }
}

// As labels of other metrics have it.
std::string whole_host(const std::vector<model::ServicePortPtr>& services, const config::Object& canary) {
    const std::vector<std::string> readings =
        model::readings(std::get<config::Canary>(canary.spec).host, canary.key.ns);
    for (const std::string& reading : readings) {
        if (std::ranges::any_of(services, [&](const auto& service) { return service->host == reading; })) {
            return reading;
        }
    }
    return readings.front();
}

}  // namespace

admin::Answer Agent::canaries(const std::string& name) {
    const auto views = canaries_ == nullptr ? Views(fail(kNone)) : canaries_->view(name);
    if (!views) {
        return refusal(views.error());
    }
    Json out = Json::array();
    const auto now = std::chrono::system_clock::now();
    for (const rollout::View& view : *views) {
        out.push_back(admin::canary_json(view, now));
    }
    return admin::json_answer(out);
}

admin::Answer Agent::command_canary(const admin::CanaryRequest& request) {
    const auto command = rollout::command_of(request.command);
    if (!command) {
        return admin::error_answer(
            400, "command: expected start, pause, resume, promote or abort, found '" + request.command + "'");
    }
    const state::Actor actor = peer_actor(request.peer.uid, request.peer.pid);
    const auto view = canaries_ == nullptr ? Result<rollout::View>(fail(kNone))
                                           : canaries_->command(request.name, *command, actor.user, request.message);
    return view ? admin::json_answer(admin::canary_json(*view, std::chrono::system_clock::now()))
                : refusal(view.error());
}

// Those under way.
Json Agent::canary_states() {
    Json out = Json::array();
    const auto views = canaries_ == nullptr ? Views(fail(kNone)) : canaries_->view("");
    if (!views) {
        return out;
    }
    const auto now = std::chrono::system_clock::now();
    for (const rollout::View& view : *views) {
        if (rollout::running(view.state.phase) || view.state.phase == rollout::Phase::kPaused) {
            out.push_back(admin::canary_row(admin::canary_json(view, now)));
        }
    }
    return out;
}

void Agent::read_canaries(telemetry::Reading& reading) {
    const std::vector<model::ServicePortPtr> services = controller_.services();
    const auto views = canaries_ == nullptr ? Views(fail(kNone)) : canaries_->view("");
    for (const rollout::View& view : views ? *views : std::vector<rollout::View>{}) {
        const auto& canary = std::get<config::Canary>(view.canary->spec);
        const rollout::State& state = view.state;
        telemetry::CanaryFacts facts{
            .name = view.canary->key.name,
            .ns = view.canary->key.ns,
            .service = whole_host(services, *view.canary),
            .champion = canary.champion,
            .challenger = canary.challenger,
            .state = rollout::phase_name(state.phase),
            .stage = state.phase == rollout::Phase::kStage ? state.stage + 1 : 0,
            .weight = state.in_force.what == rollout::Wanted::What::kWeight ? state.in_force.weight : 0,
            .transitions = {view.transitions.begin(), view.transitions.end()},
            .gates = {}};
        for (const rollout::GateResult& gate : view.gates) {
            facts.gates.emplace_back(gate.gate, rollout::verdict_name(gate.verdict));
        }
        reading.canaries.push_back(std::move(facts));
    }
    for (const model::ServicePortPtr& service : services) {
        add_route_weights(*service, reading.route_weights);
    }
}

}  // namespace sluice::daemon
