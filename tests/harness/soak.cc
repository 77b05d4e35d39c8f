// Clients and servers of the soak test in one process, so that what was asked, tried and answered is known to the
// octet.
//
//   soak --to A.B.C.D:PORT --host HOST --requests N --connections N --tries N ADDR:PORT [more servers]
//
// Request number n carries x-nonce: n; its answer is made of that number. Servers answer most requests well, with a
// length or in chunks, and fail some: 503, 500 (each server for a while in turn, so that it is ejected), an end of the
// connection by FIN or RST before the answer, silence, or an answer that is cut. One thread for servers, one for
// clients.
//
// Prints `done N` at each twentieth, then one line of JSON. Wrong are: an answer that is not its request's or not
// whole, a request that no answer came to although no answer of its was cut, a cut answer that looked whole, more tries
// than allowed, or one try seen twice, and a failure that came before the last try.
#include "tests/harness/soak_servers.h"

namespace sluice::soak {
namespace {

struct Tally {
    std::size_t ok = 0, failed = 0, broken = 0, asked = 0, ended = 0, connections = 0, wrong = 0, retried = 0;
    std::string first_wrong;
};

struct Client {
    int fd = -1;
    std::size_t n = 0;  // the request under way
    bool asking = false;
    std::string in;
};

void wrong(Tally& tally, std::size_t n, const std::string& what) {
    if (tally.wrong++ == 0) {
        tally.first_wrong = "request " + std::to_string(n) + ": " + what;
    }
}

void ask(Tally& tally, Client& c, int epoll) {
    if (tally.asked == options.requests) {
        c.asking = false;
        return;
    }
    if (c.fd < 0) {
        c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(c.fd, reinterpret_cast<const sockaddr*>(&options.to), sizeof(options.to)) != 0) {
            die("soak: connect");
        }
        no_delay(c.fd);
        watch(epoll, c.fd, EPOLLIN, &c, EPOLL_CTL_ADD);
        ++tally.connections;
    }
    c.n = tally.asked++;
    c.in.clear();
    c.asking = true;
    std::string text = std::string(c.n % 3 ? "POST" : "GET") + " /soak/" + std::to_string(c.n) +
                       " HTTP/1.1\r\nHost: " + options.host + "\r\nx-nonce: " + std::to_string(c.n) + "\r\n";
    if (c.n % 3) {
        text += "content-length: " + std::to_string(c.n % 3 * 100) + "\r\n";
    }
    text += "\r\n" + std::string(c.n % 3 * 100, 'q');
    // A connection that the proxy has just ended shows itself at the next read.
    static_cast<void>(send(c.fd, text.data(), text.size(), MSG_NOSIGNAL));
}

// The body that is in `text`, taken out of its framing; false: not whole yet. `bad`: no framing at all.
bool unframed(std::string_view head, std::string_view text, std::string& body, bool& bad) {
    if (value_of(head, "transfer-encoding: ") != "chunked") {
        const std::size_t length = std::strtoull(std::string(value_of(head, "content-length: ")).c_str(), nullptr, 10);
        bad = text.size() > length || value_of(head, "content-length: ").empty();
        body = text.substr(0, length);
        return text.size() >= length;
    }
    while (true) {
        const auto line = text.find("\r\n");
        if (line == std::string_view::npos) {
            return false;
        }
        const std::size_t size = std::strtoull(std::string(text.substr(0, line)).c_str(), nullptr, 16);
        if (text.size() < line + 2 + size + 2) {
            return false;
        }
        body += text.substr(line + 2, size);
        text.remove_prefix(line + 2 + size + 2);
        if (size == 0) {
            bad = !text.empty();
            return true;
        }
    }
}

void check(Tally& tally, std::size_t n, std::string_view head, const std::string& body) {
    const Request& request = requests[n];
    const unsigned tries = static_cast<unsigned>(__builtin_popcount(request.tried));
    tally.retried += tries > 1 ? 1 : 0;
    if (request.tried >> options.tries || request.twice) {
        wrong(tally, n, "tried beyond the policy");
    }
    if (!head.starts_with("HTTP/1.1 200 ")) {
        ++tally.failed;
        if (tries != options.tries && !request.cut) {
            wrong(tally, n, "failed after " + std::to_string(tries) + " tries: " + std::string(head) + body);
        }
        return;
    }
    ++tally.ok;
    const int attempt = std::atoi(std::string(value_of(head, "x-try: ")).c_str());
    bool right = value_of(head, "x-nonce: ") == std::to_string(n) && body.size() == length_of(n) && attempt > 0 &&
                 (request.good >> (attempt - 1) & 1);
    for (std::size_t at = 0; right && at < body.size(); ++at) {
        right = body[at] == octet_of(n, at);
    }
    if (!right) {
        wrong(tally, n, "not its answer: " + std::string(head));
    }
}

// Takes what came; true: the request is over.
bool take(Tally& tally, Client& c) {
    const auto end = c.in.find("\r\n\r\n");
    if (end == std::string::npos) {
        return false;
    }
    const std::string head = c.in.substr(0, end + 2);
    // Chunks are walked anew with each read: answers are short, and each came in one or two.
    std::string body;
    bool bad = false;
    const bool whole = unframed(head, std::string_view(c.in).substr(end + 4), body, bad);
    if (bad) {
        wrong(tally, c.n, "octets behind the answer: " + head);
    }
    if (whole) {
        check(tally, c.n, head, body);
    }
    return whole;
}

Tally run() {
    Tally tally;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    std::vector<Client> clients(static_cast<std::size_t>(options.connections));
    for (Client& c : clients) {
        ask(tally, c, epoll);
    }
    std::vector<char> buffer(256 << 10);
    epoll_event events[256];
    const std::size_t step = std::max<std::size_t>(1, options.requests / 20);
    while (tally.ended < options.requests) {
        const int count = epoll_wait(epoll, events, 256, 30'000);
        if (count <= 0) {
            tally.wrong += options.requests - tally.ended;
            tally.first_wrong = "no answer within 30 s";
            break;
        }
        for (int i = 0; i < count; ++i) {
            Client& c = *static_cast<Client*>(events[i].data.ptr);
            const ssize_t n = recv(c.fd, buffer.data(), buffer.size(), 0);
            bool over = false;
            if (n > 0) {
                c.in.append(buffer.data(), static_cast<std::size_t>(n));
                over = c.asking && take(tally, c);
            } else {
                close(c.fd);
                c.fd = -1;
                over = c.asking;
                tally.broken += over ? 1 : 0;
                if (over && !requests[c.n].cut) {
                    wrong(tally, c.n,
                          "no answer, and " + std::to_string(c.in.size()) + " octets: " + c.in.substr(0, 300));
                }
            }
            if (over) {
                ++tally.ended;
                if (tally.ended % step == 0) {
                    std::printf("done %zu\n", tally.ended);
                    std::fflush(stdout);
                }
                ask(tally, c, epoll);
            }
        }
    }
    return tally;
}

bool parse(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (!name.starts_with("--")) {
            options.servers.push_back(name);
        } else if (++i == argc) {
            return false;
        } else if (name == "--to") {
            if (!parse_address(argv[i], options.to)) {
                return false;
            }
        } else if (name == "--host") {
            options.host = argv[i];
        } else if (name == "--requests") {
            options.requests = std::strtoull(argv[i], nullptr, 10);
        } else if (name == "--connections") {
            options.connections = std::atoi(argv[i]);
        } else if (name == "--tries") {
            options.tries = static_cast<unsigned>(std::atoi(argv[i]));
        } else {
            return false;
        }
    }
    return options.to.sin_port != 0 && options.requests > 0 && !options.servers.empty() && options.tries <= 8;
}

}  // namespace
}  // namespace sluice::soak

int main(int argc, char** argv) {
    using namespace sluice::soak;
    if (!parse(argc, argv)) {
        std::fputs("usage: soak --to A.B.C.D:PORT --host HOST --requests N [--connections N] [--tries N] SERVER…\n",
                   stderr);
        return 2;
    }
    requests = std::make_unique<Request[]>(options.requests);
    std::thread(serve).detach();
    std::string go;
    if (std::getchar() == EOF) {  // the caller says when the proxy serves
        return 1;
    }
    const std::int64_t began = now_ns();
    const Tally tally = run();
    for (char& c : const_cast<std::string&>(tally.first_wrong)) {
        c = c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    std::printf(
        "{\"requests\": %zu, \"ok\": %zu, \"failed\": %zu, \"broken\": %zu, \"retried\": %zu, \"connections\": %zu, "
        "\"wrong\": %zu, \"first_wrong\": \"%s\", \"seconds\": %.1f}\n",
        tally.ended, tally.ok, tally.failed, tally.broken, tally.retried, tally.connections, tally.wrong,
        tally.first_wrong.c_str(), static_cast<double>(now_ns() - began) / 1e9);
    std::fflush(stdout);
    std::_Exit(tally.wrong == 0 ? 0 : 1);
}
