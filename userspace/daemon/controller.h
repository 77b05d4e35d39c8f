// The one pipeline: source -> objects -> mesh -> publisher -> generation; used alike by start, watch and apply.
//
// Order of a change: check everything, publish, write back, record. A crash between any two leaves the directory as the
// truth: the next start publishes what it says and brings the database to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "admin/views.h"
#include "compile/publisher.h"
#include "daemon/client_paths.h"
#include "daemon/gate.h"
#include "daemon/share_book.h"
#include "model/mesh.h"
#include "model/weigh.h"
#include "source/directory.h"
#include "source/write_back.h"
#include "state/store.h"

namespace sluice::daemon {

struct ControllerOptions {
    std::string directory;
    model::Options mesh;
    source::DirectoryLimits limits;
    std::string cgroup_mount = "/sys/fs/cgroup";  // base of relative client cgroups
    // What the model cannot judge (the proxy lane's regexes), as diagnostics; the change is refused unless it is empty.
    std::function<std::vector<std::string>(const model::Delta&)> check;
    // Called under the gate when a generation is in force: the proxy lane follows before apply() returns.
    std::function<void(const model::Mesh&)> published;
    // Called under the gate with the clients whose cgroups exist, before the kernel knows them.
    std::function<void(const ClientPaths::Resolved&)> clients;
    // Called between the steps of an apply ("published", those of the write-back, "written", "recorded"): where tests
    // end it.
    source::StepHook step;
};

// What one load did.
struct LoadReport {
    enum class Outcome { kUnchanged, kInForce, kRefused };
    Outcome outcome = Outcome::kUnchanged;
    std::uint64_t generation = 0;  // in force now
    bool from_state = false;       // the objects in force are the database's, not the directory's
    std::size_t changes = 0;
    std::vector<std::string> errors;    // of a refused load: every diagnostic
    std::vector<std::string> warnings;  // diagnostics, and what went wrong beside the load itself
};

struct AppliedChange {
    std::string object;
    std::string action;  // created, replaced, deleted, unchanged
    std::string file;
    std::optional<std::string> before, after;  // texts, for a dry run
};

struct ApplyReport {
    enum class Outcome { kDone, kInvalid, kConflict, kFailed };  // 200, 422, 409, 503
    Outcome outcome = Outcome::kDone;
    std::uint64_t generation = 0;
    std::vector<AppliedChange> changes;
    std::vector<std::string> errors;
    std::vector<std::string> warnings;
    std::vector<std::string> effects;  // which requests go elsewhere (verify/effect.h)
    std::vector<std::string> notes;    // how the weights of changed services count
};

// For status and metrics.
struct LoadState {
    bool last_success = false;
    bool from_state = false;
    std::uint64_t errors_total = 0;                   // refused loads
    std::chrono::system_clock::time_point loaded_at;  // of what is in force
    std::vector<std::string> last_error;
    std::vector<std::string> last_warnings;
    std::string state_error;   // of the last record; empty: recorded
    std::string client_error;  // of the client table; empty: all resolved clients are in it
    std::uint64_t applies_done = 0;
    std::uint64_t applies_refused = 0;
    std::size_t clients = 0;
    std::size_t clients_unresolved = 0;
};

// Thread-safe: every call takes the gate.
class Controller {
  public:
    // References must outlive the controller. With an adopted publisher adopt() was called.
    Controller(ControllerOptions options, compile::Publisher& publisher, state::Store& store);

    // The directory, or when it cannot be loaded, the last good objects of the database. kRefused with from_state
    // false: nothing was published; what earlier agents left in the tables stays in force.
    LoadReport start();
    // Looks for changes in the directory. `everything`: at every file, not only where the watch saw something.
    LoadReport rescan(bool everything);
    ApplyReport apply(const admin::ApplyRequest& request);

    // The text of the document that defines an object, as it stands in its file now. Errors: nothing in force has the
    // key (ENOENT); its file does not define it, now, or nothing can be written there; or it is an item of a List.
    struct Document {
        config::ObjectPtr object;  // parsed from `text`, which may be newer than what is in force
        std::string text;
        std::uint64_t generation = 0;
    };
    Result<Document> document(const config::ObjectKey& key);
    // As apply() of request.documents, one document of `key`, but only if the object's document is byte for byte
    // `expected` then; else `moved` is set and nothing was changed.
    struct ReplaceRequest {
        config::ObjectKey key;
        std::string expected;
        admin::ApplyRequest request;  // its peer is unused
        state::Actor actor;
        state::ChangeSource source = state::ChangeSource::kCanary;
    };
    struct ReplaceReport {
        ApplyReport apply;
        bool moved = false;
    };
    ReplaceReport replace(const ReplaceRequest& request);
    // The documents of a generation in the history are put in force again, written into their files and recorded, all
    // as apply() does it; what did not exist then is deleted. kInvalid also when the generation is not kept, is the
    // same as what is in force, or had no documents.
    ApplyReport rollback(const admin::RollbackRequest& request);
    // Gives a rule new weights: its document is edited in its file, put in force and recorded, all as apply() does it.
    // kInvalid also when no rule fits, or several; kConflict when the document was changed meanwhile again and again.
    struct WeightReport {
        ApplyReport apply;
        std::string object;  // the VirtualService; empty: no rule was found
        std::string rule;    // its rule's name, perhaps empty
        std::string file;
        int line = 0;
        std::vector<model::Weighed> weights;
    };
    WeightReport weight(const admin::WeightRequest& request);
    // As a dry run: the documents and the effects that differ between two generations.
    ApplyReport compare(const admin::CompareQuery& query);
    // Every object of a kind that is in force.
    std::vector<config::ObjectPtr> objects(config::Kind kind);

