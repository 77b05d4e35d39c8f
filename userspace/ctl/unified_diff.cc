#include <algorithm>
#include <string_view>
#include <vector>

#include "ctl/changes.h"

namespace sluice::ctl {

namespace {

constexpr std::size_t kContext = 3;
constexpr std::size_t kTableMax = 16u << 20;  // cells of the comparison; beyond, the texts are shown whole

using Lines = std::vector<std::string_view>;

Lines split(const std::string& text) {
    Lines out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        out.push_back(std::string_view(text).substr(at, end - at));
        at = end + 1;
    }
    return out;
}

struct Line {
    char mark;
    std::string_view text;
};

// Longest common subsequence by the plain table: documents are short.
std::vector<Line> compare(const Lines& before, const Lines& after) {
    const std::size_t n = before.size(), m = after.size();
    std::vector<Line> out;
    if ((n + 1) * (m + 1) > kTableMax) {
        std::ranges::transform(before, std::back_inserter(out), [](std::string_view text) { return Line{'-', text}; });
        std::ranges::transform(after, std::back_inserter(out), [](std::string_view text) { return Line{'+', text}; });
        return out;
    }
    std::vector<std::uint32_t> length((n + 1) * (m + 1), 0);
    const auto at = [&](std::size_t i, std::size_t j) -> std::uint32_t& { return length[i * (m + 1) + j]; };
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t j = m; j-- > 0;) {
            at(i, j) = before[i] == after[j] ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
        }
    }
    for (std::size_t i = 0, j = 0; i < n || j < m;) {
        if (i < n && j < m && before[i] == after[j]) {
            out.push_back({' ', before[i++]});
            ++j;
        } else if (i < n && (j == m || at(i + 1, j) >= at(i, j + 1))) {
            out.push_back({'-', before[i++]});
        } else {
            out.push_back({'+', after[j++]});
        }
    }
    return out;
}

}  // namespace

std::string unified_diff(const std::string& before, const std::string& after) {
    const std::vector<Line> lines = compare(split(before), split(after));
    std::vector<bool> shown(lines.size(), false);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (lines[i].mark != ' ') {
            const std::size_t first = i < kContext ? 0 : i - kContext;
            std::fill(shown.begin() + static_cast<std::ptrdiff_t>(first),
                      shown.begin() + static_cast<std::ptrdiff_t>(std::min(lines.size(), i + kContext + 1)), true);
        }
    }
    std::string out;
    bool gap = false;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!shown[i]) {
            gap = true;
            continue;
        }
        if (gap && !out.empty()) {
            out += "  …\n";
        }
        gap = false;
        out += std::string(1, lines[i].mark) + " " + printable(std::string(lines[i].text)) + "\n";
    }
    return out;
}

}  // namespace sluice::ctl
