// Puts applied documents back into the files that define them, changing no other byte.
//
// Protocol of one transaction. Writers that know it (agents, `sluice`) exclude each other by flock(2) on
// the directory itself. Editors do not know it, therefore:
//   prepare()  takes the lock; refuses, before anything is published, when a directory or file is read-only, or when a
//              file is no longer what the last accepted scan() saw (conflict: scan, then try again).
//   commit()   for each file: reads it again and compares its digest; writes the new content to a hidden temporary file
//              in the same directory with the same mode and owner; fsync; exchanges the two names atomically
//              (RENAME_EXCHANGE) and compares what came out with what was read. If an editor saved in between, or has
//              the file open for writing, the names are exchanged back and it is a conflict: the editor's bytes stay.
//              A new file is linked only if the name is free. Then the directory is fsynced.
// Where the file system cannot exchange names, the digest is compared directly before a plain rename.
// A crash leaves each file whole, old or new; left-over temporary files are removed by the next transaction.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/objects.h"
#include "source/directory.h"

namespace sluice::source {

// One document to replace or create (`bytes` without separators), or to delete (no bytes).
struct Edit {
    config::ObjectKey key;
    std::optional<std::string> bytes;
    // Where it goes if no file defines it: behind what that file holds, which is made if it is missing. Empty, not
    // below the directory or not a name of rules: a file of its own.
    std::string file{};
};

enum class WriteAction { kReplaced, kCreated, kDeleted, kUnchanged };
const char* action_name(WriteAction action);

struct Written {
    config::ObjectKey key;
    WriteAction action = WriteAction::kUnchanged;
    std::string file;
};

// The text of an object parsed out of `body`, as a document of its own: what an Edit and the state database take. An
// item of a List is taken out of its indentation.
std::string document_text(std::string_view body, const config::Object& object);

// A file is not what the last accepted scan saw: nothing of it was overwritten; scan() and try again.
bool is_conflict(const Error& error);

// Between two steps of a commit; tests end the process there. Names are those of the steps.
using StepHook = std::function<void(const char* step)>;

// One transaction on a directory, which must outlive it and not be scanned meanwhile. Holds the lock until destroyed.
class WriteBack {
  public:
    // Whether documents could be written at all: the reason with its remedy when not. Changes nothing.
    static Result<> check_writable(const Directory& directory);

    // `lock_wait`: how long another writer may hold the lock before this fails.
    static Result<WriteBack> prepare(Directory& directory, std::vector<Edit> edits,
                                     std::chrono::milliseconds lock_wait = std::chrono::seconds(2));
    ~WriteBack();
    WriteBack(WriteBack&&) noexcept;
    WriteBack& operator=(WriteBack&&) noexcept;

    // The file that each edit goes to, in the order of the edits; for `apply`'s answer before the commit.
    std::vector<Written> plan() const;

    // Writes all files. The directory takes the edits for accepted: its next scan() does not report them again. On
    // error the files written before it stay written (and accepted); the message names the file that failed.
    Result<std::vector<Written>> commit(const StepHook& hook = {});

  private:
    struct Impl;
    explicit WriteBack(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::source
