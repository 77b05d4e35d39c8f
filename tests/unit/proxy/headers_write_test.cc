// Heads as they are passed on. Numbers are lines of reference istio-measured.md.
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

using Edit = std::function<void(HttpRule&)>;

// What an upstream gets of a request under a rule with these arms.
std::string sent(const Edit& edit, Fields fields, std::vector<Arm> arms = {{"v1", 1}}) {
    Service service;
    HttpRule& rule = service.rule(std::move(arms), "rank");
    rule.destination_headers.resize(2);
    edit(rule);
    fields.emplace_back("Host", "ranker");
    return World(service).written(Request("GET", "/a?q", std::move(fields)));
}
// What a client gets of an answer.
std::string answered(const Edit& edit, Fields fields, int status = 200, std::string_view set_cookie = {}) {
    Service service;
    HttpRule& rule = service.rule({{"v1", 1}}, "rank");
    edit(rule);
    const Request request("GET", "/", {{"X-A", "1"}});
    World world(service);
    http::ResponseHead head;
    head.status = status;
    for (const auto& [name, value] : fields) {
        head.fields.push_back({name, value});
    }
    Context context = world.context(request);
    context.service_time_ms = 12;
    context.date = "Sat, 21 Nov 2026 07:00:00 GMT";
    std::string out;
    write_response(context, head, http::Framing::kLength, 3, set_cookie, false, out);
    return out;
}
void nothing(HttpRule&) {}

// 39
TEST(Headers, RemoveThenSetThenAdd) {
    const std::string text = sent(
        [](HttpRule& rule) {
            rule.headers.request.remove = {"x-a"};
            rule.headers.request.set = {{"x-a", "set"}};
            rule.headers.request.add = {{"x-a", "add"}};
        },
        {{"X-A", "own"}});
    EXPECT_EQ(field(text, "x-a"), "set|add");
    EXPECT_EQ(field(text, "X-A"), "-");
}

// 39
TEST(Headers, ASingleDestinationsOperationsFollowTheRules) {
    const std::string text = sent(
        [](HttpRule& rule) {
            rule.headers.request.remove = {"x-gone"};
            rule.headers.request.set = {{"x-both", "rule"}};
            rule.headers.request.add = {{"x-more", "rule"}};
            rule.destination_headers[0].request.set = {{"x-gone", "back"}, {"x-both", "destination"}};
            rule.destination_headers[0].request.add = {{"x-more", "destination"}};
        },
        {{"x-gone", "own"}});
    EXPECT_EQ(field(text, "x-gone"), "back");
    EXPECT_EQ(field(text, "x-both"), "destination");
    EXPECT_EQ(field(text, "x-more"), "rule|destination");
}

// 1.13 of reference istio.md
TEST(Headers, WithSeveralDestinationsTheRulesComeLast) {
    const std::string text = sent(
        [](HttpRule& rule) {
            rule.headers.request.set = {{"x-both", "rule"}};
            rule.headers.request.add = {{"x-seen", "%REQ(x-first)%"}};
            rule.destination_headers[0].request.set = {{"x-both", "destination"}, {"x-first", "1"}};
            rule.destination_headers[1].request.set = {{"x-other", "1"}};
        },
        {}, {{"v1", 1}, {"v2", 1}});
    EXPECT_EQ(field(text, "x-both"), "rule");
    EXPECT_EQ(field(text, "x-seen"), "1");
    EXPECT_EQ(field(text, "x-other"), "-");
}

