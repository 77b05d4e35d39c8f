// Checks of the parts of an HTTP rule. They report problems and keep nothing: no lane of this release carries them.
#pragma once

#include "config/value.h"

namespace sluice::config {

// What a reader that only checks fills.
struct Nothing {};

void check_http_match(const Value& list);
// {exact | prefix | regex}.
void check_string_match(const Value& value, bool empty_prefix);
void check_regex(const Value& value);
void check_header_operations(const Value& value);  // {request, response}
void check_retry_on(const Value& value);
void check_grpc_status(const Value& value);

}  // namespace sluice::config
