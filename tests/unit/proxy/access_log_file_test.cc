#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "proxy/access_log.h"
#include "proxy/log_ring.h"
#include "records.h"

namespace sluice::proxy {
namespace {

using namespace std::chrono_literals;

std::string text_of(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

std::vector<std::string> lines_of(const std::string& path) {
    std::istringstream in(text_of(path));
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) {
        out.push_back(line);
    }
    return out;
}

template <typename Done>
bool within(std::chrono::seconds time, const Done& done) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

class AccessLogTest : public testing::Test {
  protected:
    AccessLogTest() {
        std::string name = testing::TempDir() + "sluice-access-XXXXXX";
        directory = ::mkdtemp(name.data());
        path = directory + "/access.log";
    }
    ~AccessLogTest() override { std::filesystem::remove_all(directory); }

    std::unique_ptr<AccessLog> open(AccessLogOptions options) {
        options.path = options.path.empty() ? path : options.path;
        auto made_log = AccessLog::open(std::move(options));
        EXPECT_TRUE(made_log.has_value()) << made_log.error().text();
        return std::move(*made_log);
    }
    // A request with that number as its id.
    Record request(int number, int status = 200, std::uint32_t flags = 0) {
        Record record = made.record(cluster, 0, status, flags);
        id = std::to_string(number);
        record.request_id = id;
        return record;
    }
    static std::uint64_t dropped(const AccessLog& log, const std::string& reason) {
        telemetry::Reading reading;
        log.read(reading);
        for (const telemetry::ProxiedCount& row : reading.proxied_counts) {
            if (row.reason == reason && row.what == telemetry::ProxiedCount::What::kLogDropped) {
                return row.count;
            }
        }
        return UINT64_MAX;
    }

    test::Records made;
    ClusterPtr cluster = made.cluster("v45");
    std::string directory, path, id;
};

TEST_F(AccessLogTest, ALineARequestStandsInTheFile) {
    auto log = open({});
    auto recorder = log->recorder();
    recorder->finished(request(1));
    recorder->finished(request(2, 503));
    ASSERT_TRUE(within(10s, [&] { return lines_of(path).size() == 2; }));
    EXPECT_THAT(lines_of(path)[0], testing::HasSubstr("\" 200 - "));
    EXPECT_THAT(lines_of(path)[1], testing::HasSubstr("\" 503 - "));
    EXPECT_EQ(dropped(*log, "buffer"), 0u);
    EXPECT_EQ(dropped(*log, "write"), 0u);
}

TEST_F(AccessLogTest, WhatThereIsAtTheEndIsWritten) {
    auto log = open({.interval = 1h});
    auto recorder = log->recorder();
    for (int i = 0; i < 100; ++i) {
        recorder->finished(request(i));
    }
    recorder.reset();
    log.reset();
    EXPECT_EQ(lines_of(path).size(), 100u);
}

TEST_F(AccessLogTest, WorkersDoNotMixTheirLines) {
    constexpr int kLines = 3000;
    {
        auto log = open({.ring = 1 << 20, .interval = 1ms});
        std::vector<std::unique_ptr<Recorder>> recorders;
        std::vector<std::thread> workers;
        const Record first = made.record(cluster, 0, 200);
        for (int worker = 0; worker < 3; ++worker) {
            recorders.push_back(log->recorder());
        }
        for (int worker = 0; worker < 3; ++worker) {
            workers.emplace_back([&, worker] {
                Record record = first;
                for (int i = 0; i < kLines; ++i) {
                    const std::string own = std::to_string(worker) + "-" + std::to_string(i);
                    record.request_id = own;
                    recorders[static_cast<std::size_t>(worker)]->finished(record);
                }
            });
        }
        for (std::thread& worker : workers) {
            worker.join();
        }
        EXPECT_EQ(dropped(*log, "buffer"), 0u);
        recorders.clear();
    }
    std::array<int, 3> next{};
    const auto lines = lines_of(path);
    EXPECT_EQ(lines.size(), 3u * kLines);
    for (const std::string& line : lines) {
        int worker = 0, number = 0;
        const std::size_t at = line.find("\"-\" \"-\" \"");
        ASSERT_NE(at, std::string::npos) << line;
        ASSERT_EQ(std::sscanf(line.c_str() + at + 9, "%d-%d\"", &worker, &number), 2) << line;
        EXPECT_EQ(number, next[static_cast<std::size_t>(worker)]++) << "in order, each once";
        EXPECT_TRUE(line.starts_with("[") && line.ends_with("split")) << line;
    }
}

TEST_F(AccessLogTest, AFullRingDropsAndCountsAndTheRestIsWhole) {
    // A pipe that nobody reads holds the thread up, so that the ring stays full.
    const std::string pipe = directory + "/pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const Fd reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
    auto stalled = open({.path = pipe, .ring = 4096, .interval = 1ms});
    auto recorder = stalled->recorder();
    const auto began = std::chrono::steady_clock::now();
    int sent = 0;
    for (; dropped(*stalled, "buffer") < 1000; ++sent) {
        recorder->finished(request(sent));
    }
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s) << "no worker waits for the reader";
    std::string got;
    char some[65536];
    ASSERT_TRUE(within(10s, [&] {
        while (const ssize_t size = ::read(reader.get(), some, sizeof some)) {
            if (size < 0) {
                break;
            }
            got.append(some, static_cast<std::size_t>(size));
        }
        return static_cast<std::uint64_t>(std::ranges::count(got, '\n')) + dropped(*stalled, "buffer") ==
               static_cast<std::uint64_t>(sent);
    }));
    std::istringstream in(got);
    for (std::string line; std::getline(in, line);) {
        EXPECT_TRUE(line.starts_with("[") && line.ends_with("split")) << line;
    }
}

TEST_F(AccessLogTest, AReaderThatTakesNothingDoesNotHoldTheEndUp) {
    const std::string pipe = directory + "/pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const Fd reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
    auto log = open({.path = pipe, .ring = 1 << 20, .interval = 1ms});
    auto recorder = log->recorder();
    for (int i = 0; i < 3000; ++i) {
        recorder->finished(request(i));
    }
    recorder.reset();
    const auto began = std::chrono::steady_clock::now();
    log.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - began, 8s);
}

