// Where the keys of consistent hashing and sticky splits are in a request. hash_key() is in routing.h.
#pragma once

#include <string_view>

#include "config/objects.h"
#include "proxy/table.h"

namespace sluice::proxy {

// A header's first value, a cookie's (without quotes), or a query parameter's (undecoded). False: the request has none.
bool find_key(const config::HashKey& key, const Asked& asked, std::string_view& value);

}  // namespace sluice::proxy
