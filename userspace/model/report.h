// Collects what a change has to say: one diagnostic a place and field, each severity apart.
#pragma once

#include <set>
#include <string>
#include <tuple>

#include "base/diagnostic.h"
#include "config/objects.h"

namespace sluice::model {

class Report {
  public:
    void error(const config::Object& object, config::Place place, std::string field, std::string message) {
        add(Severity::kError, object, place, std::move(field), std::move(message));
    }
    void warning(const config::Object& object, config::Place place, std::string field, std::string message) {
        add(Severity::kWarning, object, place, std::move(field), std::move(message));
    }
    bool has_errors() const { return !errors_.items.empty(); }
    // Sorted by file, line, column. Errors carry the warnings behind them.
    Diagnostics take_warnings();
    Diagnostics take_all();

  private:
    void add(Severity severity, const config::Object& object, config::Place place, std::string field,
             std::string message);

    Diagnostics errors_, warnings_;
    std::set<std::tuple<Severity, std::string, int, int, std::string>> seen_;
};

// "FILE:LINE" of a place in an object's file.
std::string place_text(const config::Object& object, config::Place place);

}  // namespace sluice::model