TEST_F(AccessLogTest, WhatCannotBeWrittenIsCounted) {
    auto log = open({.path = "/dev/full", .interval = 1ms});
    auto recorder = log->recorder();
    for (int i = 0; i < 5; ++i) {
        recorder->finished(request(i));
    }
    EXPECT_TRUE(within(10s, [&] { return dropped(*log, "write") == 5; }));
}

TEST_F(AccessLogTest, ReopenGoesOnInANewFile) {
    auto log = open({.interval = 1ms});
    auto recorder = log->recorder();
    recorder->finished(request(1));
    ASSERT_TRUE(within(10s, [&] { return lines_of(path).size() == 1; }));
    std::filesystem::rename(path, path + ".1");
    recorder->finished(request(2));
    ASSERT_TRUE(within(10s, [&] { return lines_of(path + ".1").size() == 2; })) << "until it is told";
    ASSERT_TRUE(log->reopen().has_value());
    ASSERT_TRUE(std::filesystem::exists(path));
    int sent = 2;
    ASSERT_TRUE(within(10s, [&] {
        recorder->finished(request(++sent));
        return !lines_of(path).empty();
    }));
    recorder.reset();
    log.reset();
    EXPECT_EQ(lines_of(path).size() + lines_of(path + ".1").size(), static_cast<std::size_t>(sent));
}

TEST_F(AccessLogTest, AFileThatCannotBeReopenedLeavesTheOldOne) {
    auto log = open({.interval = 1ms});
    auto recorder = log->recorder();
    std::filesystem::rename(path, directory + "/old");
    std::filesystem::create_directory(path);
    EXPECT_FALSE(log->reopen().has_value());
    recorder->finished(request(1));
    EXPECT_TRUE(within(10s, [&] { return lines_of(directory + "/old").size() == 1; }));
    EXPECT_FALSE(AccessLog::open({.path = path}).has_value());
}

TEST_F(AccessLogTest, ASampleHasItsPartOfTheGoodAndAllThatFailed) {
    constexpr int kRequests = 4000;
    for (const double sample : {0.0, 0.25}) {
        std::filesystem::remove(path);
        auto log = open({.sample = sample, .ring = 4 << 20});
        auto recorder = log->recorder();
        for (int i = 0; i < kRequests; ++i) {
            recorder->finished(request(i));
            recorder->finished(request(i, 404));
        }
        const std::uint32_t flags[] = {bit(Flag::kDownstreamConnectionTermination), bit(Flag::kNoRoute)};
        recorder->finished(request(1, 500));
        recorder->finished(request(1, 0, flags[0]));
        recorder->finished(request(1, 404, flags[1]));
        recorder->finished(request(1, 200, flags[0]));
        recorder.reset();
        log.reset();
        int good = 0, bad = 0;
        for (const std::string& line : lines_of(path)) {
            (line.find("\" 200 - ") != std::string::npos || line.find("\" 404 - ") != std::string::npos ? good : bad)++;
        }
        EXPECT_EQ(bad, 4) << sample;
        // Of 8000 draws, within five sigma.
        EXPECT_NEAR(good, 2 * kRequests * sample, sample == 0 ? 0 : 195) << sample;
    }
}

TEST(LogRing, TakesLinesWholeOrNotAtAll) {
    LogRing ring(16);
    EXPECT_TRUE(ring.push("0123456789"));
    EXPECT_FALSE(ring.push("abcdefg"));
    EXPECT_TRUE(ring.push("abcdef"));
    EXPECT_TRUE(ring.half_full());
    EXPECT_EQ(ring.used(), 16u);
    EXPECT_EQ(ring.front(ring.used()), "0123456789abcdef");
    ring.pop(10);
    EXPECT_FALSE(ring.half_full());
    EXPECT_TRUE(ring.push("ABCDEFGHIJ"));
    EXPECT_EQ(ring.front(ring.used()), "abcdef") << "up to the end of its memory";
    ring.pop(6);
    EXPECT_EQ(ring.front(ring.used()), "ABCDEFGHIJ");
}

}  // namespace
}  // namespace sluice::proxy
