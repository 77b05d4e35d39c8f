// HTTP by hand: both ends of a connection through the mesh in one process, so that what is on the wire, and when, is
// exact.
#pragma once

#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {

// Sum over shards, by everything else.
struct RequestRow {
    std::uint32_t cluster = 0;
    int status = 0;
    int reason = 0;
    auto operator<=>(const RequestRow&) const = default;
};
using RequestRows = std::map<RequestRow, sl_request_counts>;

// A client and the server that it reached.
struct Pair {
    Fd client;
    Fd server;

    // Writes on `from` and takes it off at `to`; false when it did not arrive.
    static bool move(const Fd& from, const Fd& to, const std::string& bytes) {
        bool written = false;
        std::thread writer([&] { written = write_all(from.get(), bytes); });
        std::string got(bytes.size(), 0);
        std::size_t have = 0;
        while (have < bytes.size()) {
            pollfd wait{to.get(), POLLIN, 0};
            if (poll(&wait, 1, 10000) <= 0) {
                break;
            }
            const ssize_t n = read(to.get(), got.data() + have, bytes.size() - have);
            if (n <= 0) {
                break;
            }
            have += static_cast<std::size_t>(n);
        }
        if (have < bytes.size()) {
            shutdown(from.get(), SHUT_RDWR);
        }
        writer.join();
        return written && got == bytes;
    }
    bool ask(const std::string& bytes) const { return move(client, server, bytes); }
    bool answer(const std::string& bytes) const { return move(server, client, bytes); }
    // Octet by octet, each in a segment of its own.
    bool ask_slowly(const std::string& bytes) const {
        return std::ranges::all_of(bytes, [&](char c) { return ask(std::string(1, c)); });
    }
    bool answer_slowly(const std::string& bytes) const {
        return std::ranges::all_of(bytes, [&](char c) { return answer(std::string(1, c)); });
    }
};

inline std::string get(const std::string& path = "/") {
    return "GET " + path + " HTTP/1.1\r\nHost: model.example\r\nUser-Agent: test\r\n\r\n";
}
inline std::string post(const std::string& headers, const std::string& body) {
    return "POST /x HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body;
}
inline std::string answer_of(int status, std::size_t body) {
    return "HTTP/1.1 " + std::to_string(status) +
           " Some\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body) + "\r\n\r\n" +
           std::string(body, 'x');
}

// A mesh with one HTTP service (127.10.0.1:80) that leads to a listener of the test's.
class HttpTest : public MeshTest {
  protected:
    void SetUp() override {
        MeshTest::SetUp();
        listener_ = listen_on("127.0.0.1", port_);
    }
    // One endpoint, one cluster.
    std::uint32_t serve(const std::function<void(sl_cluster_row&)>& shape = [](sl_cluster_row&) {}) {
        const std::uint32_t cluster = rules_->cluster({{"127.0.0.1", port_}}, [&](sl_cluster_row& row) {
            row.flags = SL_CLUSTER_HTTP | SL_CLUSTER_ANSWERS;
            shape(row);
        });
        rules_->service("127.10.0.1", 80, {cluster});
        rules_->publish();
        return cluster;
    }
    Pair connect() const {
        Pair pair;
        pair.client = Fd(dial("127.10.0.1", 80));
        pair.server = Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        const int on = 1;
        for (const Fd* fd : {&pair.client, &pair.server}) {
            setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        return pair;
    }
    // Runs `body` in a client process with a connection; "done" when it returned true.
    std::string with_pair(const std::function<bool(Pair&)>& body) {
        return in_cgroup(cgroup_, [&]() -> std::string {
            Pair pair = connect();
            return body(pair) ? "done" : "failed";
        });
    }
    RequestRows rows() const {
        RequestRows result;
        auto read = kernel_->for_each_request([&](const sl_request_key& key, const sl_request_counts& counts) {
            if (key.workload == SL_NONE) {
                return;
            }
            sl_request_counts& row = result[{key.cluster, key.status, key.reason}];
            for (std::size_t i = 0; i < sizeof counts / sizeof(__u64); ++i) {
                reinterpret_cast<__u64*>(&row)[i] += reinterpret_cast<const __u64*>(&counts)[i];
            }
        });
        EXPECT_TRUE(read);
        return result;
    }
    // "STATUS[/reason] xCOUNT ...", of all clusters.
    std::string counts() const {
        std::map<std::pair<int, int>, std::uint64_t> sums;
        for (const auto& [key, row] : rows()) {
            sums[{key.status, key.reason}] += row.requests;
        }
        std::string text;
        for (const auto& [key, count] : sums) {
            text += (text.empty() ? "" : " ") + std::to_string(key.first) +
                    (key.second ? "/" + std::string(reason_name(key.second)) : "") + "x" + std::to_string(count);
        }
        return text;
    }
    static const char* reason_name(int reason) {
        switch (reason) {
#define SL_TEST_REASON(name, number, label, flag, text) \
    case number:                                        \
        return label;
            SL_REASONS(SL_TEST_REASON)
#undef SL_TEST_REASON
            default:
                return "?";
        }
    }
    std::vector<sl_connection> connections() const {
        std::vector<sl_connection> result;
        EXPECT_TRUE(kernel_->for_each_connection([&](const sl_connection& c) { result.push_back(c); }));
        return result;
    }
    std::vector<sl_event> events() {
        std::vector<sl_event> seen;
        EXPECT_TRUE(kernel_->poll_events([&](const sl_event& event) { seen.push_back(event); }));
        return seen;
    }

    Fd listener_;
    std::uint16_t port_ = 0;
};

}  // namespace sluice::test
