// Replaces a file's content so that a crash leaves it whole and a writer who does not know our lock loses nothing.
// Private to this room; the protocol is in write_back.h.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "source/catalog.h"
#include "source/write_back.h"

namespace sluice::source {

// What stat(2) says about a file just written.
struct FileStamp {
    Signature signature;
    std::int64_t read_at_ns = 0;
};

// One existing file, read and to be replaced or removed. A symbolic link is followed: its target is replaced.
class ReplaceFile {
  public:
    static Result<ReplaceFile> open(const std::string& file, std::size_t limit);

    const std::string& bytes() const { return read_.bytes; }
    // A conflict (ESTALE) leaves the file with the other writer's bytes.
    Result<FileStamp> replace(std::string_view content, const StepHook& hook);
    Result<> remove(const StepHook& hook);

  private:
    Result<> swap_in(const std::string& temporary, const Signature& ours, const StepHook& hook) const;
    bool is_as_read(const std::string& path) const;

    std::string file_;    // as named to people
    std::string target_;  // behind symbolic links
    FileBytes read_;
};

// Makes a new file (0644 as the umask allows). EEXIST when the name is taken: nothing is overwritten.
Result<FileStamp> create_file(const std::string& file, std::string_view content, const StepHook& hook);

}  // namespace sluice::source
