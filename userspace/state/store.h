// What survives the agent: the last good generation's documents and the audit history, in one SQLite database.
#pragma once

#include <array>
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
#include "state/canaries.h"

namespace sluice::state {

// Every kind that the store can keep.
inline constexpr std::array kKinds{config::Kind::kVirtualService, config::Kind::kDestinationRule,
                                   config::Kind::kServiceEntry,   config::Kind::kWorkloadEntry,
                                   config::Kind::kService,        config::Kind::kEndpointSlice,
                                   config::Kind::kExperiment,     config::Kind::kCanary};

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

// How a document was or is: before and after a change. Absent: it did not exist.
struct Version {
    std::string file;
    std::string bytes;
    bool operator==(const Version&) const = default;
};
struct ObjectVersions {
    config::ObjectKey key;
    std::optional<Version> before, after;
};

enum class ChangeSource { kDirectory, kApply, kStart, kCanary, kWeight, kRollback };
const char* source_name(ChangeSource source);

// Who asked: the peer of the admin socket, or the agent itself. Of an edit in the directory the owner of the files, if
// there is one of all, with the pid -1: nobody asked us.
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
    std::string errors;       // of a refused change, one diagnostic a line
    std::string message;      // the operator's -m text
    std::string file;         // from where: the file of a request, or the file or directory that was edited
    std::size_t objects = 0;  // whose documents before and after are kept with it; given by the store
};

// Which rows of the history; what is empty leaves nothing out.
struct HistoryQuery {
    std::size_t limit = 50;
    std::int64_t before = 0;                                       // ids below; 0: all
    std::int64_t id = 0;                                           // this one
    std::optional<std::uint64_t> generation{};                     // the newest that put it in force
    std::optional<config::ObjectKey> object{};                     // that changed it
    std::optional<std::chrono::system_clock::time_point> since{};  // not older
    bool refused = false;                                          // those alone
};

struct StoreOptions {
    // Older rows are dropped until all three hold; the newest stays in any case.
    std::size_t history_rows = 10'000;
    std::size_t history_objects = 1'000'000;     // changed objects of all rows
    std::uint64_t history_bytes = 256ull << 20;  // of documents that only the history needs
    std::size_t history_text = 64u << 10;  // bytes of summary and of errors in one row; longer text is cut, and says so
    std::size_t canary_steps = 1000;       // of one canary; older ones are dropped
    std::size_t canaries = 1000;           // that are over; those saved longest ago are dropped
};

// The database DIR/state.db. WAL with synchronous=FULL: the audit history has no second copy, and one fsync a
// generation happens after the generation is in force, off the path of every decision. Every call is one transaction:
// a crash leaves the state before or after it, and what record() has returned is there after any end of the process.
// Thread-safe: calls take a mutex.
//
// The history is kept backwards: the newest documents are whole, and each row keeps the documents of the objects that
// it changed, before and after. So dropping the oldest row never costs a younger one anything, and the documents after
// any kept row can be had. Equal texts are kept once.
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

    // A new generation is in force: its changed documents and its history row, whose id is returned. row.id and
    // row.objects are ignored; what does not differ from what is stored is no change.
    Result<std::int64_t> record(std::span<const ObjectChange> changes, const HistoryRow& row);
    // A change was refused: history only.
    Result<std::int64_t> record_refused(const HistoryRow& row);

    // Generation of the last record(); 0: none yet.
    Result<std::uint64_t> generation() const;
    // Streams every stored document, ordered by key; stops at the callback's first error and returns it. The callback
    // must not call the store.
    Result<> load(const std::function<Result<>(const StoredObject&)>& each) const;

    // Rows that fit the query, newest first.
    Result<std::vector<HistoryRow>> history(const HistoryQuery& query) const;
    Result<std::vector<HistoryRow>> history(std::size_t limit) const { return history(HistoryQuery{.limit = limit}); }
    // What one row changed, by key; empty for a refused one.
    Result<std::vector<ObjectVersions>> versions(std::int64_t id) const;
    // How the documents after row `id` differ from the newest: `before` is what they were then, `after` what they are.
    // By key; objects that are as they were then are left out.
    Result<std::vector<ObjectVersions>> since(std::int64_t id) const;
    // Of the newest state.
    Result<std::size_t> documents() const;
    // The oldest and the newest row that put something in force; empty: there is none.
    struct Kept {
        HistoryRow oldest, newest;
    };
    Result<std::optional<Kept>> kept() const;

    // A canary's state and the steps that led to it, both or neither.
    Result<> save_canary(const CanaryRow& canary, std::span<const CanaryStep> steps);
    Result<std::vector<CanaryRow>> canaries() const;  // by namespace and name
    // The newest `limit` steps, newest first.
    Result<std::vector<CanaryStep>> canary_steps(const std::string& ns, const std::string& name,
                                                 std::size_t limit) const;

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
