// One request of a client and its answer: where it goes, its tries, time-outs, and what the client gets.
//
//   exchange.cc          the request comes in: rule, faults, answers of our own
//   exchange_try.cc      tries at endpoints: start, the request's way there, time-outs, retries
//   exchange_answer.cc   the answer's way back, raw octets after an upgrade
//   exchange_record.cc   what metrics and logs are told
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/parser.h"
#include "io/loop.h"
#include "proxy/body.h"
#include "proxy/record.h"
#include "proxy/replies.h"
#include "proxy/routing.h"
#include "proxy/upstream.h"

namespace sluice::proxy {

class ClientConnection;
class Worker;
struct HeldTable;

// Used again for request after request of any connection of its worker, so that none allocates. When a call ends the
// exchange it may be another's already when the call returns: callers look at ClientConnection::exchange_ anew, and
// inside nothing is touched after finish(), reply() and cut().
class Exchange final : public TryHandler {
  public:
    explicit Exchange(Worker& worker);
    ~Exchange();

    // --- the client's side, called by its connection ---
    void open(ClientConnection& connection);
    http::RequestParser& parser() { return parser_; }
    http::RequestHead& head() { return head_; }
    // That many octets of the request were read.
    void received(std::size_t octets) { received_ += octets; }
    void head_whole();
    void body(io::Slice piece);
    void request_whole();
    // What follows the head is no body (http::Refusal).
    void malformed(http::Refusal refusal);
    // The client closed or reset its connection: the endpoint hears of it at once.
    void client_gone();
    // What was written to the client has been taken.
    void client_drained();
    // Raw octets of an upgraded connection, and their end.
    void raw(io::Slice data);
    void raw_end();

    // The head is whole: a rule was looked for.
    bool begun() const { return begun_; }
    bool whole() const { return whole_; }
    // Asks for an upgrade: what follows the head belongs to the new protocol.
    bool upgrading() const { return !upgrade_.empty(); }
    bool tunnelled() const { return stage_ == Stage::kTunnel; }
    // The head of the final answer went out.
    bool answering() const { return answer_ == Answer::kBegun; }

    // Makes it ready for another request; the worker's.
    void clear();

  private:
    enum class Stage : std::uint8_t {
        kRequest,  // its head is not whole, or nothing was decided yet
        kDelay,    // an injected delay
        kWaiting,  // for a connection to an endpoint
        kSent,     // the request goes to the endpoint
        kBackOff,  // before the next try; an answer that is not wanted may still come in
        kTunnel,
    };
    enum class Answer : std::uint8_t { kNone, kInformed, kBegun };  // kInformed: 1xx only
    enum class Verdict : std::uint8_t { kFinal, kRetry, kExhausted, kOverflow };

    void on_ready(Try& attempt) override;
    void on_head(Try& attempt, http::ResponseHead& head) override;
    void on_body(Try& attempt, io::Slice data) override;
    void on_end(Try& attempt, http::ResponseHead& head) override;
    void on_failed(Try& attempt, Failure failure, bool sent, int error) override;
    void on_drained(Try& attempt) override;
    void on_raw(Try& attempt, io::Slice data) override;
    void on_raw_end(Try& attempt) override;
    void on_wait();
    void on_route_timeout();
    void on_try_timeout();

    // exchange.cc
    void inject_abort();
    void forward();
    bool choose_destination();
    void begin_clock();
    void reply(const Reply& what);
    void answered_locally(const Reply& what);
    bool has_body() const;
    bool must_close() const;
    Context context() const;

    // exchange_try.cc
    void start_try();
    void flush();
    void end_request();
    void send_mirrors();
    void stop_keeping_for_mirrors();
    void limit_body(std::size_t added);
    Verdict verdict(bool covered);
    void note(Verdict what);
    void back_off();
    void end_retry();
    bool start_anew();
    void try_ended(std::uint32_t flags);
    void drop_try();

    // exchange_answer.cc
    http::Framing answer_framing(const http::ResponseHead& head, std::uint64_t& length) const;
    void inform(const http::ResponseHead& head);
    void begin_answer(const http::ResponseHead& head);
    void switch_protocols(Try& attempt, const http::ResponseHead& head);
    void cut(std::string_view details, std::uint32_t flags);
    void finish(bool again);

    // exchange_record.cc
    void record();
    void close_out();

    Worker& worker_;
    ClientConnection* connection_ = nullptr;
    http::RequestParser parser_;
    http::RequestHead head_;

    // The decision.
    HeldTable* held_ = nullptr;
    const VirtualHost* host_ = nullptr;
    const Rule* rule_ = nullptr;
    const ClusterPtr* cluster_ = nullptr;  // in the rule
    std::size_t destination_ = 0;
    Asked asked_;
    std::string path_;
    std::string set_cookie_;
    std::optional<Assigned> assigned_;  // by the rule's experiment; empty: drawn
    bool chosen_ = false;               // a destination was
    std::string_view upgrade_;
    std::string request_id_;  // made here; empty: the client's
    std::optional<std::uint64_t> key_;

    // The request.
    Pieces pieces_;
    std::uint64_t body_octets_ = 0;  // received
    std::uint64_t mirror_charge_ = 0;
    std::uint64_t received_ = 0;
    bool begun_ = false;
    bool whole_ = false;
    bool keep_for_retry_ = false;
    bool keep_for_mirrors_ = false;
    std::vector<std::uint32_t> mirrors_;  // drawn, not sent yet

    // The tries.
    Stage stage_ = Stage::kRequest;
    std::unique_ptr<Try> try_;
    TryRecord tried_;
    bool try_open_ = false;  // tried_ was not told yet
    bool unwanted_ = false;  // the answer that comes in is not passed on
    bool sent_any_ = false;  // octets were given to any try's connection
    std::uint32_t attempts_ = 0;
    std::uint32_t retries_left_ = 0;
    std::uint32_t started_anew_ = 0;
    bool may_retry_ = false;
    std::vector<std::uint32_t> endpoints_tried_;
    std::shared_ptr<Breakers> retrying_;  // where the retry under way is counted

    // The answer.
    Answer answer_ = Answer::kNone;
    http::Framing framing_ = http::Framing::kNone;
    const http::ResponseHead* answer_head_ = nullptr;  // the try's
    bool close_ = false;                               // after the answer the connection closes
    bool no_body_ = false;                             // nothing follows the answer's head
    int status_ = 0;
    std::uint32_t flags_ = 0;
    std::string_view details_;
    std::string details_text_, body_text_, transport_;
    std::uint64_t started_ns_ = 0, whole_ns_ = 0, clock_ns_ = 0, first_byte_ns_ = 0;
    std::uint64_t service_ms_ = 0;
    std::uint64_t sent_body_ = 0, sent_from_ = 0;

    io::Timer wait_timer_, route_timer_, try_timer_;
};

}  // namespace sluice::proxy
