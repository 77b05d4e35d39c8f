#include "config/report.h"

#include <algorithm>
#include <cstdlib>
#include <tuple>

namespace sluice::config {

namespace {
constexpr const char* kRest = " more problems, in this file or before it, are not listed";
}

void Report::add(Severity severity, Place place, std::string field, std::string message) {
    if (severity == Severity::kError) {
        ++errors_;
    }
    if (found_.items.size() >= kHeld) {
        ++unheld_;
        return;
    }
    found_.add({severity, file_, place.line, place.column, std::move(field), std::move(message)});
}

void Report::error(Place place, std::string field, std::string message) {
    add(Severity::kError, place, std::move(field), std::move(message));
}

void Report::warning(Place place, std::string field, std::string message) {
    add(Severity::kWarning, place, std::move(field), std::move(message));
}

void Report::sort_from(std::size_t mark) {
    if (mark < found_.items.size()) {
        std::sort(found_.items.begin() + static_cast<std::ptrdiff_t>(mark), found_.items.end(),
                  [](const Diagnostic& a, const Diagnostic& b) {
                      return std::tie(a.line, a.column, a.field, a.message) <
                             std::tie(b.line, b.column, b.field, b.message);
                  });
    }
}

void Report::drop_from(std::size_t mark) {
    while (found_.items.size() > mark) {
        errors_ -= found_.items.back().severity == Severity::kError ? 1 : 0;
        found_.items.pop_back();
    }
}

void Report::flush(std::size_t limit, Diagnostics& out) && {
    const auto count = [&](Severity severity) {
        return static_cast<std::size_t>(
            std::ranges::count_if(out.items, [&](const Diagnostic& d) { return d.severity == severity; }));
    };
    std::size_t room[2] = {limit, limit};
    for (const Severity severity : {Severity::kError, Severity::kWarning}) {
        const std::size_t used = count(severity);
        room[static_cast<int>(severity)] = used < limit ? limit - used : 0;
    }
    std::size_t dropped = unheld_;
    for (Diagnostic& diagnostic : found_.items) {
        std::size_t& left = room[static_cast<int>(diagnostic.severity)];
        if (left == 0) {
            ++dropped;
            continue;
        }
        --left;
        out.add(std::move(diagnostic));
    }
    if (dropped == 0) {
        return;
    }
    // One line for the whole load: the last one, if it is such a line, goes on counting.
    if (!out.items.empty() && out.items.back().message.ends_with(kRest)) {
        dropped += std::strtoull(out.items.back().message.c_str(), nullptr, 10);
        if (out.items.back().severity == Severity::kError) {
            ++errors_;
        }
        out.items.pop_back();
    }
    out.add({errors_ > 0 ? Severity::kError : Severity::kWarning, file_, 0, 0, "", std::to_string(dropped) + kRest});
}

std::string quoted(std::string_view text) {
    constexpr std::size_t kShown = 80;
    constexpr char kHex[] = "0123456789abcdef";
    std::size_t shown = std::min(text.size(), kShown);
    while (shown < text.size() && shown > 0 && (static_cast<unsigned char>(text[shown]) & 0xc0) == 0x80) {
        --shown;  // never inside a character
    }
    std::string out = "\"";
    for (const char c : text.substr(0, shown)) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (byte < 0x20 || byte == 0x7f) {
            out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
        } else if (c == '"' || c == '\\') {
            out += {'\\', c};
        } else {
            out += c;
        }
    }
    return out + (shown < text.size() ? "\"…" : "\"");
}

}  // namespace sluice::config
