// What the admin API asks of the agent. daemon/ implements it; tests fake it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"

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

// Calls come from the server's threads, several at once. None may wait for the network, and only apply() for the disk.
class Backend {
  public:
    virtual ~Backend() = default;

    virtual Json status() = 0;
    // A JSON array of flat objects, as text because it may be large.
    virtual std::string list(List what, const ListFilter& filter) = 0;
    virtual Json maps() = 0;
    virtual Result<Json> map(const std::string& name) = 0;  // error: no such map
    virtual Result<Json> explain(const ExplainQuery& query) = 0;
    virtual Result<Json> history(std::size_t limit) = 0;
    // {"total": open connections that match, "shown": N, "connections": [flat objects]}, as text because it may be
    // large. Errors of these three: no such service, or the kernel does not answer.
    virtual Result<std::string> connections(const ConnectionsQuery& query) = 0;
    // {"next": N, "lost": since the maps were made, "skipped": between `after` and the first, "samples": [flat
    // objects]}. Programs report finished requests for two seconds after each call.
    virtual Result<Json> tail(const TailQuery& query) = 0;
    // Counters of services (top.h); two answers make rates.
    virtual Result<std::string> top(const TopQuery& query) = 0;
    virtual Answer apply(const ApplyRequest& request) = 0;
    virtual std::string metrics() = 0;
    // Empty: healthy (the control thread ticks). Else why not.
    virtual std::string unhealthy() = 0;
    // Empty: a generation is in force. Else why not.
    virtual std::string unready() = 0;
};

}  // namespace sluice::admin
