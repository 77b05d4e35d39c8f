// The pages of `sluice explain CODE`, by what they are about. Private to this room; advice.h has all of them.
#pragma once

#include <span>

#include "verify/advice.h"

namespace sluice::verify {

std::span<const Page> rule_pages();    // SL1..
std::span<const Page> policy_pages();  // SL2..
std::span<const Page> split_pages();   // SL3..

}  // namespace sluice::verify
