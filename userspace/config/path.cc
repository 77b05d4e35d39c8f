#include "config/path.h"

#include <algorithm>

#include "config/report.h"

namespace sluice::config {

namespace {
bool simple(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}
}  // namespace

void append_step(std::string& path, std::string_view key, int index) {
    if (index >= 0) {
        path += "[" + std::to_string(index) + "]";
    } else if (!key.empty() && std::ranges::all_of(key, simple)) {
        if (!path.empty()) {
            path += '.';
        }
        path += key;
    } else {
        path += "[" + quoted(key) + "]";
    }
}

}  // namespace sluice::config
