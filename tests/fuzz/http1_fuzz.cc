// The HTTP/1 scanner against llhttp (strict), over the messages of one connection: whatever it reports, llhttp reports
// at the same octet. It may stop being sure anywhere, but then not have missed anything before; and however the octets
// are split into windows, it says the same.
//
// An input is: what the connection is (bit 0: answers; bit 1: octets from 0x80 on stand for a fragment below), which
// answers are for HEAD (bit i: the i-th of eight), a seed for splits, and the octets.
#include <llhttp/llhttp.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bpf/lib/http1.h"
#include "bpf/lib/random.h"

namespace {

enum class Kind { kHead, kEnd, kUntilClose };

struct Event {
    std::size_t offset;  // after its last octet
    Kind kind;
    unsigned detail;  // status or method of a head
    bool operator==(const Event&) const = default;
};

struct Result {
    std::vector<Event> events;
    bool unsure = false;
    unsigned reason = 0;
    std::size_t end = 0;  // octets looked at
    bool operator==(const Result&) const = default;
};

struct Connection {
    bool response;
    std::uint8_t heads;
    std::string octets;

    bool answers_head(std::size_t message) const { return response && (heads >> (message % 8) & 1) != 0; }
};

constexpr const char* kFragments[] = {
    "GET ",
    "HEAD ",
    "POST ",
    "CONNECT ",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "/",
    "* ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 \r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.0 500 Oops\r\n",
    "HTTP/1.1 503\r\n",
    "\r\n",
    "\r\n\r\n",
    "Content-Length: ",
    "content-length:",
    "CONTENT-LENGTH: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: ",
    "transfer-encoding:chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "chunked",
    "gzip, chunked",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Host: model\r\n",
    "X-",
    ": ",
    "hello",
    "0\r\n\r\n",
    "0\r\n",
    "5\r\nhello\r\n",
    "1a\r\n",
    ";a=b",
    "GET / HTTP/1.1\r\n\r\n",
    "Expect: 100-continue\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "Trailer: X\r\n",
    "abcdefghijklmnopqrstuvwxyz",
    "\t",
    "  ",
};

[[noreturn]] void differ(const char* what, const Connection& connection, const Result& ours, const Result& theirs) {
    std::fprintf(stderr, "%s: %s\n", connection.response ? "answers" : "requests", what);
    for (const Result* result : {&ours, &theirs}) {
        std::fprintf(stderr, "  %s:", result == &ours ? "scanner" : "other");
        for (const Event& event : result->events) {
            std::fprintf(stderr, " %c%u@%zu", "HEC"[static_cast<int>(event.kind)], event.detail, event.offset);
        }
        std::fprintf(stderr, "%s end %zu reason %u\n", result->unsure ? " unsure" : "", result->end, result->reason);
    }
    std::abort();
}

// What llhttp says, octet by octet, each message to a parser of its own (so `Connection: close` ends nothing).
struct Oracle {
    const Connection& connection;
    Result result;
    std::size_t offset = 0;
    std::size_t finals = 0;  // heads that are not 1xx
    bool complete = false;

    static Oracle& of(llhttp_t* parser) { return *static_cast<Oracle*>(parser->data); }

    static unsigned method(const llhttp_t* parser) {
        switch (parser->method) {
            case HTTP_GET:
                return SL_METHOD_GET;
            case HTTP_HEAD:
                return SL_METHOD_HEAD;
            case HTTP_POST:
                return SL_METHOD_POST;
            case HTTP_PUT:
                return SL_METHOD_PUT;
            case HTTP_DELETE:
                return SL_METHOD_DELETE;
            case HTTP_OPTIONS:
                return SL_METHOD_OPTIONS;
            case HTTP_PATCH:
                return SL_METHOD_PATCH;
            case HTTP_CONNECT:
                return SL_METHOD_CONNECT;
            case HTTP_TRACE:
                return SL_METHOD_TRACE;
            default:
                return SL_METHOD_OTHER;
        }
    }

    static int on_head(llhttp_t* parser) {
        Oracle& self = of(parser);
        const bool response = self.connection.response;
        const unsigned status = parser->status_code;
        self.result.events.push_back({self.offset, Kind::kHead, response ? status : method(parser)});
        if (!response || (status < 200 && status != 101)) {
            return 0;
        }
        // As Node's client tells it: no body after HEAD and with 304.
        const bool skip = self.connection.answers_head(self.finals++) || status == 304;
        return skip ? 1 : 0;
    }

    static int on_complete(llhttp_t* parser) {
        Oracle& self = of(parser);
        self.complete = true;
        const unsigned status = parser->status_code;
        if (!self.connection.response || status >= 200 || status == 101) {
            self.result.events.push_back({self.offset, Kind::kEnd, 0});
        }
        return 0;
    }

