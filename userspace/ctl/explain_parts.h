// The parts of `sluice explain`.
#pragma once

#include <string>
#include <vector>

#include "admin/backend.h"
#include "ctl/session.h"

namespace sluice::ctl {

struct RequestAsked {
    std::string request;               // "GET /path"; empty: GET /
    std::vector<std::string> headers;  // "name=value" or "name: value"
    std::vector<std::string> labels;   // of the client, "name=value"
    bool any() const { return !request.empty() || !headers.empty() || !labels.empty(); }
};
// What this request to that service gets, by the directory of --config or by the agent's rules.
void explain_request(Session& session, const admin::ExplainQuery& service, const RequestAsked& asked);

// Whether the text could be a code, whether or not there is one.
bool looks_like_code(const std::string& text);
void explain_code(Session& session, const std::string& code);
void list_codes(Session& session);

}  // namespace sluice::ctl
