// A small HTTP/1.1 client for the agent's Unix socket: one request a connection, blocking, with a deadline.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::ctl {

struct HttpReply {
    int status = 0;
    std::string body;
};

// Sends one request and reads the whole reply. Errors have the errno of the failed call (ENOENT and ECONNREFUSED: no
// agent; ETIMEDOUT: it did not answer in time) or 0 when the reply is no HTTP.
Result<HttpReply> http_request(const std::string& socket, const std::string& method, const std::string& target,
                               std::string_view body, std::chrono::milliseconds deadline);

// One reply as read until the end of the connection. Pure; for tests and fuzzing too.
Result<HttpReply> parse_reply(std::string_view bytes);

// Percent-encoded, for a path segment or a query value.
std::string encoded(std::string_view text);

using Query = std::vector<std::pair<std::string, std::string>>;
// "/path?a=b&c=d", values percent-encoded; entries without a value are left out.
std::string target(const std::string& path, const Query& query);

}  // namespace sluice::ctl