    // A descriptor that is readable when watch_due() should be called; -1 while the directory cannot be watched. It may
    // change with every load and apply.
    int watch_fd();
    bool watch_due();

    // Once a second and after changes: finds client cgroups that appeared, went away or were made again.
    // Returns what is wrong with the client table, or nothing.
    std::string resolve_clients();
    LoadState load_state();
    // The store's, without waiting for the gate.
    Result<std::vector<state::HistoryRow>> history(std::size_t limit) const { return store_.history(limit); }
    Result<std::vector<state::HistoryRow>> history(const state::HistoryQuery& query) const {
        return store_.history(query);
    }
    Result<std::vector<state::ObjectVersions>> versions(std::int64_t id) const { return store_.versions(id); }
    std::vector<model::ServicePortPtr> services();
    // Runs `look` under the gate, as a reader. The context is good for the call only.
    void view(const std::function<void(const model::Mesh&, const admin::ViewContext&)>& look);

  private:
    // What came into force, and how to go back.
    struct Published {
        std::uint64_t generation = 0;
        std::vector<model::Change> inverse;
        model::Delta delta;
    };
    struct Refused {
        bool invalid = false;  // the rules are wrong; else a table is full
        std::vector<std::string> errors;
    };
    struct Attempt;

    // All of these need the gate. Of loads (controller.cc):
    Result<> open_directory();
    LoadReport load(bool everything, bool starting);
    LoadReport load_stored(LoadReport refused);
    void settle(const LoadReport& report);
    void record_load(LoadReport& report, std::vector<state::ObjectChange> changes, std::string summary, bool starting);
    // Records what came into force; the error, or nothing.
    std::string remember(std::vector<state::ObjectChange> changes, state::HistoryRow row);
    // Of what is in force (pipeline.cc):
    std::vector<model::Change> inverse_of(std::span<const model::Change> changes) const;
    std::expected<model::Delta, Refused> advance(std::span<const model::Change> changes);
    void undo(std::span<const model::Change> inverse);
    Result<std::uint64_t> put_in_force(const model::Delta& delta);
    std::expected<Published, Refused> publish(std::span<const model::Change> changes);
    void resolve();
    // Of apply (apply.cc):
    void apply(Attempt& attempt, std::vector<std::string> errors);
    bool attempt(Attempt& attempt);
    std::optional<std::string> present(const config::ObjectKey& key) const;
    std::vector<model::Change> wanted_changes(Attempt& attempt) const;
    void dry_run(Attempt& attempt, std::span<const model::Change> changes);
    bool finish(Attempt& attempt, std::optional<source::WriteBack> writer, std::span<const model::Change> changes);
    void resync(Attempt& attempt);
    void record_apply(Attempt& attempt, std::span<const model::Change> changes);
    void record_refused_apply(const Attempt& attempt);
    // Of weight (weight.cc), which takes the gate itself:
    bool weigh(const admin::WeightRequest& request, const std::vector<model::Wish>& wishes, WeightReport& report);
    // Of rollback (rollback.cc):
    std::vector<std::string> effects_between(std::span<const state::ObjectVersions> versions);
    std::optional<std::string> go_back(Attempt& attempt, admin::ApplyRequest& request, const state::HistoryRow& to);
    void describe(std::span<const model::ServicePortPtr> changed, std::vector<std::string>& notes) const;
    std::vector<std::string> effects_of(const model::Delta& applied);
    void step(const char* name) const;

    const ControllerOptions options_;
    compile::Publisher& publisher_;
    state::Store& store_;

    Gate gate_;
    model::Mesh mesh_;
    std::optional<source::Directory> directory_;
    bool directory_loaded_ = false;  // directory_ has accepted a load
    bool based_ = false;             // publish_all() was done: deltas may follow
    ShareBook shares_;
    ClientPaths clients_;
    LoadState state_;
    std::map<config::ObjectKey, state::ObjectChange> unrecorded_;  // in force, but not in the store
};

}  // namespace sluice::daemon
