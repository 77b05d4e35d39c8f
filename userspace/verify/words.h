// Rules in words, for explain, diff and rule tests. Pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/http_rule.h"
#include "model/mesh.h"

namespace sluice::verify {

std::string duration_text(std::chrono::nanoseconds time);  // "80ms", "1.5s"
std::string share_text(double share);                      // of 1, as "12.5%"
std::string share_text(config::Millionths share);

// "path starts with "/v2" and header x-user = "jason"", or "every request".
std::string match_text(const config::HttpMatch& match);

// What a rule does beside choosing among its destinations: a text each, in a fixed order.
struct Deed {
    const char* what;  // "time-out", "retries", …: each at most once
    std::string text;
    bool headers = false;  // the text has values of header fields
};
std::vector<Deed> deeds(const model::HttpRoute& rule);
// "set x-model = v47, remove x-debug"; empty: nothing.
std::string operations_text(const config::HeaderOps& operations);

}  // namespace sluice::verify
