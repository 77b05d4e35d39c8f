// Which requests elements of `match` share. Pure. Private to this room.
#pragma once

#include "config/http_rule.h"

namespace sluice::verify {

// Every request that `inner` matches, `outer` matches too. Exact where both ask in the same way (equal texts, prefixes
// of each other); else false: regular expressions are not compared.
bool covers(const config::HttpMatch& outer, const config::HttpMatch& inner);
// No request is matched by both, as far as exact values and prefixes tell.
bool disjoint(const config::HttpMatch& a, const config::HttpMatch& b);

}  // namespace sluice::verify
