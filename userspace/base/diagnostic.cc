#include "base/diagnostic.h"

#include <algorithm>

namespace sluice {

std::string Diagnostic::text() const {
    std::string out = file.empty() ? "<input>" : file;
    if (line > 0) {
        out += ":" + std::to_string(line) + ":" + std::to_string(column);
    }
    out += ": ";
    if (severity == Severity::kWarning) {
        out += "warning: ";
    }
    if (!field.empty()) {
        out += field + ": ";
    }
    return out + message;
}

bool Diagnostics::has_errors() const {
    return std::ranges::any_of(items, [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

}  // namespace sluice
