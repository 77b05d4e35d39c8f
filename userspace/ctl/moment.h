// Times as people write them.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace sluice::ctl {

// Seconds since 1970 of "2026-11-21", "2026-11-21T10:00", "2026-11-21T10:00:00Z" (UTC), or so long before `now`: "90s",
// "30m", "2h", "7d", "2w".
std::optional<std::int64_t> moment(const std::string& text, std::chrono::system_clock::time_point now);

}  // namespace sluice::ctl
