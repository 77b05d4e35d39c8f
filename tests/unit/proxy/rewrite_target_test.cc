// Rewrites, redirects and direct answers. Numbers are lines of reference istio-measured.md.
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

// "TARGET|x-envoy-original-path" of a request to a rule with that match and rewrite.
std::string rewritten(std::vector<HttpMatch> matches, config::Rewrite rewrite, const std::string& target) {
    Service service;
    service.rule({{"v1", 1}}, "", std::move(matches)).rewrite = std::move(rewrite);
    const std::string text = World(service).written(Request("GET", target, {{"Host", "ranker"}}));
    const std::string line = first_line(text);
    return line.substr(4, line.size() - 13) + "|" + field(text, "x-envoy-original-path");
}
config::Rewrite to(std::string path) {
    config::Rewrite rewrite;
    rewrite.uri = std::move(path);
    return rewrite;
}
config::Rewrite replace(std::string pattern, std::string replacement) {
    config::Rewrite rewrite;
    rewrite.regex.emplace(std::move(pattern), std::move(replacement));
    return rewrite;
}

// 33
TEST(Rewrite, APrefixIsReplacedByCharacter) {
    const std::vector<HttpMatch> match{uri(prefix("/noslash"))};
    EXPECT_EQ(rewritten(match, to("/"), "/noslash/a"), "//a|/noslash/a");
    EXPECT_EQ(rewritten(match, to("/"), "/noslashes"), "/es|/noslashes");
    EXPECT_EQ(rewritten(match, to("/new"), "/noslash?q=1"), "/new?q=1|/noslash?q=1");
    EXPECT_EQ(rewritten({uri(exact("/a"))}, to("/b/c"), "/a?q"), "/b/c?q|/a?q");
    EXPECT_EQ(rewritten({uri(regex("/a.*"))}, to("/b"), "/abc"), "/b|/abc");
    EXPECT_EQ(rewritten({}, to("/all"), "/any"), "/allany|/any");
    EXPECT_EQ(rewritten({header("host", present())}, to("/all"), "/any"), "/allany|/any");
}

// 16
TEST(Rewrite, ThePrefixIsCutWhateverItsCase) {
    HttpMatch match = uri(prefix("/Old/"));
    match.ignore_uri_case = true;
    EXPECT_EQ(rewritten({match}, to("/new/"), "/oLD/a"), "/new/a|/oLD/a");
}

// 34, 35
TEST(Rewrite, ARegexReplacesEveryOccurrenceOfThePathOnly) {
    EXPECT_EQ(rewritten({}, replace("a", "b"), "/a/aa?a=a"), "/b/bb?a=a|/a/aa?a=a");
    EXPECT_EQ(rewritten({}, replace("/v([0-9]+)/(.*)", "/\\2/\\1"), "/v47/rank"), "/rank/47|/v47/rank");
    EXPECT_EQ(rewritten({}, replace("nothing", "x"), "/a"), "/a|/a");
    EXPECT_EQ(rewritten({}, replace("x*", "-"), "/ab"), "-/-a-b-|/ab");
    EXPECT_EQ(rewritten({}, replace("b*", "-"), "/abba"), "-/-a-a-|/abba");
}

// 35
TEST(Rewrite, ANewHostKeepsTheOldOneInAHeader) {
    Service service;
    service.rule({{"v1", 1}}).rewrite.emplace().authority = "other.example.com";
    const std::string text = World(service).written(Request("GET", "/", {{"Host", "ranker:8080"}}));
    EXPECT_EQ(field(text, "host"), "other.example.com");
    EXPECT_EQ(field(text, "x-envoy-original-host"), "ranker:8080");
    EXPECT_EQ(field(text, "x-envoy-original-path"), "-");
    // A Host set through headers likewise; the rule's beats the destination's.
    Service by_headers;
    HttpRule& rule = by_headers.rule({{"v1", 1}});
    rule.headers.request.set.emplace_back("host", "of-rule");
    rule.destination_headers.resize(1);
    rule.destination_headers[0].request.set.emplace_back("host", "of-destination");
    const std::string set = World(by_headers).written(Request("GET", "/", {{"Host", "ranker"}}));
    EXPECT_EQ(field(set, "host"), "of-rule");
    EXPECT_EQ(field(set, "x-envoy-original-host"), "ranker");
}

// 1.7 of reference istio.md
TEST(Rewrite, ANewHostIsTakenLiterally) {
    Service service;
    HttpRule& rule = service.rule({{"v1", 1}});
    rule.headers.request.set.emplace_back("host", "%REQ(x-host)%");
    const Request request("GET", "/", {{"Host", "ranker"}, {"x-host", "of-client"}});
    EXPECT_EQ(field(World(service).written(request), "host"), "%REQ(x-host)%");
    rule.headers = {};
    rule.rewrite.emplace().authority = "%REQ(x-host)%";
    EXPECT_EQ(field(World(service).written(request), "host"), "%REQ(x-host)%");
}

TEST(Rewrite, AReplacementThatDoesNotFitIsRefused) {
    Service service;
    service.rule({{"v1", 1}}).rewrite = replace("a", "\\1");
    const std::vector<model::ServicePortPtr> ports{service.port()};
    const std::vector<std::string> errors = Table::check(ports);
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_TRUE(errors[0].starts_with("rules.yaml:10:5: spec.http[0].rewrite.uriRegexRewrite: ")) << errors[0];
}

// "STATUS LOCATION" of a redirect.
std::string redirected(config::Redirect redirect, const std::string& target, const std::string& host,
                       std::vector<HttpMatch> matches = {}) {
    Service service;
    service.rule({}, "", std::move(matches)).redirect = std::move(redirect);
    World world(service);
    const Request request("GET", target, {{"Host", host}});
    std::string out;
    int status = 0;
    EXPECT_TRUE(write_local_action(world.context(request), false, out, status));
    EXPECT_EQ(field(out, "content-length"), "0");
    return std::to_string(status) + " " + field(out, "location");
}