// 40
TEST(Headers, OperatorsAreEvaluatedAndAbsentOnesMakeNoHeader) {
    const std::string text = sent(
        [](HttpRule& rule) {
            rule.headers.request.remove = {"x-gone"};
            rule.headers.request.set = {{"x-copy", "%REQ(X-User)%-%REQ(:method)%"},
                                        {"x-absent", "%REQ(x-nobody)%"},
                                        {"x-of-gone", "%REQ(x-gone)%"},
                                        {"x-percent", "100%%"},
                                        {"x-instead", "%REQ(x-nobody?:path)%"},
                                        {"x-short", "%REQ(x-user):3%"},
                                        {"x-where",
                                         "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %PROTOCOL% "
                                         "%ROUTE_NAME% %UPSTREAM_CLUSTER% %DOWNSTREAM_LOCAL_PORT%"},
                                        {"x-user", "%REQ(x-user)%!"}};
        },
        {{"x-user", "someone"}, {"x-gone", "1"}});
    EXPECT_EQ(field(text, "x-copy"), "someone-GET");
    EXPECT_EQ(field(text, "x-absent"), "-");
    EXPECT_EQ(field(text, "x-of-gone"), "-");
    EXPECT_EQ(field(text, "x-percent"), "100%");
    EXPECT_EQ(field(text, "x-instead"), "/a?q");
    EXPECT_EQ(field(text, "x-short"), "som");
    EXPECT_EQ(field(text, "x-where"), "10.1.2.3 HTTP/1.1 rank outbound|8080|v1|ranker.ml.svc.cluster.local 8080");
    EXPECT_EQ(field(text, "x-user"), "someone!");
}

TEST(Headers, AnUnknownOperatorIsRefusedWithTheRulesPlace) {
    for (const char* value : {"%UPSTREAM_HOST%", "%REQ()%", "%REQ(x):y%", "%REQ(x", "%RESP(x)%", "%", "%START_TIME%"}) {
        Service service;
        service.rule({{"v1", 1}});
        service.rule({{"v1", 1}}).headers.request.set = {{"x-a", value}};
        const std::vector<model::ServicePortPtr> ports{service.port()};
        const std::vector<std::string> errors = Table::check(ports);
        ASSERT_EQ(errors.size(), 1u) << value;
        EXPECT_TRUE(errors[0].starts_with("rules.yaml:20:5: spec.http[1].headers: request: x-a: ")) << errors[0];
    }
}

