// A question as a client would send it, read by the proxy lane's parser. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/head.h"
#include "proxy/table.h"
#include "verify/answer.h"

namespace sluice::verify {

// Not movable: `asked` has views into the others.
struct Written {
    Written() = default;
    Written(const Written&) = delete;
    Written& operator=(const Written&) = delete;

    http::RequestHead head;
    proxy::Client client;
    proxy::Asked asked;
    std::string path;      // normalised
    bool readable = true;  // false: its path has no normal form
    std::string_view upgrade;
    bool allowed = true;  // false: CONNECT or an upgrade that is refused
};

// `port`: the one that is dialled. Errors: what no client could send, or what the parser refuses.
Result<> write(const Question& question, std::uint16_t port, Written& out);

}  // namespace sluice::verify
