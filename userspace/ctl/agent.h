// Questions to a running agent.
#pragma once

#include <string>

#include "ctl/http.h"
#include "ctl/session.h"

namespace sluice::ctl {

// GET; the JSON answer. An unreachable agent is kUnreachable with the remedy, a refusal of the agent kNo with its
// reason.
Answer<Json> ask(const Session& session, const std::string& target,
                 std::chrono::milliseconds within = std::chrono::seconds(30));

// POST. `status` is HTTP's; `body` the agent's JSON.
struct Applied {
    int status = 0;
    Json body;
};
Answer<Applied> post(const Session& session, const std::string& path, const Query& query,
                     const std::string& documents = "");
// POST /v1/apply.
Answer<Applied> post_apply(const Session& session, const Query& query, const std::string& documents);

// For verbs that have no offline answer.
Failure needs_agent(const std::string& verb);

}  // namespace sluice::ctl
