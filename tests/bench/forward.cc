// The bare forwarder of the benchmark: what the event loop costs without any HTTP.
//
//   forward PORT --to A.B.C.D:PORT --io epoll|io_uring [--seconds S]
//
// Accepts on 127.0.0.1:PORT, connects each connection to the server and passes octets both ways. Prints `listening`
// once it does. Ends after S seconds (default 60) or at SIGTERM, with one line of JSON: turns, system_calls, passed
// (slices), cpu_us (user + system, all in all).
#include <fcntl.h>
#include <signal.h>

#include <list>
#include <optional>

#include "io/loop.h"
#include "tests/bench/tools.h"

namespace {

using namespace sluice;
using namespace sluice::bench;

constexpr std::size_t kQueued = 1u << 20;  // octets; more, and the other side waits

struct Forwarder;

// A connection and the one that belongs to it.
struct Joined {
    struct End final : io::StreamHandler {
        Joined* joined = nullptr;
        End* other = nullptr;
        std::optional<io::Stream> stream;

        void on_data(io::Slice data) override;
        void on_end() override {
            other->stream->finish();
            joined->ended();
        }
        void on_drained() override { other->stream->read(true); }
        void on_closed(int) override { joined->over(); }
    };

    Joined(Forwarder& of, Fd client);
    void ended();
    void over();

    Forwarder& forwarder;
    End client, server;
    int ends = 0;
    std::list<Joined>::iterator place;
};

struct Forwarder final : io::AcceptHandler {
    io::Loop& loop;
    sockaddr_in to;
    std::list<Joined> all{};
    std::uint64_t passed = 0;

    Forwarder(io::Loop& on, const sockaddr_in& address) : loop(on), to(address) {}
    void on_accept(Fd socket) override {
        all.emplace_front(*this, std::move(socket));
        all.front().place = all.begin();
    }
    void on_accept_error(int error) override {
        errno = error;
        die("forward: accept");
    }
};

void Joined::End::on_data(io::Slice data) {
    ++joined->forwarder.passed;
    other->stream->write(std::move(data));
    if (other->stream->queued() > kQueued) {
        stream->read(false);
        other->stream->want_drained();
    }
}

Joined::Joined(Forwarder& of, Fd socket) : forwarder(of) {
    client.joined = server.joined = this;
    client.other = &server;
    server.other = &client;
    client.stream.emplace(of.loop, std::move(socket), client);
    Fd upstream(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    server.stream.emplace(of.loop, std::move(upstream), reinterpret_cast<const sockaddr*>(&of.to), sizeof(of.to),
                          server);
    client.stream->read(true);
    server.stream->read(true);
}

void Joined::ended() {
    if (++ends == 2) {
        over();
    }
}

void Joined::over() {
    client.stream->close();
    server.stream->close();
    forwarder.all.erase(place);
}

io::Loop* running = nullptr;

}  // namespace

int main(int argc, char** argv) {
    sockaddr_in to{};
    io::LoopOptions options;
    double seconds = 60;
    bool good = argc >= 4 && argc % 2 == 0;
    for (int i = 2; good && i + 1 < argc; i += 2) {
        const std::string name = argv[i], value = argv[i + 1];
        if (name == "--to") {
            good = parse_address(value, to);
        } else if (name == "--io") {
            options.backend = value == "epoll" ? io::Backend::kEpoll : io::Backend::kIoUring;
        } else if (name == "--seconds") {
            seconds = std::atof(value.c_str());
        } else {
            good = false;
        }
    }
    if (!good || to.sin_port == 0) {
        std::fputs("usage: forward PORT --to A.B.C.D:PORT [--io epoll|io_uring] [--seconds S]\n", stderr);
        return 2;
    }
    auto loop = io::Loop::open(options);
    if (!loop) {
        std::fprintf(stderr, "forward: %s\n", loop.error().text().c_str());
        return 1;
    }
    running = loop->get();
    ::signal(SIGTERM, [](int) { running->stop(); });
    Forwarder forwarder(**loop, to);
    io::Timer limit(**loop, **loop, [](io::Loop& of) { of.stop(); });
    limit.start(std::chrono::milliseconds(static_cast<int>(seconds * 1000)));
    {
        io::Listener listener(**loop, Fd(listen_on(static_cast<std::uint16_t>(std::atoi(argv[1])), SOCK_NONBLOCK)),
                              forwarder);
        std::puts("listening");
        std::fflush(stdout);
        (*loop)->run();
    }
    const io::LoopStats stats = (*loop)->stats();
    std::printf("{\"turns\": %llu, \"system_calls\": %llu, \"passed\": %llu, \"cpu_us\": %.0f}\n",
                static_cast<unsigned long long>(stats.turns), static_cast<unsigned long long>(stats.system_calls),
                static_cast<unsigned long long>(forwarder.passed), cpu_us());
    forwarder.all.clear();
    return 0;
}