// 36
TEST(Redirect, UriReplacesTheWholePathAndKeepsTheQuery) {
    config::Redirect redirect;
    redirect.uri = "/new";
    const std::vector<HttpMatch> match{uri(prefix("/old"))};
    EXPECT_EQ(redirected(redirect, "/old/a?q=1", "ranker", match), "301 http://ranker/new?q=1");
    redirect.uri = "/new?own";
    redirect.code = 308;
    EXPECT_EQ(redirected(redirect, "/old/a?q=1", "ranker", match), "308 http://ranker/new?own");
    redirect.uri = "%PREFIX()%";
    EXPECT_EQ(redirected(redirect, "/old", "ranker", match), "308 http://ranker%PREFIX()%");
    config::Redirect part;
    part.prefix_rewrite = "/new";
    EXPECT_EQ(redirected(part, "/old/a?q=1", "ranker", match), "301 http://ranker/new/a?q=1");
}

// 1.5 of reference istio.md
TEST(Redirect, APrefixRewriteTakesTheWholePathOfOtherMatches) {
    config::Redirect redirect;
    redirect.prefix_rewrite = "/new";
    EXPECT_EQ(redirected(redirect, "/old/a?q=1", "ranker", {uri(exact("/old/a"))}), "301 http://ranker/new?q=1");
    EXPECT_EQ(redirected(redirect, "/old/a", "ranker", {uri(regex("/o.*"))}), "301 http://ranker/new");
    EXPECT_EQ(redirected(redirect, "/old/a", "ranker"), "301 http://ranker/newold/a") << "without a match \"/\" is it";
}

// 37
TEST(Redirect, PortsFollowTheScheme) {
    config::Redirect https;
    https.scheme = "https";
    EXPECT_EQ(redirected(https, "/a", "ranker:80"), "301 https://ranker/a");
    EXPECT_EQ(redirected(https, "/a", "ranker:8080"), "301 https://ranker:8080/a");
    EXPECT_EQ(redirected(https, "/a", "[::1]:80"), "301 https://[::1]/a");
    config::Redirect path;
    path.uri = "/b";
    EXPECT_EQ(redirected(path, "/a", "ranker:80"), "301 http://ranker:80/b");
    config::Redirect host;
    host.authority = "other";
    EXPECT_EQ(redirected(host, "/a", "ranker:8080"), "301 http://other/a");
    config::Redirect same;
    same.derive_port = config::Redirect::DerivePort::kRequestPort;
    EXPECT_EQ(redirected(same, "/a", "ranker:99"), "301 http://ranker:8080/a");
    config::Redirect standard;
    standard.derive_port = config::Redirect::DerivePort::kProtocolDefault;
    EXPECT_EQ(redirected(standard, "/a", "ranker:8080"), "301 http://ranker:8080/a");
    config::Redirect port;
    port.port = 9090;
    EXPECT_EQ(redirected(port, "/a", "ranker:8080"), "301 http://ranker:9090/a");
}

// 37
TEST(Redirect, ThePortOfTheRequestIsWrittenEvenWhenItIs80) {
    Service service("ranker.ml.svc.cluster.local", "", 80);
    service.rule({}).redirect.emplace().derive_port = config::Redirect::DerivePort::kRequestPort;
    World world(service);
    const Request request("GET", "/", {{"Host", "ranker"}}, client_in("ml"), 80);
    std::string out;
    int status = 0;
    ASSERT_TRUE(write_local_action(world.context(request), false, out, status));
    EXPECT_EQ(field(out, "location"), "http://ranker:80/");
}

// 38
TEST(DirectResponse, IsPlainTextUnlessSet) {
    Service service;
    HttpRule& rule = service.rule({});
    rule.direct_response.emplace();
    rule.direct_response->status = 418;
    rule.direct_response->body = "teapot";
    std::string out;
    int status = 0;
    const Request get("GET", "/");
    ASSERT_TRUE(write_local_action(World(service).context(get), false, out, status));
    EXPECT_EQ(status, 418);
    EXPECT_EQ(field(out, "content-type"), "text/plain");
    EXPECT_EQ(field(out, "connection"), "-");
    EXPECT_TRUE(out.ends_with("\r\n\r\nteapot"));
    rule.headers.response.set.emplace_back("content-type", "application/json");
    out.clear();
    ASSERT_TRUE(write_local_action(World(service).context(get), false, out, status));
    EXPECT_EQ(field(out, "content-type"), "application/json");
}

// 38
TEST(DirectResponse, HeadHasNoBodyAndARequestWithOneEndsTheConnection) {
    Service service;
    HttpRule& rule = service.rule({});
    rule.direct_response.emplace();
    rule.direct_response->status = 200;
    rule.direct_response->body = "hello";
    World world(service);
    std::string out;
    int status = 0;
    ASSERT_TRUE(write_local_action(world.context(Request("HEAD", "/")), false, out, status));
    EXPECT_EQ(field(out, "content-length"), "5");
    EXPECT_TRUE(out.ends_with("\r\n\r\n"));
    Request post("POST", "/");
    post.head.framing = http::Framing::kChunked;
    out.clear();
    ASSERT_TRUE(write_local_action(world.context(post), false, out, status));
    EXPECT_EQ(field(out, "connection"), "close");
}

TEST(DirectResponse, OtherRulesForward) {
    Service service;
    service.rule({{"v1", 1}});
    const Request get("GET", "/");
    std::string out;
    int status = 0;
    EXPECT_FALSE(write_local_action(World(service).context(get), false, out, status));
    EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace sluice::proxy::test
