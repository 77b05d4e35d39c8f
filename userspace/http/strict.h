// What is checked beside llhttp: lines, targets, hosts, and what a head's fields say together. Used by the parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "http/parser.h"

namespace sluice::http {

// The first control character at or behind `from`, tabs passed over; size() when there is none.
std::size_t find_control(std::string_view octets, std::size_t from);

// Where the parts of a first line are, as offsets: "METHOD TARGET HTTP/1.MINOR" or "HTTP/1.MINOR STATUS REASON".
struct FirstLine {
    std::size_t first_end = 0;    // of the method; of an answer's version
    std::size_t second_end = 0;   // of the target; of the status
    std::size_t third_begin = 0;  // of an answer's reason
    std::size_t third_end = 0;    // and its end
    int minor = 1;
    int status = 0;
};
// Each takes the line without its CRLF.
Refusal check_request_line(std::string_view line, FirstLine& parts);
Refusal check_status_line(std::string_view line, FirstLine& parts);

// HOST or HOST:PORT, where HOST is a name of letters, digits, "-", "_" and "." or an IPv6 address in brackets.
enum class Host : std::uint8_t { kBad, kWithoutPort, kWithPort };
Host check_host(std::string_view text);

// What the fields say of the body, whoever sends it, and whether one follows.
struct Coding {
    bool body = true;  // false: whatever the fields say, the message ends with its head
    bool chunked = false;
    std::optional<std::uint64_t> length;
};
// Sets what the fields of a head decide: framing, length, keep_alive, upgrade; of requests also the target's parts.
Refusal settle(RequestHead& head, Coding& coding);
Refusal settle(ResponseHead& head, bool head_request, bool connect_request, Coding& coding);
// Refuses trailers that would change how the message was read; drops those of one connection.
Refusal settle_trailers(Head& head);

}  // namespace sluice::http
