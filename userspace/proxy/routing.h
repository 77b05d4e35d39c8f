// What is done with a request once its rule is known, and with the answer: all that is neither time nor connections.
// Pure. Text is appended to strings that the caller reuses; nothing else is allocated in steady state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/head.h"
#include "proxy/experiment.h"
#include "proxy/table.h"

namespace sluice::proxy {

// Fills `asked` for a head: splits and normalises its target into `path` (kept by the caller), finds scheme and
// authority. False: the path cannot be normalised (400).
bool ask(const http::RequestHead& head, const Client& client, std::uint16_t port, std::string& path, Asked& asked);

// False: CONNECT, or an upgrade that is refused (kUpgradeReply). WebSocket is passed on, as Istio's listeners allow:
// `protocol` gets its name, else it stays as it is. An upgrade to HTTP/2 or TLS is an offer that may be ignored (RFC
// 9110 7.8), as Envoy does. A request with a body cannot change its protocol here: it goes on as a plain one.
bool allow_upgrade(const http::RequestHead& head, std::string_view& protocol);

// A share of a million against a random word.
bool drawn(config::Millionths share, std::uint64_t random);

// The destination of a rule: by its split if it has one and the request has the key, else by weight (sl_choose_column
// of bpf/lib). The index; nullopt: the rule has none. `random`: a fresh word, or the draw is not independent.
// `assigned`, unless null, gets what the key was assigned to; empty: it was drawn.
std::optional<std::size_t> choose(const Rule& rule, const Asked& asked, std::uint64_t random,
                                  std::optional<Assigned>* assigned = nullptr);

// The key of consistentHash as Envoy hashes it (XXH64; useSourceIp as the direct lane); nullopt: the cluster hashes
// nothing, or the request lacks the key. `set_cookie` gets the value of a Set-Cookie field when one is to be made (ttl
// given, cookie missing), else it is cleared: `connection` seeds it.
std::optional<std::uint64_t> hash_key(const model::Cluster& cluster, const Asked& asked, std::uint64_t connection,
                                      std::string& set_cookie);

// What proxies add, and what header values may refer to.
struct Context {
    const Asked* asked = nullptr;
    const VirtualHost* host = nullptr;
    const Rule* rule = nullptr;
    std::size_t destination = 0;
    std::uint32_t attempt = 1;          // x-envoy-attempt-count
    std::uint64_t remaining_ms = 0;     // x-envoy-expected-rq-timeout-ms; 0: none
    std::string_view request_id;        // when the client sent none
    std::string_view upgrade;           // protocol of an upgrade that is passed on; empty: none
    bool mirror = false;                // of the copy: x-envoy-internal
    bool shadow_suffix = false;         // of the copy: its Host gets "-shadow", as with Istio before 1.28
    std::uint64_t service_time_ms = 0;  // x-envoy-upstream-service-time; UINT64_MAX: left out
    std::string_view date;              // of answers that have none, as RFC 9110 writes it; empty: none
};

// A request id (UUID version 4, 36 octets) of 128 random bits.
void make_request_id(std::uint64_t high, std::uint64_t low, std::string& out);

// The request's head as the upstream gets it: target rewritten, hop-by-hop fields left out, header operations in
// Istio's order, x-envoy-*, x-request-id, x-forwarded-proto; framing as `framing` says. Expect is passed on, but not
// with mirrors.
void write_request(const Context& context, const http::RequestHead& head, http::Framing framing, std::uint64_t length,
                   std::string& out);
// The answer's head as the client gets it. `close`: Connection: close. An upstream's Server stays; without one it is
// "sluice". 1xx: nothing is added but, with 101, the upgrade.
void write_response(const Context& context, const http::ResponseHead& head, http::Framing framing, std::uint64_t length,
                    std::string_view set_cookie, bool close, std::string& out);

// Redirects and direct answers of a rule; the whole message, for HEAD without the body. False: the rule forwards. A
// request that has a body is answered with Connection: close in any case, as by Envoy.
bool write_local_action(const Context& context, bool close, std::string& out, int& status);

// A local answer (reference: Envoy's local replies): status, text/plain body, and for gRPC requests HTTP 200 with
// grpc-status. Rule response headers apply.
void write_local_reply(const Context& context, int status, std::string_view body, bool overloaded, bool close,
                       std::string& out);

}  // namespace sluice::proxy
