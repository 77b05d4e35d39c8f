#include "rollout/questions.h"

#include <future>

#include "rollout/webhook.h"

namespace sluice::rollout {

namespace {

Seen::Asked ask(const config::Object& object, const config::Gate& gate, const VersionNames& versions,
                const Moment& moment, const std::stop_token& stop) {
    const auto& canary = std::get<config::Canary>(object.spec);
    if (gate.kind == config::Gate::Kind::kQuery) {
        return ask_query(Prometheus(canary.prometheus, stop), gate, versions);
    }
    return ask_webhook(gate,
                       {.canary = object.key.name,
                        .ns = object.key.ns,
                        .service = moment.service,
                        .champion = canary.champion,
                        .challenger = canary.challenger,
                        .stage = moment.stage,
                        .weight = moment.weight,
                        .mirror = moment.mirror},
                       stop);
}

}  // namespace

std::vector<Seen::Asked> ask_gates(const config::Object& canary, const VersionNames& versions, const Moment& moment,
                                   const std::stop_token& stop) {
    const auto& gates = std::get<config::Canary>(canary.spec).gates;
    std::vector<std::future<Seen::Asked>> asking(gates.size());
    for (std::size_t i = 0; i < gates.size(); ++i) {
        using Kind = config::Gate::Kind;
        if (gates[i].kind == Kind::kQuery || gates[i].kind == Kind::kWebhook) {
            asking[i] = std::async(std::launch::async, ask, std::cref(canary), std::cref(gates[i]), std::cref(versions),
                                   std::cref(moment), std::cref(stop));
        }
    }
    std::vector<Seen::Asked> out(gates.size());
    for (std::size_t i = 0; i < gates.size(); ++i) {
        if (asking[i].valid()) {
            out[i] = asking[i].get();
        }
    }
    return out;
}

}  // namespace sluice::rollout
