// HTTP/1 messages of one direction of a connection: octets in, events out. llhttp (strict) parses; what different
// implementations read differently, and llhttp lets pass, is refused here. No descriptor, no clock.
//
// Refused, each under its name: what llhttp refuses, Content-Length beside Transfer-Encoding, several lengths, a
// transfer coding that is not just "chunked" (or one with HTTP/1.0), lines without CR, folded lines, blanks before a
// colon, NUL and control characters, several Host fields or none (1.1) or an invalid one, a target that is no
// origin-form, absolute-form, "*" or authority (CONNECT), heads, fields or trailers beyond the limits, and what else
// HACKING's corpus of malformed input (tests/golden/http1) shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/head.h"

namespace sluice::http {

// Envoy's edge advice where it gives one.
struct Limits {
    std::size_t head_octets = 60 * 1024;  // first line and fields, and again for trailers
    std::size_t fields = 100;
    std::size_t first_line = 16 * 1024;
    std::size_t chunk_line = 1024;  // a chunk's size line with its extensions
};

// Why a message was refused. Names are metric labels.
enum class Refusal : std::uint8_t {
    kNone,
    kMalformed,      // 400
    kHeadTooLarge,   // 431
    kTooManyFields,  // 431
    kLineTooLong,    // 414
    kBadHost,        // 400
    kBadFraming,     // 400: lengths and codings that do not go together
    kBadCoding,      // 501: a transfer coding that is not chunked
    kBadVersion,     // 505
    kBadMethod,      // 501
    kTooEarlyEnd,    // the connection ended within the message
};
const char* refusal_name(Refusal refusal);
int refusal_status(Refusal refusal);  // what a client gets

enum class Event : std::uint8_t {
    kMore,   // all octets are used; nothing new
    kHead,   // head() is whole
    kBody,   // `body` is the next piece of it, a part of the octets given
    kEnd,    // the message is whole, trailers included; the next octet begins another
    kError,  // refusal() says why; the parser takes nothing more
};

struct Step {
    Event event = Event::kMore;
    std::size_t used = 0;  // octets taken, those of `body` included
    std::string_view body;
};

// Parses message after message. Call next() with what is left, even if that is nothing, until it answers kMore (or stop
// wherever it suits: each answer is complete). Before a request one empty line is passed over, before an answer none. A
// message with Connection: close does not end parsing; who reads on after it decides so. Not thread-safe.
class RequestParser {
  public:
    explicit RequestParser(const Limits& limits = {});
    ~RequestParser();
    RequestParser(RequestParser&&) noexcept;
    RequestParser& operator=(RequestParser&&) noexcept;

    // `head` is filled until kHead, and its trailers until kEnd; it must stay the same from a message's first octet to
    // its end. After kHead of CONNECT or of an accepted upgrade the caller stops parsing.
    Step next(RequestHead& head, std::string_view octets);
    Refusal refusal() const;
    // True between messages: no octet of one was taken.
    bool idle() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

class ResponseParser {
  public:
    explicit ResponseParser(const Limits& limits = {});
    ~ResponseParser();
    ResponseParser(ResponseParser&&) noexcept;
    ResponseParser& operator=(ResponseParser&&) noexcept;

    // Before the first octet of each answer: what it answers. 1xx heads are reported like others (kHead, then kEnd) and
    // the final head follows; after 101 the caller stops parsing.
    void expect(bool head_request, bool connect_request);
    Step next(ResponseHead& head, std::string_view octets);
    // The connection ended: kEnd for a body that ends with it, else kError (kTooEarlyEnd); kMore when idle.
    Step end(ResponseHead& head);
    Refusal refusal() const;
    bool idle() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::http
