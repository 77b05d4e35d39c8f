// The HTTP/1 codec against llhttp (strict): however octets are split, our parsers say the same; each message that they
// take is one that llhttp reads so too, and still does when it is written again.
//
// An input is: what the connection is (bit 0: answers; bit 1: octets from 0x80 on stand for a fragment below), a seed
// for splits, and the octets.
//
// rooms: http base
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "tests/unit/http/reading.h"

namespace {

using sluice::http::Field;
using sluice::http::Message;
using sluice::http::PlainLlhttp;
using sluice::http::Reading;
using sluice::http::same_name;

constexpr const char* kFragments[] = {
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "HEAD http://h:80/ HTTP/1.1\r\n",
    "CONNECT h:443 HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.0 500 Oops\r\n",
    "HTTP/1.1 503\r\n",
    "\r\n",
    "\r\n\r\n",
    "Host: h\r\n",
    "Host: [::1]:80\r\n",
    "Host: ",
    "Content-Length: ",
    "Content-Length: 5\r\n",
    "content-length:0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: ",
    "chunked",
    "gzip, chunked",
    "Connection: close\r\n",
    "Connection: keep-alive, x\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X-",
    ": ",
    " ",
    "\t",
    "hello",
    "0\r\n\r\n",
    "0\r\n",
    "5\r\nhello\r\n",
    "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n",
    ";a=b",
    ";a=\"b c\"\r\n",
    "X-Sum: 1\r\n",
    "TE: trailers\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
};

[[noreturn]] void differ(const char* what, const std::string& octets, const Reading& ours, const Reading& theirs) {
    std::fprintf(stderr, "%s\n--- octets\n%s\n--- one\n%s\n--- other\n%s\n", what, octets.c_str(),
                 describe(ours).c_str(), describe(theirs).c_str());
    std::abort();
}

bool has(const Message& message, std::string_view name) {
    for (const auto& field : message.fields) {
        if (same_name(field.first, name)) {
            return true;
        }
    }
    return false;
}

// As a proxy would write it, but with all of its fields.
std::string written(const Message& message) {
    std::string out;
    if (message.status != 0) {
        sluice::http::write_status_line(out, message.status, message.reason);
    } else {
        sluice::http::write_request_line(out, message.method, message.target);
    }
    for (const auto& [name, value] : message.fields) {
        if (!sluice::http::field_name_ok(name) || !sluice::http::field_value_ok(value)) {
            std::abort();
        }
        sluice::http::write_field(out, name, value);
    }
    sluice::http::write_head_end(out);
    if (!has(message, "transfer-encoding") || message.status == 304) {
        return out + message.body;
    }
    if (!message.body.empty()) {
        sluice::http::write_chunk_begin(out, message.body.size());
        out += message.body;
        sluice::http::write_chunk_end(out);
    }
    std::vector<Field> trailers;
    for (const auto& [name, value] : message.trailers) {
        trailers.push_back({name, value});
    }
    sluice::http::write_last_chunk(out, trailers);
    return out;
}

void check_written(bool request, const Message& message) {
    const std::string out = written(message);
    Reading expected;
    expected.outcome = "ok";
    expected.messages.push_back(message);
    if (message.status != 0 && message.reason.empty()) {
        expected.messages[0].reason = sluice::http::reason_phrase(message.status);
    }
    const Reading again = PlainLlhttp::read(request, out);
    if (again != expected) {
        differ("written again, llhttp reads it otherwise", out, expected, again);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) {
        return 0;
    }
    const bool request = (data[0] & 1) == 0;
    std::string octets;
    for (std::size_t i = 2; i < size; ++i) {
        if ((data[0] & 2) != 0 && data[i] >= 0x80) {
            octets += kFragments[(data[i] - 0x80u) % std::size(kFragments)];
        } else {
            octets += static_cast<char>(data[i]);
        }
    }
    const sluice::http::Limits limits{.head_octets = 400, .fields = 8, .first_line = 80, .chunk_line = 40};
    const Reading whole = sluice::http::read(request, octets, limits);
    for (std::uint32_t state = data[1] * 3u + 1, i = 0; i < 3; ++i) {
        const Reading split = sluice::http::read(
            request, octets,
            [&] {
                state = state * 1664525u + 1013904223u;
                return std::size_t{1} + (state >> 16) % (i == 0 ? 1 : i == 1 ? 8 : 64);
            },
            limits);
        if (split != whole) {
            differ("a split changes the answer", octets, whole, split);
        }
    }
    const Reading plain = PlainLlhttp::read(request, octets);
    for (std::size_t i = 0; i < whole.messages.size() && whole.messages[i].whole; ++i) {
        if (i >= plain.messages.size() || whole.messages[i] != plain.messages[i]) {
            differ("llhttp reads it otherwise", octets, whole, plain);
        }
        check_written(request, whole.messages[i]);
    }
    return 0;
}
