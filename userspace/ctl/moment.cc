#include "ctl/moment.h"

#include <charconv>
#include <ctime>

namespace sluice::ctl {

namespace {

constexpr std::int64_t kLongest = 100'000'000'000;  // seconds

std::optional<std::int64_t> unit_seconds(std::string_view unit) {
    const std::pair<std::string_view, std::int64_t> units[]{
        {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}};
    for (const auto& [name, seconds] : units) {
        if (unit == name) {
            return seconds;
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> moment(const std::string& text, std::chrono::system_clock::time_point now) {
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    const auto unit = unit_seconds(std::string_view(end, text.data() + text.size()));
    const std::int64_t today = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    if (error == std::errc() && count >= 0 && unit && count <= kLongest / *unit) {
        return std::max<std::int64_t>(0, today - count * *unit);
    }
    for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M",
                               "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
        std::tm parts{};
        const char* rest = ::strptime(text.c_str(), format, &parts);
        if (rest != nullptr && *rest == '\0') {
            return ::timegm(&parts);
        }
    }
    return std::nullopt;
}

}  // namespace sluice::ctl
