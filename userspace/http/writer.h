// HTTP/1 messages as text, appended to a string that the caller reuses. Names and values are written as they are: who
// gives them has checked them (field_name_ok, field_value_ok).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/head.h"

namespace sluice::http {

bool field_name_ok(std::string_view name);    // a token
bool field_value_ok(std::string_view value);  // visible octets, blanks, tabs, 0x80 and above; nothing else

// "METHOD TARGET HTTP/1.1\r\n", "HTTP/1.1 STATUS REASON\r\n" (the standard reason when empty).
void write_request_line(std::string& out, std::string_view method, std::string_view target);
void write_status_line(std::string& out, int status, std::string_view reason = {});
inline void write_field(std::string& out, std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
}
void write_field(std::string& out, std::string_view name, std::uint64_t value);
inline void write_head_end(std::string& out) {
    out.append("\r\n");
}
// "SIZE\r\n" before a chunk's octets; "\r\n" follows them. The last chunk with the trailers and the empty line.
void write_chunk_begin(std::string& out, std::size_t size);
inline void write_chunk_end(std::string& out) {
    out.append("\r\n");
}
void write_last_chunk(std::string& out, const std::vector<Field>& trailers);

const char* reason_phrase(int status);  // "" when unknown

// Fields that belong to one connection and are never passed on: Connection and what it names, Keep-Alive,
// Proxy-Connection, TE, Transfer-Encoding, Upgrade, Proxy-Authenticate excepted (it is passed on, as Envoy does).
bool is_hop_by_hop(std::string_view name);
// Whether the head's Connection fields name this one.
bool named_by_connection(const Head& head, std::string_view name);

}  // namespace sluice::http
