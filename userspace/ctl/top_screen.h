// The terminal of `sluice top` (ncurses): draws frames, reads keys.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "ctl/top_view.h"

namespace sluice::ctl {

// Owns the terminal from open() on; destruction gives it back as it was. One at a time, one thread.
class TopScreen {
  public:
    // Fails when the terminal's kind ($TERM) is not known.
    static Result<TopScreen> open(bool colour);
    TopScreen(TopScreen&&) noexcept;
    ~TopScreen();

    std::size_t width() const;
    std::size_t height() const;
    // Takes the terminal's size as it is now; what was drawn is forgotten.
    void resize();
    void draw(const std::vector<FrameLine>& frame);
    // The next key that was pressed and means something; empty: none is waiting.
    std::optional<TopKey> key();
    // Nobody can press a key any more.
    bool gone() const { return gone_; }

  private:
    struct Terminal;
    explicit TopScreen(std::unique_ptr<Terminal> terminal);
    std::unique_ptr<Terminal> terminal_;
    bool gone_ = false;
};

}  // namespace sluice::ctl
