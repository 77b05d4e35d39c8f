// What one request gets by the rules in force.
#include "admin/answers.h"
#include "daemon/agent.h"
#include "verify/answer.h"

namespace sluice::daemon {

// The services are taken out first: making an oracle of many takes longer than others should wait.
Result<admin::Json> Agent::answer(const verify::Question& question) {
    std::map<model::ServicePortKey, model::ServicePortPtr> services;
    controller_.view([&](const model::Mesh& mesh, const admin::ViewContext&) { services = mesh.services(); });
    const Result<verify::Oracle> oracle = verify::Oracle::make(services);
    if (!oracle) {
        return std::unexpected(oracle.error());
    }
    const Result<verify::Answer> answer = oracle->ask(question);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    admin::Json out;
    controller_.view([&](const model::Mesh&, const admin::ViewContext& context) {
        out = admin::answer_json(*answer, context, &question);
    });
    return out;
}

}  // namespace sluice::daemon