    void run() {
        llhttp_settings_t settings;
        llhttp_settings_init(&settings);
        settings.on_headers_complete = on_head;
        settings.on_message_complete = on_complete;
        llhttp_t parser;
        const auto start = [&] {
            llhttp_init(&parser, connection.response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
            parser.data = this;
            complete = false;
        };
        start();
        for (const char octet : connection.octets) {
            ++offset;
            const llhttp_errno_t error = llhttp_execute(&parser, &octet, 1);
            if (complete) {
                start();
            } else if (error != HPE_OK) {
                result.unsure = true;
                result.reason = static_cast<unsigned>(error);
                break;
            }
        }
        result.end = offset;
        if (!result.unsure && parser.finish == HTTP_FINISH_SAFE_WITH_CB) {
            result.events.push_back({offset, Kind::kUntilClose, 0});
        }
    }
};

// What the scanner says, with windows as the seed has it; seed 0: as large as they may be, and nothing skipped.
Result scan(const Connection& connection, std::uint64_t seed) {
    sl_random random{seed};
    struct sl_http_state state {};
    const std::unique_ptr<std::uint8_t[]> window(new std::uint8_t[SL_HTTP_WINDOW_SPACE]);
    std::memset(window.get(), static_cast<int>(seed & 0xff), SL_HTTP_WINDOW_SPACE);
    const std::uint32_t most = seed == 0 ? SL_HTTP_WINDOW : 1 + sl_random_below(&random, SL_HTTP_WINDOW);
    const int response = connection.response;
    std::size_t finals = 0;
    Result result;
    while (result.end < connection.octets.size()) {
        const std::size_t rest = connection.octets.size() - result.end;
        enum sl_http_found found = SL_HTTP_MORE;
        if (seed != 0 && sl_random_below(&random, 2) != 0) {
            result.end += sl_http_skip(&state, 1 + sl_random_below(&random, static_cast<std::uint32_t>(rest)), &found);
            if (found == SL_HTTP_END) {
                result.events.push_back({result.end, Kind::kEnd, 0});
            }
            continue;
        }
        std::uint32_t length = seed == 0 ? most : 1 + sl_random_below(&random, most);
        length = length < rest ? length : static_cast<std::uint32_t>(rest);
        std::memcpy(window.get(), connection.octets.data() + result.end, length);
        std::uint32_t used = 0;
        found = sl_http_scan(&state, response, window.get(), length, &used);
        result.end += used;
        if (used > length || (used < length && found == SL_HTTP_MORE)) {
            differ("octets left over", connection, result, result);
        }
        if (found == SL_HTTP_UNSURE) {
            result.unsure = true;
            result.reason = state.unsure;
            return result;
        }
        if (found == SL_HTTP_HEAD) {
            result.events.push_back(
                {result.end, Kind::kHead, static_cast<unsigned>(response ? state.status : state.method)});
            const bool last = !response || state.status >= 200 || state.status == 101;
            found = sl_http_body(&state, response, last && connection.answers_head(finals));
            finals += last ? 1 : 0;
        }
        if (found == SL_HTTP_END) {
            result.events.push_back({result.end, Kind::kEnd, 0});
        }
    }
    if (state.left == SL_HTTP_UNTIL_CLOSE) {
        result.events.push_back({result.end, Kind::kUntilClose, 0});
    }
    return result;
}

void compare(const Connection& connection, const Result& ours) {
    Oracle oracle{connection, {}};
    oracle.run();
    std::vector<Event>& theirs = oracle.result.events;
    if (ours.unsure) {
        std::erase_if(theirs, [&](const Event& event) { return event.offset > ours.end; });
    } else if (oracle.result.unsure) {
        // What llhttp rejects may not be seen as wrong yet, but nothing may be reported of it.
        if (ours.events != theirs) {
            differ("reported what llhttp rejects", connection, ours, oracle.result);
        }
        return;
    }
    if (ours.events != theirs) {
        differ("not what llhttp reports", connection, ours, oracle.result);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 4) {
        return 0;
    }
    Connection connection{(data[0] & 1) != 0, data[1], {}};
    const bool fragments = (data[0] & 2) != 0;
    for (const std::uint8_t octet : std::vector<std::uint8_t>(data + 3, data + size)) {
        if (fragments && octet >= 0x80) {
            connection.octets += kFragments[(octet - 0x80u) % std::size(kFragments)];
        } else {
            connection.octets += static_cast<char>(octet);
        }
    }
    const Result whole = scan(connection, 0);
    for (std::uint64_t i = 0; i < 3; ++i) {
        const Result split = scan(connection, 1 + data[2] + i * 256);
        if (split != whole) {
            differ("a split changes the answer", connection, whole, split);
        }
    }
    compare(connection, whole);
    return 0;
}
