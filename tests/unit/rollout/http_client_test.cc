#include "rollout/http_client.h"

#include <gmock/gmock.h>

#include "tests/unit/rollout/http_stub.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

TEST(HttpClient, tells_status_and_body_of_a_get_and_sends_the_body_of_a_post) {
    HttpStub stub([](const std::string&) { return HttpStub::reply(418, "short and stout"); });
    const auto got = ask_http({.url = stub.url() + "/a?b=c", .body = {}, .type = {}});
    ASSERT_TRUE(got) << got.error().text();
    EXPECT_EQ(got->status, 418);
    EXPECT_EQ(got->body, "short and stout");
    ASSERT_TRUE(ask_http({.url = stub.url(), .body = "{\"a\":1}", .type = "application/json"}));
    const auto requests = stub.requests();
    EXPECT_THAT(requests.at(0), StartsWith("GET /a?b=c HTTP/1.1\r\n"));
    EXPECT_THAT(requests.at(1), StartsWith("POST / HTTP/1.1\r\n"));
    EXPECT_THAT(requests.at(1), HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_THAT(requests.at(1), testing::EndsWith("\r\n\r\n{\"a\":1}"));
}

TEST(HttpClient, follows_no_redirect) {
    HttpStub other([](const std::string&) { return HttpStub::reply(200, "elsewhere"); });
    HttpStub stub([&](const std::string&) { return HttpStub::reply(302, "", "Location: " + other.url() + "\r\n"); });
    const auto got = ask_http({.url = stub.url(), .body = {}, .type = {}});
    ASSERT_TRUE(got);
    EXPECT_EQ(got->status, 302);
    EXPECT_TRUE(other.requests().empty());
}

TEST(HttpClient, gives_up_when_the_time_is_over) {
    HttpStub stub([](const std::string&) { return std::string(); });
    const auto begin = std::chrono::steady_clock::now();
    const auto got = ask_http({.url = stub.url(), .body = {}, .type = {}, .timeout = 100ms});
    ASSERT_FALSE(got);
    EXPECT_THAT(got.error().text(), HasSubstr(stub.url() + ": no answer within 100 ms"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST(HttpClient, ends_at_once_when_it_is_to_stop) {
    HttpStub stub([](const std::string&) { return std::string(); });
    std::optional<Result<HttpReply>> got;
    const auto begin = std::chrono::steady_clock::now();
    {
        std::jthread asking([&](const std::stop_token& stop) {
            got = ask_http({.url = stub.url(), .body = {}, .type = {}, .timeout = 60s}, stop);
        });
        while (stub.requests().empty() && std::chrono::steady_clock::now() < begin + 10s) {
            std::this_thread::sleep_for(1ms);
        }
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    ASSERT_TRUE(got);
    EXPECT_FALSE(*got);
    std::stop_source stopped;
    stopped.request_stop();
    EXPECT_FALSE(ask_http({.url = stub.url(), .body = {}, .type = {}, .timeout = 60s}, stopped.get_token()));
}

TEST(HttpClient, takes_no_answer_over_its_limit) {
    HttpStub stub([](const std::string&) { return HttpStub::reply(200, std::string(kReplyMax + 1, 'x')); });
    const auto got = ask_http({.url = stub.url(), .body = {}, .type = {}});
    ASSERT_FALSE(got);
    EXPECT_THAT(got.error().text(), HasSubstr("larger than 1048576 octets"));
    HttpStub full([](const std::string&) { return HttpStub::reply(200, std::string(kReplyMax, 'x')); });
    ASSERT_TRUE(ask_http({.url = full.url(), .body = {}, .type = {}}));
}

TEST(HttpClient, speaks_http_alone) {
    for (const char* url : {"file:///etc/hostname", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "nonsense", ""}) {
        EXPECT_FALSE(ask_http({.url = url, .body = {}, .type = {}, .timeout = 1s})) << url;
    }
}

TEST(HttpClient, an_error_names_the_url) {
    const auto got = ask_http({.url = "http://127.0.0.1:1/x", .body = {}, .type = {}});
    ASSERT_FALSE(got);
    EXPECT_THAT(got.error().text(), StartsWith("http://127.0.0.1:1/x: "));
}

}  // namespace
}  // namespace sluice::rollout
