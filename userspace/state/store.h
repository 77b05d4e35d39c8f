// What survives the agent: the last good generation's documents and the audit history, in one SQLite database.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/objects.h"

namespace sluice::state {

// A document as it was put in force.
struct StoredObject {
    config::ObjectKey key;
    std::string file;   // where it was defined
    std::string bytes;  // the document's text, without separators
};

// One replaced (bytes set) or removed document.
struct ObjectChange {
    config::ObjectKey key;
    std::string file;
    std::optional<std::string> bytes;
};

enum class ChangeSource { kDirectory, kApply, kStart };
const char* source_name(ChangeSource source);

// Who asked: the peer of the admin socket, or the agent itself.
struct Actor {
    std::int64_t uid = -1;
    std::int64_t pid = -1;
    std::string user;  // name of uid, or "uid N"
};

// One attempt to change what is in force.
struct HistoryRow {
    std::int64_t id = 0;           // given by the store, ascending
    std::uint64_t generation = 0;  // that came into force, or the one that stayed when refused
    std::chrono::system_clock::time_point time;
    Actor actor;
    ChangeSource source = ChangeSource::kDirectory;
    std::string summary;  // what changed, one object a line
    bool ok = true;
    std::string errors;   // of a refused change, one diagnostic a line
    std::string message;  // the operator's -m text
};

struct StoreOptions {
    std::size_t history_rows = 10'000;     // older ones are dropped
    std::size_t history_text = 64u << 10;  // bytes of summary and of errors in one row; longer text is cut, and says so
};

// The database DIR/state.db. WAL with synchronous=FULL: the audit history has no second copy, and one fsync a
// generation happens after the generation is in force, off the path of every decision. Every call is one transaction:
// a crash leaves the state before or after it. Not thread-safe.
class Store {
  public:
    struct Opened;
    // Creates the directory (0700) and database (0600) when missing, migrates an older schema. A database that is
    // corrupt is moved aside to state.db.corrupt-<time> and a new one begun; a newer schema is an error that leaves the
    // file alone.
    static Result<Opened> open(const std::string& directory, StoreOptions options = {});
    ~Store();
    Store(Store&&) noexcept;
    Store& operator=(Store&&) noexcept;

    // A new generation is in force: its changed documents and its history row. row.id is ignored.
    Result<> record(std::span<const ObjectChange> changes, const HistoryRow& row);
    // A change was refused: history only.
    Result<> record_refused(const HistoryRow& row);

    // Generation of the last record(); 0: none yet.
    Result<std::uint64_t> generation() const;
    // Streams every stored document, ordered by key; stops at the callback's first error and returns it.
    Result<> load(const std::function<Result<>(const StoredObject&)>& each) const;
    // The newest `limit` rows, newest first.
    Result<std::vector<HistoryRow>> history(std::size_t limit) const;

  private:
    struct Impl;
    explicit Store(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

struct Store::Opened {
    Store store;
    std::optional<Error> recovered;  // the database was corrupt: what was found and where the old file is now
};

}  // namespace sluice::state
