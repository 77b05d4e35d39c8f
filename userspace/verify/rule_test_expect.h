// Readers of parts of a rule test.
#pragma once

#include "config/value.h"
#include "verify/rule_test.h"

namespace sluice::verify {

// "NAME: VALUE" and "NAME: [VALUE, …]", appended.
void read_headers(const config::Value& map, Fields& out);
// All of `expect`.
void read_expected(const config::Value& value, Expected& out);

}  // namespace sluice::verify
