// Finished requests as lines for people. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "ctl/render.h"

namespace sluice::ctl {

// Columns grow with what they showed, so that lines stay aligned without knowing the lines to come.
class TailLines {
  public:
    explicit TailLines(bool colour) : colour_(colour) {}

    // The column names; with a newline, as all lines.
    std::string title();
    // One sample of /v1/tail.
    std::string line(const Json& sample);

  private:
    static constexpr std::size_t kColumns = 14;
    using Cells = std::array<std::string, kColumns>;
    std::string joined(const Cells& cells);

    bool colour_;
    std::array<std::size_t, kColumns> widths_{};
};

}  // namespace sluice::ctl
