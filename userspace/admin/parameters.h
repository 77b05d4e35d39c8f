// Parameters of a request, checked. Private to the router's files.
#pragma once

#include <charconv>
#include <cstdint>
#include <expected>
#include <limits>
#include <optional>
#include <string>

#include "admin/router.h"

namespace sluice::admin {

inline std::string parameter(const Request& request, const char* name) {
    auto found = request.query.find(name);
    return found == request.query.end() ? std::string() : found->second;
}

template <typename Number>
std::optional<Number> number(const std::string& text, Number max) {
    Number value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > max) {
        return std::nullopt;
    }
    return value;
}

// A parameter up to `max`, or an answer that says what is allowed.
template <typename Number>
std::expected<Number, Answer> limited(const Request& request, const char* name, Number fallback, Number max) {
    std::string text = parameter(request, name);
    if (text.empty()) {
        return fallback;
    }
    auto parsed = number(text, max);
    if (!parsed || *parsed < 0) {
        return std::unexpected(
            error_answer(400, std::string(name) + ": expected 0.." + std::to_string(max) + ", found '" + text + "'"));
    }
    return *parsed;
}

// 0, 1 or nothing.
inline std::expected<bool, Answer> flag(const Request& request, const char* name) {
    std::string text = parameter(request, name);
    if (!text.empty() && text != "0" && text != "1") {
        return std::unexpected(error_answer(400, std::string(name) + ": expected 0 or 1, found '" + text + "'"));
    }
    return text == "1";
}

// POST /v1/weight (router_weight.cc).
Answer route_weight(Backend& backend, const Request& request);
// GET /v1/history and /v1/diff, POST /v1/rollback (router_history.cc).
Answer route_history(Backend& backend, const Request& request);
Answer route_compare(Backend& backend, const Request& request);
Answer route_rollback(Backend& backend, const Request& request);

}  // namespace sluice::admin
