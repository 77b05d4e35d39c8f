// inotify with a debounce behind one descriptor. Private to this room.
#pragma once

#include <set>
#include <string>
#include <unordered_map>

#include "base/fd.h"
#include "base/result.h"
#include "source/directory.h"

namespace sluice::source {

// What may have changed since the last take().
struct Suspects {
    bool everything = false;      // events were lost, or directories changed
    std::set<std::string> files;  // rule files with events
};

// Not thread-safe.
class Watch {
  public:
    static Result<Watch> create(Debounce debounce);

    // Watches one directory of the tree. Fails with the remedy when the kernel's limit is reached.
    Result<> add(const std::string& directory);
    // Watches a directory outside the tree for one name in it (a link's target; the tree's own root): an event there
    // makes everything suspect.
    Result<> add_outside(const std::string& directory, const std::string& name);

    // Readable when due() has something to do.
    int fd() const { return poll_.get(); }
    // Reads what is there. true: events came and the burst is over.
    bool due();
    Suspects take();

  private:
    void drain();
    bool see(int watch, std::uint32_t mask, std::string_view name);  // true: something is suspect
    void arm();

    Debounce debounce_;
    Fd poll_, inotify_, timer_;
    std::unordered_map<int, std::string> directories_;
    std::unordered_map<int, std::set<std::string>> outside_;
    Suspects suspects_;
    std::chrono::steady_clock::time_point first_;
    bool burst_ = false;
};

}  // namespace sluice::source
