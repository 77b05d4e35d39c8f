// The diagnostics of one file while it is parsed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/diagnostic.h"
#include "config/objects.h"

namespace sluice::config {

class Report {
  public:
    explicit Report(std::string file) : file_(std::move(file)) {}

    void error(Place place, std::string field, std::string message);
    void warning(Place place, std::string field, std::string message);

    std::size_t errors() const { return errors_; }
    const std::string& file() const { return file_; }
    // Puts what was added since `mark` into the order of the file.
    std::size_t mark() const { return found_.items.size(); }
    void sort_from(std::size_t mark);
    // Forgets what was added since `mark`.
    void drop_from(std::size_t mark);

    // Appends everything to `out`, which keeps at most `limit` errors and as many warnings; one line counts the rest.
    void flush(std::size_t limit, Diagnostics& out) &&;

  private:
    // A hostile file must not fill the memory with complaints.
    static constexpr std::size_t kHeld = 100'000;

    void add(Severity severity, Place place, std::string field, std::string message);

    std::string file_;
    Diagnostics found_;
    std::size_t errors_ = 0;
    std::size_t unheld_ = 0;
};

// User text for a message: quoted, control characters escaped, cut when long.
std::string quoted(std::string_view text);

}  // namespace sluice::config
