// The rules of the proxy lane as JSON and in words. Pure.
#pragma once

#include <string>

#include "admin/views.h"
#include "verify/words.h"

namespace sluice::admin {

using verify::match_text;
// All that can match, one text an element of `match`.
std::vector<std::string> when_texts(const model::HttpRoute& rule);

// The rules of a service port, in order. Keys of each:
//   name          Envoy's route name, without that of the element that matched; "default": the plain service
//   when          texts of match_text(), any of which must hold
//   only_for      "clients whose labels no rule before asks for", or null: every client
//   destinations  [{destination, subset, weight, share, refused_as?}], empty where the rule answers by itself
//   does          texts of all else that the rule does: redirect, answer, time-out, retries, mirrors, fault, …
//   experiment    {object, file, line} of the sticky split, or null
//   at            FILE:LINE of the rule, or null
Json rules_json(const model::ServicePort& service, const ViewContext& context);

}  // namespace sluice::admin
