// The HTTP client of the benchmark: keep-alive connections, one request at a time on each, as fast as answers come, or
// at a fixed rate. Then a request's latency counts from when it was due, also if all connections were busy.
//
//   http_ask --to A.B.C.D:PORT --connections N --bytes N --seconds S [--rate N]
//
// Every answer is checked: status, nonce, length. Prints one line of JSON: requests, wrong, seconds, cpu_us (user +
// system of this process, a request), latency_us {p50, p99}. One thread. A wrong answer or a lost connection is exit 1.
#include <algorithm>
#include <random>
#include <vector>

#include "tests/bench/tools.h"

namespace {

using namespace sluice::bench;

struct Options {
    sockaddr_in to{};
    int connections = 1;
    std::size_t bytes = 1024;
    double seconds = 1;
    double rate = 0;  // requests a second; 0: as fast as answers come
};

struct Connection {
    int fd = -1;
    std::string nonce;
    std::string head;
    std::size_t left = 0;  // octets of the body
    bool in_body = false;
    std::int64_t asked_ns = 0;
};

struct Run {
    Options options;
    std::mt19937_64 nonces{std::random_device{}()};
    std::vector<float> latencies_us;
    std::uint64_t wrong = 0;
    std::int64_t started_ns = 0;
    std::int64_t deadline_ns = 0;
    std::uint64_t sent = 0;
    std::vector<Connection*> idle;

    // When the next request is due, at a fixed rate.
    std::int64_t due_ns() const {
        return started_ns + static_cast<std::int64_t>(static_cast<double>(sent) * 1e9 / options.rate);
    }
};

void ask(Run& run, Connection& c, std::int64_t due_ns) {
    char text[160];
    ++run.sent;
    c.nonce = std::to_string(run.nonces());
    const int n = std::snprintf(text, sizeof(text), "GET /%zu HTTP/1.1\r\nHost: model\r\nX-Nonce: %s\r\n\r\n",
                                run.options.bytes, c.nonce.c_str());
    c.asked_ns = due_ns;
    if (send(c.fd, text, static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) {
        die("http_ask: send");
    }
}

void answered(Run& run, Connection& c) {
    c.in_body = false;
    c.head.clear();
    const std::int64_t now = now_ns();
    run.latencies_us.push_back(static_cast<float>(now - c.asked_ns) / 1e3f);
    if (run.options.rate > 0) {
        run.idle.push_back(&c);
    } else if (now < run.deadline_ns) {
        ask(run, c, now);
    }
}

// Sends what is due by now. Nanoseconds until more is; at most 0.1 s.
std::int64_t ask_due(Run& run) {
    constexpr std::int64_t kLongest = 100'000'000;
    while (run.options.rate > 0 && !run.idle.empty()) {
        const std::int64_t due = run.due_ns();
        const std::int64_t wait = due - now_ns();
        if (wait > 0) {
            return std::min(wait, kLongest);
        }
        Connection* const c = run.idle.back();
        run.idle.pop_back();
        ask(run, *c, due);
    }
    return kLongest;
}

// Takes octets of an answer.
void take(Run& run, Connection& c, std::string_view data) {
    if (!c.in_body) {
        c.head.append(data);
        const auto end = c.head.find("\r\n\r\n");
        if (end == std::string::npos) {
            return;
        }
        const std::string_view head = std::string_view(c.head).substr(0, end + 2);
        c.left = std::strtoull(std::string(value_of(head, "Content-Length: ")).c_str(), nullptr, 10);
        if (!head.starts_with("HTTP/1.1 200 ") || value_of(head, "X-Nonce: ") != c.nonce ||
            c.left != run.options.bytes) {
            ++run.wrong;
        }
        data = data.substr(data.size() - (c.head.size() - end - 4));
        c.in_body = true;
    }
    if (data.size() > c.left) {
        ++run.wrong;
    }
    c.left -= std::min(c.left, data.size());
    if (c.left == 0) {
        answered(run, c);
    }
}

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        if (name == "--to") {
            if (!parse_address(argv[i + 1], options.to)) {
                return false;
            }
        } else if (name == "--connections") {
            options.connections = std::max(1, std::atoi(argv[i + 1]));
        } else if (name == "--bytes") {
            options.bytes = std::strtoull(argv[i + 1], nullptr, 10);
        } else if (name == "--rate") {
            options.rate = std::atof(argv[i + 1]);
        } else if (name == "--seconds") {
            options.seconds = std::atof(argv[i + 1]);
        } else {
            return false;
        }
    }
    return options.to.sin_port != 0 && argc % 2 == 1;
}

void drive(Run& run) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    std::vector<Connection> connections(static_cast<std::size_t>(run.options.connections));
    for (Connection& c : connections) {
        c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(c.fd, reinterpret_cast<const sockaddr*>(&run.options.to), sizeof(run.options.to)) != 0) {
            die("http_ask: connect");
        }
        no_delay(c.fd);
        watch(epoll, c.fd, EPOLLIN, &c, EPOLL_CTL_ADD);
    }
    for (Connection& c : connections) {
        if (run.options.rate > 0) {
            run.idle.push_back(&c);
        } else {
            ask(run, c, now_ns());
        }
    }
    std::vector<char> buffer(256 << 10);
    epoll_event events[256];
    while (now_ns() < run.deadline_ns) {
        const std::int64_t wait = ask_due(run);
        const timespec limit{0, wait};
        const int count = epoll_pwait2(epoll, events, 256, &limit, nullptr);
        for (int i = 0; i < count; ++i) {
            Connection& c = *static_cast<Connection*>(events[i].data.ptr);
            const ssize_t n = recv(c.fd, buffer.data(), buffer.size(), 0);
            if (n <= 0) {
                die("http_ask: recv");
            }
            take(run, c, {buffer.data(), static_cast<std::size_t>(n)});
        }
    }
    for (Connection& c : connections) {
        close(c.fd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    Run run;
    if (!parse(argc, argv, run.options)) {
        std::fputs("usage: http_ask --to A.B.C.D:PORT [--connections N] [--bytes N] [--rate N] --seconds S\n", stderr);
        return 2;
    }
    const std::int64_t started = now_ns();
    run.started_ns = started;
    run.deadline_ns = started + static_cast<std::int64_t>(run.options.seconds * 1e9);
    drive(run);
    const double seconds = static_cast<double>(now_ns() - started) / 1e9;
    std::ranges::sort(run.latencies_us);
    const std::size_t count = run.latencies_us.size();
    auto at = [&](double part) {
        return count == 0 ? 0.0
                          : static_cast<double>(
                                run.latencies_us[static_cast<std::size_t>(part * static_cast<double>(count - 1))]);
    };
    std::printf(
        "{\"requests\": %zu, \"wrong\": %llu, \"seconds\": %.6f, \"cpu_us\": %.3f, \"latency_us\": {\"p50\": %.2f, "
        "\"p99\": %.2f}}\n",
        count, static_cast<unsigned long long>(run.wrong), seconds,
        count == 0 ? 0.0 : cpu_us() / static_cast<double>(count), at(0.5), at(0.99));
    return run.wrong == 0 && count > 0 ? 0 : 1;
}
