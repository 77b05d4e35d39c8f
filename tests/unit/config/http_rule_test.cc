// What an HTTP rule says besides matches and weights: actions, headers.
#include <gtest/gtest.h>

#include "config/http.h"
#include "tests/unit/config/http_parsed.h"

namespace sluice::config::test {
namespace {

using std::chrono::milliseconds;

TEST(HttpRuleTest, WeightsAloneMakeNone) {
    const WeightedRule rule =
        whole("{name: first, route: [{destination: {host: a}, weight: 1}, {destination: {host: b}}]}");
    EXPECT_FALSE(rule.http);
    EXPECT_EQ(rule.needs_request_lane, "");
}

TEST(HttpRuleTest, DefaultsAreAbsent) {
    const HttpRule rule = beside_route("timeout: 1.5s");
    EXPECT_EQ(rule.timeout, milliseconds(1500));
    EXPECT_TRUE(rule.matches.empty() && rule.mirrors.empty() && rule.destination_headers.empty());
    EXPECT_FALSE(rule.redirect || rule.direct_response || rule.rewrite || rule.retries || rule.fault);
    EXPECT_TRUE(rule.headers.request.empty() && rule.headers.response.empty());
    EXPECT_FALSE(beside_route("mirror: {host: b}").timeout);
}

// ---- redirect, directResponse, rewrite
TEST(HttpActionTest, Redirect) {
    const WeightedRule rule =
        whole("{redirect: {uri: /a, authority: b, scheme: https, port: 8443, redirectCode: 307}}");
    EXPECT_TRUE(rule.destinations.empty());
    ASSERT_TRUE(rule.http && rule.http->redirect);
    const Redirect& made = *rule.http->redirect;
    EXPECT_EQ(made.uri, "/a");
    EXPECT_EQ(made.authority, "b");
    EXPECT_EQ(made.scheme, "https");
    EXPECT_EQ(made.port, 8443);
    EXPECT_EQ(made.code, 307);
    EXPECT_EQ(made.derive_port, Redirect::DerivePort::kNone);
    EXPECT_FALSE(made.prefix_rewrite);
}

TEST(HttpActionTest, RedirectDefaultsAndPorts) {
    const Redirect made = *http_rule("{redirect: {prefixRewrite: /b, uri: ''}}").redirect;
    EXPECT_EQ(made.prefix_rewrite, "/b");
    EXPECT_FALSE(made.uri || made.authority || made.scheme);
    EXPECT_EQ(made.port, 0);
    EXPECT_EQ(made.code, 301);
    EXPECT_EQ(http_rule("{redirect: {derivePort: FROM_REQUEST_PORT}}").redirect->derive_port,
              Redirect::DerivePort::kRequestPort);
    EXPECT_EQ(http_rule("{redirect: {derivePort: FROM_PROTOCOL_DEFAULT}}").redirect->derive_port,
              Redirect::DerivePort::kProtocolDefault);
}

std::string direct_body(const std::string& body) {
    const HttpRule rule = http_rule("{directResponse: {status: 503, body: " + body + "}}");
    EXPECT_EQ(rule.direct_response->status, 503);
    return rule.direct_response->body;
}

TEST(HttpActionTest, DirectResponse) {
    EXPECT_EQ(direct_body("{string: 'not yet'}"), "not yet");
    EXPECT_EQ(direct_body("{string: ''}"), "");
    EXPECT_EQ(http_rule("{directResponse: {status: 204}}").direct_response->body, "");
    EXPECT_TRUE(whole("{directResponse: {status: 204}}").destinations.empty());
}

TEST(HttpActionTest, DirectResponseInBase64) {
    // RFC 4648, 10.
    EXPECT_EQ(direct_body("{bytes: ''}"), "");
    EXPECT_EQ(direct_body("{bytes: Zg==}"), "f");
    EXPECT_EQ(direct_body("{bytes: Zm8=}"), "fo");
    EXPECT_EQ(direct_body("{bytes: Zm9v}"), "foo");
    EXPECT_EQ(direct_body("{bytes: Zm9vYg==}"), "foob");
    EXPECT_EQ(direct_body("{bytes: Zm9vYmE=}"), "fooba");
    EXPECT_EQ(direct_body("{bytes: Zm9vYmFy}"), "foobar");
    EXPECT_EQ(direct_body("{bytes: +/+/AA==}"), std::string("\xfb\xff\xbf\0", 4));
    for (const char* wrong : {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zh==", "Zm9=", "Zm 9v", "Zm-_", "'Zm9v\\n'"}) {
        const Parsed parsed =
            parse_text(text_of(std::string("{directResponse: {status: 200, body: {bytes: ") + wrong + "}}}"));
        EXPECT_NE(parsed.lines().find("base64 is needed"), std::string::npos) << wrong;
        EXPECT_TRUE(parsed.objects.empty());
    }
}

TEST(HttpActionTest, Base64ReadsNothingBehindItsText) {
    const std::string_view text = "QUJDREVG";
    EXPECT_EQ(decode_base64(text), "ABCDEF");
    EXPECT_EQ(decode_base64(text.substr(0, 4)), "ABC");
    for (const std::size_t cut : {1u, 2u, 3u, 5u, 6u, 7u}) {
        EXPECT_FALSE(decode_base64(text.substr(0, cut))) << cut;
    }
}

TEST(HttpActionTest, ABodyHasAtMostAMebibyte) {
    const auto lines = [](std::size_t size, bool bytes) {
        const std::string body =
            bytes ? "{bytes: " + std::string(size / 3 * 4, 'A') + "}" : "{string: '" + std::string(size, 'x') + "'}";
        return parse_text(text_of("{directResponse: {status: 200, body: " + body + "}}")).lines();
    };
    EXPECT_EQ(lines(100 << 10, false), "");
    EXPECT_NE(lines((100 << 10) + 1, false).find("warning: spec.http[0].directResponse.body: found a body of 102401"),
              std::string::npos);
    EXPECT_EQ(lines(1 << 20, false).find("at most"), std::string::npos);
    EXPECT_NE(lines((1 << 20) + 1, false).find("found a body of 1048577 bytes; at most 1048576 are allowed"),
              std::string::npos);
    EXPECT_EQ(lines((1 << 20) - 1, true).find("at most"), std::string::npos);
    EXPECT_NE(lines((1 << 20) + 2, true).find("at most 1048576 are allowed"), std::string::npos);
}

TEST(HttpActionTest, Rewrite) {
    const Rewrite plain = *beside_route("rewrite: {uri: /b, authority: c}").rewrite;
    EXPECT_EQ(plain.uri, "/b");
    EXPECT_EQ(plain.authority, "c");
    EXPECT_FALSE(plain.regex);
    const Rewrite regex = *beside_route("rewrite: {uri: '', uriRegexRewrite: {match: ^/a, rewrite: '/b\\1'}}").rewrite;
    EXPECT_FALSE(regex.uri || regex.authority);
    EXPECT_EQ(regex.regex, (std::pair<std::string, std::string>("^/a", "/b\\1")));
    EXPECT_EQ(regex.regex_place.column, 85);
}

TEST(HttpActionTest, WhatOnlyRoutesHaveIsWarnedAboutBesideOtherActions) {
    for (const char* field : {"timeout: 1s", "retries: {attempts: 1}", "mirror: {host: b}"}) {
        const std::string text = text_of(std::string("{redirect: {uri: /a}, ") + field + "}");
        EXPECT_NE(parse_text(text).lines().find("has no effect beside redirect or directResponse"), std::string::npos);
    }
}

// ---- headers
using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(HeadersTest, OfTheRule) {
    const HeaderOperations made =
        beside_route(
            "headers: {request: {set: {X-B: '1', ':authority': c}, add: {X-A: '%REQ(x-id?:path):10% 100%%'}, remove: "
            "[X-C, d]}, response: {set: {e: '%RESPONSE_CODE%'}, add: {f: \"\\t\"}, remove: [server]}}")
            .headers;
    EXPECT_EQ(made.request.set, (Pairs{{"x-b", "1"}, {"host", "c"}}));
    EXPECT_EQ(made.request.add, (Pairs{{"x-a", "%REQ(x-id?:path):10% 100%%"}}));
    EXPECT_EQ(made.request.remove, (std::vector<std::string>{"x-c", "d"}));
    EXPECT_EQ(made.response.set, (Pairs{{"e", "%RESPONSE_CODE%"}}));
    EXPECT_EQ(made.response.add, (Pairs{{"f", "\t"}}));
    EXPECT_EQ(made.response.remove, (std::vector<std::string>{"server"}));
}

TEST(HeadersTest, OfDestinationsByIndex) {
    const HttpRule rule = http_rule(
        "{route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 1, headers: {request: {set: "
        "{Host: x}}}}, {destination: {host: c}, weight: 1}]}");
    ASSERT_EQ(rule.destination_headers.size(), 2u);
    EXPECT_TRUE(rule.destination_headers[0].request.empty());
    EXPECT_EQ(rule.destination_headers[1].request.set, (Pairs{{"host", "x"}}));
    EXPECT_TRUE(rule.headers.request.empty());
}

TEST(HeadersTest, AnAuthorityOfTheRuleAndOneOfADestinationGoTogether) {
    const HttpRule rule = http_rule(
        "{route: [{destination: {host: a}, headers: {request: {set: {host: x}}}}], headers: {request: {add: {host: "
        "other}}}}");
    EXPECT_EQ(rule.headers.request.add, (Pairs{{"host", "other"}}));
    EXPECT_EQ(rule.destination_headers[0].request.set, (Pairs{{"host", "x"}}));
}

}  // namespace
}  // namespace sluice::config::test
