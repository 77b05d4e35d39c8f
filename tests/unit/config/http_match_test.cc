// Matches of an HTTP rule: config::HttpMatch.
#include <gtest/gtest.h>

#include "tests/unit/config/http_parsed.h"

namespace sluice::config::test {
namespace {

HttpMatch match(const std::string& text) {
    const HttpRule rule = beside_route("match: [" + text + "]");
    EXPECT_EQ(rule.matches.size(), 1u);
    return rule.matches.empty() ? HttpMatch{} : rule.matches[0];
}

using Kind = StringMatch::Kind;

void expect(const std::optional<StringMatch>& made, Kind kind, const std::string& text) {
    ASSERT_TRUE(made);
    EXPECT_EQ(made->kind, kind) << text;
    EXPECT_EQ(made->text, text);
}

TEST(HttpMatchTest, PartsOfTheRequestLine) {
    const HttpMatch made = match(
        "{name: first, uri: {prefix: /V2}, scheme: {exact: https}, method: {regex: GET|PUT}, authority: {prefix: R}, "
        "ignoreUriCase: true}");
    EXPECT_EQ(made.name, "first");
    expect(made.uri, Kind::kPrefix, "/V2");
    expect(made.scheme, Kind::kExact, "https");
    expect(made.method, Kind::kRegex, "GET|PUT");
    expect(made.authority, Kind::kPrefix, "R");
    EXPECT_TRUE(made.ignore_uri_case);
    EXPECT_EQ(made.place.line, 7);
    EXPECT_EQ(made.uri->place.line, 7);
    EXPECT_EQ(made.uri->place.column, 77);
    EXPECT_FALSE(match("{method: {exact: GET}}").uri);
    EXPECT_FALSE(match("{uri: {exact: /a}}").ignore_uri_case);
}

TEST(HttpMatchTest, HeadersAreLowerCaseAndInOrder) {
    const HttpMatch made = match(
        "{headers: {X-User: {exact: Jason}, ':authority': {prefix: a}, empty: {exact: ''}, any: {}, null: , star: "
        "{regex: '*'}, dots: {regex: .*}}}");
    ASSERT_EQ(made.headers.size(), 7u);
    EXPECT_EQ(made.headers[0].name, "x-user");
    expect(made.headers[0].match, Kind::kExact, "Jason");
    EXPECT_EQ(made.headers[1].name, ":authority");
    expect(made.headers[2].match, Kind::kExact, "");
    expect(made.headers[3].match, Kind::kPresent, "");
    expect(made.headers[4].match, Kind::kPresent, "");
    expect(made.headers[5].match, Kind::kPresent, "");
    expect(made.headers[6].match, Kind::kRegex, ".*");
    EXPECT_TRUE(made.without_headers.empty() && made.query.empty());
}

TEST(HttpMatchTest, WithoutHeadersAndQuery) {
    const HttpMatch made = match(
        "{withoutHeaders: {X-Debug: {}, x-level: {prefix: '9'}}, queryParams: {User: {exact: ''}, any: {regex: '*'}}}");
    ASSERT_EQ(made.without_headers.size(), 2u);
    EXPECT_EQ(made.without_headers[0].name, "x-debug");
    expect(made.without_headers[0].match, Kind::kPresent, "");
    expect(made.without_headers[1].match, Kind::kPrefix, "9");
    ASSERT_EQ(made.query.size(), 2u);
    EXPECT_EQ(made.query[0].name, "User");
    expect(made.query[0].match, Kind::kExact, "");
    expect(made.query[1].match, Kind::kPresent, "");
}

TEST(HttpMatchTest, WhatIsFixedForAConnection) {
    const HttpMatch made = match("{port: 8080, sourceLabels: {app: web}, sourceNamespace: front}");
    EXPECT_EQ(made.port, 8080);
    EXPECT_EQ(made.source_labels, (Labels{{"app", "web"}}));
    EXPECT_EQ(made.source_namespace, "front");
    EXPECT_FALSE(made.gateways_given || made.gateways_mesh);
}

TEST(HttpMatchTest, GatewaysAreThisMeshOrOthers) {
    EXPECT_TRUE(match("{gateways: [ns/other, mesh, more]}").gateways_mesh);
    EXPECT_TRUE(match("{gateways: [mesh]}").gateways_given);
    const HttpMatch other = match("{gateways: [istio-system/ingress]}");
    EXPECT_TRUE(other.gateways_given);
    EXPECT_FALSE(other.gateways_mesh);
    EXPECT_FALSE(match("{gateways: [], port: 1}").gateways_given);
}

TEST(HttpMatchTest, KeysOfTheMatchAreIgnoredAmongHeadersAsInIstio) {
    const std::string rule = "{route: [{destination: {host: a}}], match: [{headers: {uri: {exact: /a}, b: {}}}]}";
    EXPECT_EQ(parse_text(text_of(rule)).lines(),
              "t.yaml:7:60: warning: spec.http[0].match[0].headers.uri: is ignored, as in Istio: it is a field of the "
              "match, not of its headers\n");
    const HttpRule made = http_rule(rule);
    ASSERT_EQ(made.matches[0].headers.size(), 1u);
    EXPECT_EQ(made.matches[0].headers[0].name, "b");
}

}  // namespace
}  // namespace sluice::config::test
