// What a load has to say about its input: every error and warning, each with its place.
#pragma once

#include <string>
#include <vector>

namespace sluice {

enum class Severity { kError, kWarning };

// Printed as `FILE:LINE:COLUMN: FIELD: message` (design: FIELD is a path such as spec.http[0].route[1].weight).
struct Diagnostic {
    Severity severity = Severity::kError;
    std::string file;
    int line = 0;    // from 1; 0: no place inside the file
    int column = 0;  // from 1
    std::string field;
    std::string message;  // what was found and what is allowed

    std::string text() const;
};

struct Diagnostics {
    std::vector<Diagnostic> items;

    bool has_errors() const;
    void add(Diagnostic diagnostic) { items.push_back(std::move(diagnostic)); }
};

}  // namespace sluice
