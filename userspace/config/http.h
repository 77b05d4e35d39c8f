// Readers of the parts of an HTTP rule.
#pragma once

#include <string>
#include <string_view>

#include "config/http_rule.h"
#include "config/value.h"

namespace sluice::config {

// What a reader that only checks fills.
struct Nothing {};

// Header names are compared without case; this is how they are kept.
std::string lower_case(std::string_view text);

// ---- http_match.cc
void read_http_matches(const Value& list, std::vector<HttpMatch>& out);
// A regular expression's text, of at most Istio's length. What RE2 makes of it, the proxy room says.
std::string_view read_regex(const Value& value);
// Whether a rule's matches let every request pass, so that the rules behind it are never reached.
bool catches_all(const WeightedRule& rule);

// ---- http_headers.cc: {request, response}, of a rule or of one of its destinations.
void read_header_operations(const Value& value, bool of_destination, HeaderOperations& out);

// ---- http_action.cc
void read_redirect(const Value& value, std::optional<Redirect>& out);
void read_direct_response(const Value& value, std::optional<DirectResponse>& out);
void read_rewrite(const Value& value, std::optional<Rewrite>& out);
// Standard base64 with padding; nothing where the text is none.
std::optional<std::string> decode_base64(std::string_view text);

// ---- http_retries.cc
void read_retries(const Value& value, std::optional<Retries>& out);

// ---- http_fault.cc
void read_fault(const Value& value, std::optional<Fault>& out);
// {value: PERCENT}, and the deprecated whole percentage.
void read_percentage(const Value& value, std::optional<Millionths>& out);
void read_percent(const Value& value, std::optional<Millionths>& out);

}  // namespace sluice::config
