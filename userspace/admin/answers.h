// What one request gets, as JSON; for the agent and for `sluice explain --request` offline. Pure.
#pragma once

#include <string>

#include "admin/views.h"
#include "verify/answer.h"

namespace sluice::admin {

// {host, port, method, path, headers: [[name, value], …], client: namespace, labels: {name: value}}; all but host may
// be left out. Errors: what is wrong with it.
Result<verify::Question> read_question(const std::string& json);
Json question_json(const verify::Question& question);

// {host, port, lane, reasons, rule: {object, file, line} or null, at: FILE:LINE of what decided or null, matched: in
// words or null, route, destinations: [{destination, share, refused_as?}], experiment: {name, arm, bucket} or null,
// status of a local answer or null, location, timeout_ms, retries, per_try_timeout_ms, mirrors: [{destination, share}],
// target, headers: [[name, value], …]}. Times of 0: none. Target and headers are those of the likeliest destination.
// `asked`, unless null, hides values that rules put into header fields (null): they may be secret, and everybody on the
// machine may ask an agent.
Json answer_json(const verify::Answer& answer, const ViewContext& context, const verify::Question* asked = nullptr);

}  // namespace sluice::admin