// 41
TEST(Headers, AClientGivesNoOrdersToTheProxy) {
    const std::string text = sent(nothing, {{"X-Envoy-Retry-On", "5xx"},
                                            {"x-envoy-max-retries", "9"},
                                            {"x-envoy-upstream-rq-timeout-ms", "1"},
                                            {"x-envoy-internal", "true"},
                                            {"x-envoy-attempt-count", "7"},
                                            {"x-envoy-peer-metadata", "kept"}});
    for (const char* name :
         {"X-Envoy-Retry-On", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms", "x-envoy-internal"}) {
        EXPECT_EQ(field(text, name), "-") << name;
    }
    EXPECT_EQ(field(text, "x-envoy-attempt-count"), "1");
    EXPECT_EQ(field(text, "x-envoy-peer-metadata"), "kept");
}

TEST(Headers, FieldsOfAConnectionAreNotPassedOn) {
    const std::string text = sent(nothing, {{"Connection", "keep-alive, X-Mine"},
                                            {"X-Mine", "1"},
                                            {"Keep-Alive", "timeout=5"},
                                            {"Proxy-Connection", "keep-alive"},
                                            {"TE", "trailers"},
                                            {"Transfer-Encoding", "chunked"},
                                            {"Upgrade", "h2c"},
                                            {"Content-Length", "7"},
                                            {"X-Theirs", "2"}});
    EXPECT_EQ(text,
              "GET /a?q HTTP/1.1\r\nhost: ranker\r\nX-Theirs: 2\r\nx-forwarded-proto: http\r\n"
              "x-envoy-attempt-count: 1\r\n\r\n");
}

TEST(Headers, WhatProxiesAddIsAddedOnlyWhereItIsMissing) {
    Service service;
    service.rule({{"v1", 1}});
    World world(service);
    const Request bare("POST", "/a", {{"Host", "ranker"}, {"traceparent", "00-1-2-01"}, {"b3", "0"}});
    Context context = world.context(bare);
    context.request_id = "id";
    context.attempt = 3;
    context.remaining_ms = 80;
    std::string out;
    write_request(context, bare.head, http::Framing::kLength, 5, out);
    EXPECT_EQ(out,
              "POST /a HTTP/1.1\r\nhost: ranker\r\ntraceparent: 00-1-2-01\r\nb3: 0\r\nx-forwarded-proto: http\r\n"
              "x-request-id: id\r\nx-envoy-attempt-count: 3\r\nx-envoy-expected-rq-timeout-ms: 80\r\n"
              "content-length: 5\r\n\r\n");
    const std::string own = sent(nothing, {{"X-Request-Id", "mine"}, {"X-Forwarded-Proto", "https"}});
    EXPECT_EQ(field(own, "X-Request-Id"), "mine");
    EXPECT_EQ(field(own, "x-request-id"), "-");
    EXPECT_EQ(field(own, "X-Forwarded-Proto"), "https");
    EXPECT_EQ(field(own, "x-forwarded-proto"), "-");
}

TEST(Headers, TargetsOfEveryForm) {
    Service service;
    service.rule({{"v1", 1}});
    World world(service);
    EXPECT_EQ(first_line(world.written(Request("GET", "http://other/a/../b?q=%20"))), "GET /b?q=%20 HTTP/1.1");
    EXPECT_EQ(field(world.written(Request("GET", "http://other/a", {{"Host", "ranker"}})), "host"), "other");
    EXPECT_EQ(first_line(world.written(Request("OPTIONS", "*"))), "OPTIONS * HTTP/1.1");
    EXPECT_EQ(first_line(world.written(Request("CONNECT", "ranker:443"))), "CONNECT ranker:443 HTTP/1.1");
    EXPECT_EQ(first_line(world.written(Request("GET", "/a?"))), "GET /a? HTTP/1.1");
    // HTTP/1.0 without Host: the service's.
    EXPECT_EQ(field(world.written(Request("GET", "/")), "host"), "ranker.ml.svc.cluster.local");
    EXPECT_FALSE(Request("GET", "/%00").normal);
}

// 54
TEST(Headers, AMirrorKeepsTheHostUnlessTold) {
    Service service;
    service.rule({{"v1", 1}}).rewrite.emplace().uri = "/new";
    World world(service);
    const Request request("GET", "/", {{"Host", "ranker:8080"}, {"Expect", "100-continue"}});
    Context context = world.context(request);
    std::string out;
    write_request(context, request.head, http::Framing::kNone, 0, out);
    EXPECT_EQ(field(out, "Expect"), "100-continue");
    EXPECT_EQ(field(out, "x-envoy-internal"), "-");
    context.mirror = true;
    out.clear();
    write_request(context, request.head, http::Framing::kNone, 0, out);
    EXPECT_EQ(first_line(out), "GET /new HTTP/1.1");
    EXPECT_EQ(field(out, "host"), "ranker:8080");
    EXPECT_EQ(field(out, "x-envoy-internal"), "true");
    EXPECT_EQ(field(out, "Expect"), "-");
    context.shadow_suffix = true;
    out.clear();
    write_request(context, request.head, http::Framing::kNone, 0, out);
    EXPECT_EQ(field(out, "host"), "ranker-shadow:8080");
}

TEST(Headers, AnUpgradeIsPassedOn) {
    Service service;
    service.rule({{"v1", 1}});
    World world(service);
    const Request request("GET", "/", {{"Host", "ranker"}, {"Connection", "Upgrade"}, {"Upgrade", "websocket"}});
    Context context = world.context(request);
    context.upgrade = "websocket";
    std::string out;
    write_request(context, request.head, http::Framing::kNone, 0, out);
    EXPECT_EQ(field(out, "connection"), "upgrade");
    EXPECT_EQ(field(out, "upgrade"), "websocket");
    http::ResponseHead head;
    head.status = 101;
    out.clear();
    write_response(context, head, http::Framing::kNone, 0, {}, false, out);
    EXPECT_EQ(field(out, "connection") + " " + field(out, "upgrade"), "upgrade websocket");
    EXPECT_EQ(field(out, "server"), "-");
}

TEST(Headers, AnAnswerIsPassedOnWithWhatItLacks) {
    const std::string text = answered(nothing, {{"Content-Type", "text/html"},
                                                {"Connection", "close"},
                                                {"Content-Length", "99"},
                                                {"x-envoy-upstream-service-time", "7"}});
    EXPECT_EQ(text.substr(text.find("\r\n") + 2),
              "Content-Type: text/html\r\ndate: Sat, 21 Nov 2026 07:00:00 GMT\r\nserver: sluice\r\n"
              "x-envoy-upstream-service-time: 12\r\ncontent-length: 3\r\n\r\n");
    const std::string own = answered(nothing, {{"Server", "triton"}, {"Date", "then"}}, 200, "a=\"b\"; HttpOnly");
    EXPECT_EQ(field(own, "Server") + field(own, "server"), "triton-");
    EXPECT_EQ(field(own, "Date") + field(own, "date"), "then-");
    EXPECT_EQ(field(own, "set-cookie"), "a=\"b\"; HttpOnly");
    // 1xx has nothing of all that.
    EXPECT_EQ(answered(nothing, {{"Link", "x"}}, 103).substr(9, 3), "103");
    EXPECT_TRUE(answered(nothing, {{"Link", "x"}}, 103).ends_with("\r\nLink: x\r\n\r\n"));
}

TEST(Headers, TheServiceTimeIsLeftOutWhenThereIsNone) {
    http::ResponseHead head;
    head.status = 200;
    Context context;
    context.service_time_ms = UINT64_MAX;
    std::string out;
    write_response(context, head, http::Framing::kUntilClose, 0, {}, true, out);
    EXPECT_EQ(out.substr(out.find("\r\n") + 2), "server: sluice\r\nconnection: close\r\n\r\n");
}

TEST(Headers, AnswersHaveTheRulesOperations) {
    const std::string text = answered(
        [](HttpRule& rule) {
            rule.headers.response.remove = {"x-gone"};
            rule.headers.response.set = {{"x-code", "%RESPONSE_CODE%"}, {"x-both", "%RESP(x-b)%-%REQ(x-a)%"}};
        },
        {{"X-Gone", "1"}, {"X-B", "2"}}, 503);
    EXPECT_EQ(field(text, "X-Gone"), "-");
    EXPECT_EQ(field(text, "x-code"), "503");
    EXPECT_EQ(field(text, "x-both"), "2-1");
}

// 3.8 of reference istio.md
TEST(Headers, LocalRepliesArePlainTextWithTheRulesOperations) {
    Service service;
    service.rule({{"v1", 1}}).headers.response.set = {{"x-rule", "1"}};
    World world(service);
    const Request request("GET", "/");
    std::string out;
    write_local_reply(world.context(request), 503, "no healthy upstream", true, true, out);
    EXPECT_EQ(out.substr(0, 12), "HTTP/1.1 503");
    EXPECT_EQ(out.substr(out.find("\r\n") + 2),
              "x-envoy-overloaded: true\r\ncontent-type: text/plain\r\nserver: sluice\r\nx-rule: 1\r\n"
              "content-length: 19\r\nconnection: close\r\n\r\nno healthy upstream");
    out.clear();
    write_local_reply(Context(), 404, "", false, false, out);
    EXPECT_EQ(out.substr(out.find("\r\n") + 2), "server: sluice\r\ncontent-length: 0\r\n\r\n");
    const Request head("HEAD", "/");
    out.clear();
    write_local_reply(world.context(head), 504, "upstream request timeout", false, false, out);
    EXPECT_EQ(field(out, "content-length"), "24");
    EXPECT_TRUE(out.ends_with("\r\n\r\n"));
}

TEST(Headers, LocalRepliesToGrpcAreTrailersOnly) {
    Service service;
    service.rule({{"v1", 1}});
    World world(service);
    const Request request("POST", "/", {{"Content-Type", "application/grpc+proto"}});
    std::string out;
    write_local_reply(world.context(request), 503, "100% \x01", false, false, out);
    EXPECT_EQ(out.substr(0, 12), "HTTP/1.1 200");
    EXPECT_EQ(field(out, "content-type"), "application/grpc");
    EXPECT_EQ(field(out, "grpc-status"), "14");
    EXPECT_EQ(field(out, "grpc-message"), "100%25 %01");
    EXPECT_TRUE(out.ends_with("\r\n\r\n"));
    const Request web("POST", "/", {{"Content-Type", "application/grpcx"}});
    out.clear();
    write_local_reply(world.context(web), 503, "", false, false, out);
    EXPECT_EQ(out.substr(0, 12), "HTTP/1.1 503");
}

TEST(Headers, RequestIdsAreUuidsOfVersion4) {
    std::string id;
    make_request_id(0x0123456789abcdefull, 0xffffffffffffffffull, id);
    EXPECT_EQ(id, "01234567-89ab-4def-bfff-ffffffffffff");
}

}  // namespace
}  // namespace sluice::proxy::test
