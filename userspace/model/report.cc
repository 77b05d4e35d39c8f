#include "model/report.h"

#include <algorithm>

namespace sluice::model {
namespace {

void sort_by_place(std::vector<Diagnostic>& items) {
    std::ranges::stable_sort(items, {},
                             [](const Diagnostic& d) { return std::tie(d.file, d.line, d.column, d.field); });
}

}  // namespace

void Report::add(Severity severity, const config::Object& object, config::Place place, std::string field,
                 std::string message) {
    if (place.line == 0) {
        place = object.place;
    }
    // The same fault seen from a second scope or a second route is still one fault.
    if (!seen_.emplace(severity, object.file, place.line, place.column, field).second) {
        return;
    }
    Diagnostics& list = severity == Severity::kError ? errors_ : warnings_;
    list.add({severity, object.file, place.line, place.column, std::move(field), std::move(message)});
}

Diagnostics Report::take_warnings() {
    sort_by_place(warnings_.items);
    return std::move(warnings_);
}

Diagnostics Report::take_all() {
    sort_by_place(errors_.items);
    sort_by_place(warnings_.items);
    Diagnostics all = std::move(errors_);
    all.items.insert(all.items.end(), warnings_.items.begin(), warnings_.items.end());
    return all;
}

std::string place_text(const config::Object& object, config::Place place) {
    return object.file + ":" + std::to_string(place.line != 0 ? place.line : object.place.line);
}

}  // namespace sluice::model
