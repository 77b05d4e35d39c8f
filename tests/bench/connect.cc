// The client of the benchmark: connects, asks, checks the answer and closes, again and again.
//
//   connect --to A.B.C.D:PORT [--spread N] --seconds S [--threads T] [--log FILE] [--until-first]
//
// --spread N dials N addresses from A.B.C.D on, in turn. --log writes `start_ns end_ns endpoint` of each connection
// (CLOCK_MONOTONIC). --until-first ends at the first right answer and takes refusals for "not yet". Prints one line of
// JSON: connections, failed, wrong, seconds, cpu_us (user + system, a connection), connect_us and cycle_us {p50, p90,
// p99}. Connections end by RST: no TIME_WAIT uses up ports.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/tools.h"
#include "tests/bench/wire.h"

namespace {

using sluice::bench::Answer;
using sluice::bench::cpu_us;
using sluice::bench::now_ns;
using sluice::bench::Question;

struct Options {
    sockaddr_in to{};
    std::uint32_t spread = 1;
    double seconds = 1;
    int threads = 1;
    const char* log = nullptr;
    bool until_first = false;
};

struct Record {
    std::int64_t start_ns, connected_ns, end_ns;
    std::uint32_t endpoint;
};

struct Worker {
    std::vector<Record> records;
    std::uint64_t failed = 0, wrong = 0;
};

enum class Outcome { kRight, kFailed, kWrong };

Outcome exchange(const sockaddr_in& to, std::uint64_t nonce, Record& record) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    linger reset{1, 0};
    timeval limit{5, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    Outcome outcome = Outcome::kFailed;
    Question question{nonce};
    Answer answer{};
    record.start_ns = now_ns();
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
        record.connected_ns = now_ns();
        if (send(fd, &question, sizeof(question), MSG_NOSIGNAL) == sizeof(question) &&
            recv(fd, &answer, sizeof(answer), MSG_WAITALL) == sizeof(answer)) {
            outcome = answer.nonce == nonce ? Outcome::kRight : Outcome::kWrong;
            record.endpoint = answer.endpoint;
        }
    }
    close(fd);
    record.end_ns = now_ns();
    return outcome;
}

void work(const Options& options, int number, std::int64_t deadline, Worker& worker) {
    std::mt19937_64 nonces(std::random_device{}());
    sockaddr_in to = options.to;
    std::uint32_t first = ntohl(to.sin_addr.s_addr);
    for (std::uint32_t i = static_cast<std::uint32_t>(number); now_ns() < deadline; ++i) {
        to.sin_addr.s_addr = htonl(first + i % options.spread);
        Record record{};
        switch (exchange(to, nonces(), record)) {
            case Outcome::kRight:
                worker.records.push_back(record);
                if (options.until_first) {
                    return;
                }
                break;
            case Outcome::kFailed:
                ++worker.failed;
                break;
            case Outcome::kWrong:
                ++worker.wrong;
                break;
        }
    }
}

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; ++i) {
        std::string name = argv[i];
        if (name == "--until-first") {
            options.until_first = true;
            continue;
        }
        if (++i == argc) {
            return false;
        }
        if (name == "--to") {
            if (!sluice::bench::parse_address(argv[i], options.to)) {
                return false;
            }
        } else if (name == "--spread") {
            options.spread = static_cast<std::uint32_t>(std::max(1, std::atoi(argv[i])));
        } else if (name == "--seconds") {
            options.seconds = std::atof(argv[i]);
        } else if (name == "--threads") {
            options.threads = std::max(1, std::atoi(argv[i]));
        } else if (name == "--log") {
            options.log = argv[i];
        } else {
            return false;
        }
    }
    return options.to.sin_port != 0;
}

void print_percentiles(const char* name, std::vector<double> values) {
    std::sort(values.begin(), values.end());
    auto at = [&](double part) {
        return values.empty() ? 0.0 : values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
    };
    std::printf(", \"%s\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f}", name, at(0.5), at(0.9), at(0.99));
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    if (!parse(argc, argv, options)) {
        std::fputs(
            "usage: connect --to A.B.C.D:PORT [--spread N] --seconds S [--threads T] [--log FILE] [--until-first]\n",
            stderr);
        return 2;
    }
    std::int64_t started = now_ns();
    std::int64_t deadline = started + static_cast<std::int64_t>(options.seconds * 1e9);
    std::vector<Worker> workers(static_cast<std::size_t>(options.threads));
    std::vector<std::thread> threads;
    for (int i = 0; i < options.threads; ++i) {
        threads.emplace_back(work, std::cref(options), i, deadline, std::ref(workers[static_cast<std::size_t>(i)]));
    }
    for (auto& thread : threads) {
        thread.join();
    }
    double seconds = static_cast<double>(now_ns() - started) / 1e9;
    double cpu = cpu_us();

    std::FILE* log = options.log != nullptr ? std::fopen(options.log, "w") : nullptr;
    if (options.log != nullptr && log == nullptr) {
        std::perror("connect: log");
        return 1;
    }
    std::uint64_t failed = 0, wrong = 0;
    std::vector<double> connects, cycles;
    std::int64_t last_end = 0;
    for (const auto& worker : workers) {
        failed += worker.failed;
        wrong += worker.wrong;
        for (const auto& record : worker.records) {
            connects.push_back(static_cast<double>(record.connected_ns - record.start_ns) / 1e3);
            cycles.push_back(static_cast<double>(record.end_ns - record.start_ns) / 1e3);
            last_end = std::max(last_end, record.end_ns);
            if (log != nullptr) {
                char text[INET_ADDRSTRLEN];
                inet_ntop(AF_INET, &record.endpoint, text, sizeof(text));
                std::fprintf(log, "%lld %lld %s\n", static_cast<long long>(record.start_ns),
                             static_cast<long long>(record.end_ns), text);
            }
        }
    }
    if (log != nullptr) {
        std::fclose(log);
    }
    std::printf("{\"connections\": %zu, \"failed\": %llu, \"wrong\": %llu, \"seconds\": %.6f, \"last_end_ns\": %lld",
                connects.size(), static_cast<unsigned long long>(failed), static_cast<unsigned long long>(wrong),
                seconds, static_cast<long long>(last_end));
    std::printf(", \"cpu_us\": %.3f", connects.empty() ? 0.0 : cpu / static_cast<double>(connects.size()));
    print_percentiles("connect_us", std::move(connects));
    print_percentiles("cycle_us", std::move(cycles));
    std::puts("}");
    return wrong == 0 ? 0 : 1;
}
