// What the admin API asks of the agent. daemon/ implements it; tests fake it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace sluice::verify {
struct Question;
}

namespace sluice::admin {

using Json = nlohmann::ordered_json;

// Who sent a request over the Unix socket, as the kernel says (SO_PEERCRED).
struct Peer {
    std::int64_t uid = -1;
    std::int64_t pid = -1;
};

// A finished reply. `body` is JSON unless `type` says otherwise.
struct Answer {
    int status = 200;
    std::string body{};
    std::string type = "application/json";
};

// {"error": text} with a newline.
Answer error_answer(int status, const std::string& text);
// The value with a newline.
Answer json_answer(const Json& value);

enum class List { kServices, kRoutes, kSubsets, kEndpoints };

struct ListFilter {
    std::string host{};  // empty: all; else the service's full or short name
};

struct ExplainQuery {
    std::string host{};      // full or short name, or a virtual address
    std::uint16_t port = 0;  // 0: the service's only port
    std::string client{};    // a namespace; empty: what all see
};

// Bounds of the answers about connections, finished requests and services.
constexpr std::size_t kConnectionsDefault = 1000;
constexpr std::size_t kConnectionsMax = 100'000;
constexpr std::size_t kSamplesMax = 4096;  // kept by the agent, and in one answer
constexpr std::size_t kTopDefault = 1000;
constexpr std::size_t kTopMax = 10'000;

struct ConnectionsQuery {
    std::string host{};  // empty: all; else the service's full or short name
    std::size_t limit = kConnectionsDefault;
};

struct TailQuery {
    std::string host{};                    // as above
    std::optional<std::uint64_t> after{};  // `next` of the last answer; empty: begin now
    std::size_t limit = kSamplesMax;
};

struct TopQuery {
    std::string host{};
    std::size_t limit = kTopDefault;  // services
};

struct ApplyRequest {
    std::string documents{};  // YAML
    std::string file{};       // how diagnostics name it
    std::string message{};    // the operator's -m text
    bool dry_run = false;
    Peer peer{};
};

// What a person tells a canary to do.
struct CanaryRequest {
    std::string name{};     // NAME or NAMESPACE/NAME
    std::string command{};  // start, pause, resume, promote or abort
    std::string message{};  // the operator's -m text
    Peer peer{};
};

// Bounds of answers about the history.
constexpr std::size_t kHistoryDefault = 50;
constexpr std::size_t kHistoryMax = 10'000;
constexpr std::size_t kHistoryObjectsMax = 1000;  // entries, where their documents are asked for too

// Which entries of the history. What is empty or 0 leaves nothing out.
struct HistoryQuery {
    std::size_t limit = kHistoryDefault;
    std::int64_t before = 0;                    // older than the entry with this id
    std::int64_t entry = 0;                     // the one with this id
    std::optional<std::uint64_t> generation{};  // the newest one that put this generation in force
    std::string object{};                       // KIND/NAMESPACE/NAME: those that changed it
    std::optional<std::chrono::system_clock::time_point> since{};
    bool refused = false;  // those alone
    bool objects = false;  // with the documents of each changed object, before and after
};

// The documents of a generation that is in the history come back into force.
struct RollbackRequest {
    std::uint64_t generation = 0;
    std::int64_t entry = 0;  // 0: the newest entry with that generation; else the one with this id
    std::string message{};
    bool dry_run = false;
    Peer peer{};
};

// New weights for a rule in force (model/weigh.h).
struct WeightRequest {
    std::string service{};
    std::string route{};    // the rule's name; empty: the one that fits
    std::string weights{};  // "v45=90,v47=10"
    std::string message{};
    bool dry_run = false;
    Peer peer{};
};

// What differs between the documents of two generations.
struct CompareQuery {
    std::uint64_t from = 0;
    std::optional<std::uint64_t> to{};  // absent: what is in force
};

// Calls come from the server's threads, several at once. Only those that change something may wait for the disk, and
// only command_canary() for the network.
class Backend {
  public:
    virtual ~Backend() = default;

    virtual Json status() = 0;
    // A JSON array of flat objects, as text because it may be large.
    virtual std::string list(List what, const ListFilter& filter) = 0;
    // Experiments and their arms (experiments.h).
    virtual Result<Json> experiments(const ListFilter&) { return fail("experiments are not available"); }
    virtual Json maps() = 0;
    virtual Result<Json> map(const std::string& name) = 0;  // error: no such map
    virtual Result<Json> explain(const ExplainQuery& query) = 0;
    // What one request gets (answers.h). Errors: no such service, or a request that no client could send.
    virtual Result<Json> answer(const verify::Question&) { return fail("answers to requests are not available"); }
    // A JSON array of entries, newest first, as text because it may be large. Errors: EINVAL, an object that cannot be
    // a key; or the database.
    virtual Result<std::string> history(const HistoryQuery& query) = 0;
    // {"total": open connections that match, "shown": N, "connections": [flat objects]}, as text because it may be
    // large. Errors of these three: no such service, or the kernel does not answer.
    virtual Result<std::string> connections(const ConnectionsQuery& query) = 0;
    // {"next": N, "lost": since the maps were made, "skipped": between `after` and the first, "samples": [flat
    // objects]}. Programs report finished requests for two seconds after each call.
    virtual Result<Json> tail(const TailQuery& query) = 0;
    // Counters of services (top.h); two answers make rates.
    virtual Result<std::string> top(const TopQuery& query) = 0;
    virtual Answer apply(const ApplyRequest& request) = 0;
    // As apply().
    virtual Answer rollback(const RollbackRequest&) { return error_answer(404, "rollback is not available"); }
    // As apply(), with the rule: {object, name, file, line} and all of its weights: [{destination, before, after}].
    virtual Answer weight(const WeightRequest&) { return error_answer(404, "weight is not available"); }
    // As a dry run of apply().
    virtual Answer compare(const CompareQuery&) { return error_answer(404, "diff is not available"); }
    // All canaries, or the one of that name (canaries.h).
    virtual Answer canaries(const std::string&) { return error_answer(404, "canaries are not available"); }
    // Returns when the step is done, with the canary as it is then.
    virtual Answer command_canary(const CanaryRequest&) { return error_answer(404, "canaries are not available"); }
    virtual std::string metrics() = 0;
    // Empty: healthy (the control thread ticks). Else why not.
    virtual std::string unhealthy() = 0;
    // Empty: a generation is in force. Else why not.
    virtual std::string unready() = 0;
};

}  // namespace sluice::admin
