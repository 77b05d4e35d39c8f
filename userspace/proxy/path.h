// Paths of requests as rules see them and upstreams get them.
#pragma once

#include <string>
#include <string_view>

namespace sluice::proxy {

// Istio's default normalisation (BASE; Envoy's normalize_path, which is googleurl's CanonicalizePath): dot segments are
// removed, escaped unreserved octets decoded, backslashes made slashes, octets that no URI has escaped, a fragment cut.
// Repeated slashes, escaped slashes and all other escapes stay as they are. Idempotent: where a decoded octet would
// complete an escape its '%' is escaped.
// `path` becomes a view of `raw` where nothing changes, else of `buffer`. "*" stays. False: no path, or one with an
// escaped NUL.
bool normalise_path(std::string_view raw, std::string& buffer, std::string_view& path);

// The value of the first parameter of that name, undecoded ("" without "="). False: there is none.
bool query_parameter(std::string_view query, std::string_view name, std::string_view& value);

}  // namespace sluice::proxy
