// What plain YAML scalars mean (YAML 1.1 as Kubernetes' tools read it) and Go's durations. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace sluice::config {

// kBoolWord: yes, no, on, off, y, n, which YAML 1.1 takes for booleans and YAML 1.2 for texts.
enum class Scalar { kNull, kBool, kBoolWord, kInteger, kOtherNumber, kText };

// Of a scalar without quotes. kInteger is decimal without leading zeros; every other number (0x10, 1_000, 010, 1.5,
// .inf) is kOtherNumber.
Scalar classify(std::string_view plain);

// Decimal, with sign; the text must be all of it. Empty when it does not fit 64 bits.
std::expected<std::int64_t, std::string> parse_integer(std::string_view text);

// Go's time.ParseDuration with Istio's rules: not negative, a multiple of 1ms, at least 1ms (or zero when allowed). The
// error says what is wrong.
std::expected<std::chrono::nanoseconds, std::string> parse_duration(std::string_view text, bool zero_allowed);

}  // namespace sluice::config
