#include "admin/router.h"

#include <gtest/gtest.h>

namespace sluice::admin {
namespace {

// Answers with what it was asked.
class FakeBackend : public Backend {
  public:
    Json status() override { return {{"generation", 7}}; }
    std::string list(List what, const ListFilter& filter) override {
        return "list " + std::to_string(static_cast<int>(what)) + " " + filter.host;
    }
    Json maps() override { return Json::array(); }
    Result<Json> map(const std::string& name) override {
        if (name != "flows") {
            return fail("no map '" + name + "'");
        }
        return Json{{"name", name}};
    }
    Result<Json> explain(const ExplainQuery& query) override {
        return Json{{"host", query.host}, {"port", query.port}, {"client", query.client}};
    }
    Result<std::string> history(const HistoryQuery& query) override {
        asked = query;
        if (query.object == "nonsense") {
            return fail_errno(EINVAL, "no key");
        }
        return std::to_string(query.limit);
    }
    Answer rollback(const RollbackRequest& request) override {
        back = request;
        return {200, "rolled back"};
    }
    Answer weight(const WeightRequest& request) override {
        weighed = request;
        return {200, "weighed"};
    }
    Answer compare(const CompareQuery& query) override {
        return {200, "compared " + std::to_string(query.from) + " " + (query.to ? std::to_string(*query.to) : "now")};
    }
    Result<std::string> connections(const ConnectionsQuery& query) override {
        return "connections " + query.host + " " + std::to_string(query.limit);
    }
    Result<Json> tail(const TailQuery& query) override {
        return Json{{"after", query.after ? Json(*query.after) : Json(nullptr)}, {"limit", query.limit}};
    }
    Result<std::string> top(const TopQuery& query) override {
        if (query.host == "nobody") {
            return fail("no service 'nobody'");
        }
        return "top " + query.host + " " + std::to_string(query.limit);
    }
    Answer apply(const ApplyRequest& request) override {
        last = request;
        return {200, "applied"};
    }
    std::string metrics() override { return "# metrics\n"; }
    std::string unhealthy() override { return sick; }
    std::string unready() override { return sick; }

    ApplyRequest last;
    HistoryQuery asked;
    RollbackRequest back;
    WeightRequest weighed;
    std::string sick;
};

class RouterTest : public testing::Test {
  protected:
    Answer get(const std::string& path, std::map<std::string, std::string> query = {}, Door door = Door::kUnix) {
        return route(backend,
                     {.door = door, .method = "GET", .path = path, .query = std::move(query), .host = "localhost"}, "");
    }
    FakeBackend backend;
};

TEST_F(RouterTest, EveryPathOfTheApiAnswers) {
    EXPECT_EQ(get("/v1/status").body, "{\"generation\":7}\n");
    EXPECT_EQ(get("/v1/services").body, "list 0 ");
    EXPECT_EQ(get("/v1/routes", {{"host", "a"}}).body, "list 1 a");
    EXPECT_EQ(get("/v1/subsets").body, "list 2 ");
    EXPECT_EQ(get("/v1/endpoints").body, "list 3 ");
    EXPECT_EQ(get("/v1/maps").body, "[]\n");
    EXPECT_EQ(get("/v1/maps/flows").body, "{\"name\":\"flows\"}\n");
    EXPECT_EQ(get("/v1/explain", {{"host", "h"}, {"port", "80"}, {"client", "ns"}}).body,
              "{\"host\":\"h\",\"port\":80,\"client\":\"ns\"}\n");
    EXPECT_EQ(get("/v1/history").body, "50");
    EXPECT_EQ(get("/v1/history", {{"limit", "3"}}).body, "3");
    EXPECT_EQ(get("/v1/connections").body, "connections  1000");
    EXPECT_EQ(get("/v1/connections", {{"host", "a"}, {"limit", "7"}}).body, "connections a 7");
    EXPECT_EQ(get("/v1/tail").body, "{\"after\":null,\"limit\":4096}\n");
    EXPECT_EQ(get("/v1/tail", {{"after", "18446744073709551615"}, {"limit", "2"}}).body,
              "{\"after\":18446744073709551615,\"limit\":2}\n");
    EXPECT_EQ(get("/v1/top").body, "top  1000");
    EXPECT_EQ(get("/v1/top", {{"host", "a"}}).body, "top a 1000");
    EXPECT_EQ(get("/metrics").type, "text/plain; version=0.0.4; charset=utf-8");
    EXPECT_EQ(get("/healthz").body, "ok\n");
    EXPECT_EQ(get("/readyz").status, 200);
}

TEST_F(RouterTest, WhatDoesNotExistIsNotFound) {
    EXPECT_EQ(get("/").status, 404);
    EXPECT_EQ(get("/v1/status/").status, 404);
    EXPECT_EQ(get("/v1/maps/none").status, 404);
    EXPECT_EQ(get("/v1/top", {{"host", "nobody"}}).status, 404);
}

TEST_F(RouterTest, BadParametersAreRefused) {
    EXPECT_EQ(get("/v1/explain").status, 400);
    EXPECT_EQ(get("/v1/explain", {{"host", "h"}, {"port", "65536"}}).status, 400);
    EXPECT_EQ(get("/v1/explain", {{"host", "h"}, {"port", "80x"}}).status, 400);
    EXPECT_EQ(get("/v1/history", {{"limit", "-1"}}).status, 400);
    EXPECT_EQ(get("/v1/connections", {{"limit", "100001"}}).status, 400);
    EXPECT_EQ(get("/v1/tail", {{"limit", "4097"}}).status, 400);
    EXPECT_EQ(get("/v1/tail", {{"after", "-1"}}).status, 400);
    EXPECT_EQ(get("/v1/tail", {{"after", "18446744073709551616"}}).status, 400);
    EXPECT_EQ(get("/v1/top", {{"limit", "x"}}).status, 400);
    Answer dry =
        route(backend, {.door = Door::kUnix, .method = "POST", .path = "/v1/apply", .query = {{"dry_run", "yes"}}}, "");
    EXPECT_EQ(dry.status, 400);
}

TEST_F(RouterTest, ApplyCarriesBodyPeerAndFlags) {
    Request request{.door = Door::kUnix,
                    .method = "POST",
                    .path = "/v1/apply",
                    .query = {{"dry_run", "1"}, {"file", "canary.yaml"}, {"message", "more"}},
                    .body = "kind: Service",
                    .peer = {.uid = 12, .pid = 34}};
    EXPECT_EQ(route(backend, request, "").body, "applied");
    EXPECT_TRUE(backend.last.dry_run);
    EXPECT_EQ(backend.last.documents, "kind: Service");
    EXPECT_EQ(backend.last.file, "canary.yaml");
    EXPECT_EQ(backend.last.message, "more");
    EXPECT_EQ(backend.last.peer.uid, 12);
}

TEST_F(RouterTest, TcpIsReadOnly) {
    for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
        Answer answer = route(
            backend, {.door = Door::kTcp, .method = method, .path = "/v1/apply", .host = "localhost", .body = "x"}, "");
        EXPECT_EQ(answer.status, 405) << method;
    }
    EXPECT_TRUE(backend.last.documents.empty());
    EXPECT_EQ(get("/v1/status", {}, Door::kTcp).status, 200);
    EXPECT_EQ(get("/v1/apply").status, 405);
}

TEST_F(RouterTest, ReadinessTellsWhyNot) {
    backend.sick = "no generation is in force";
    EXPECT_EQ(get("/readyz").status, 503);
    EXPECT_EQ(get("/readyz").body, "no generation is in force\n");
    EXPECT_EQ(get("/healthz").status, 503);
}

TEST_F(RouterTest, AForeignHostIsRefusedOnTcp) {
    Request request{.door = Door::kTcp, .method = "GET", .path = "/v1/status", .host = "evil.example:15000"};
    EXPECT_EQ(route(backend, request, "").status, 403);
    EXPECT_EQ(route(backend, request, "evil.example").status, 200);  // configured under that name
    request.door = Door::kUnix;
    EXPECT_EQ(route(backend, request, "").status, 200);
}

TEST(HostAllowed, NamesThatOnlyThisMachineHas) {
    for (const char* good : {"localhost", "localhost:15000", "127.0.0.1", "127.0.0.1:15000", "10.2.3.4:1", "[::1]",
                             "[::1]:15000", "node-7", "node-7:15000"}) {
        EXPECT_TRUE(host_allowed(good, "node-7")) << good;
    }
    for (const char* bad : {"", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example", "[::1", "[evil]",
                            "[::1]x", "node-70"}) {
        EXPECT_FALSE(host_allowed(bad, "node-7")) << bad;
    }
    EXPECT_FALSE(host_allowed("", ""));
}

TEST(JsonAnswer, BytesThatAreNoTextAreReplaced) {
    EXPECT_EQ(error_answer(400,
                           "a\xff"
                           "b")
                  .body,
              "{\"error\":\"a\xef\xbf\xbd"
              "b\"}\n");
}

TEST_F(RouterTest, HistoryTakesFiltersAndRefusesWhatIsNone) {
    EXPECT_EQ(get("/v1/history", {{"limit", "7"},
                                  {"before", "99"},
                                  {"id", "98"},
                                  {"generation", "0"},
                                  {"object", "Service/a/b"},
                                  {"since", "1000"},
                                  {"refused", "1"},
                                  {"objects", "1"}})
                  .status,
              200);
    EXPECT_EQ(backend.asked.limit, 7u);
    EXPECT_EQ(backend.asked.before, 99);
    EXPECT_EQ(backend.asked.entry, 98);
    EXPECT_EQ(backend.asked.generation, std::optional<std::uint64_t>(0));
    EXPECT_EQ(backend.asked.object, "Service/a/b");
    EXPECT_EQ(backend.asked.since, std::chrono::system_clock::time_point(std::chrono::seconds(1000)));
    EXPECT_TRUE(backend.asked.refused);
    EXPECT_TRUE(backend.asked.objects);
    get("/v1/history");
    EXPECT_FALSE(backend.asked.generation || backend.asked.since || backend.asked.objects);
    for (const auto& [name, value] : std::map<std::string, std::string>{{"limit", "10001"},
                                                                        {"before", "-1"},
                                                                        {"id", "x"},
                                                                        {"generation", "1e3"},
                                                                        {"since", "yesterday"},
                                                                        {"refused", "yes"},
                                                                        {"object", "nonsense"}}) {
        EXPECT_EQ(get("/v1/history", {{name, value}}).status, 400) << name;
    }
    EXPECT_EQ(get("/v1/history", {{"limit", "1001"}, {"objects", "1"}}).status, 400);
}

TEST_F(RouterTest, DocumentsAreShownThroughTheUnixSocketAlone) {
    EXPECT_EQ(get("/v1/history", {}, Door::kTcp).status, 200);
    EXPECT_EQ(get("/v1/history", {{"objects", "1"}}, Door::kTcp).status, 403);
    EXPECT_EQ(get("/v1/diff", {{"from", "1"}}, Door::kTcp).status, 403);
    EXPECT_EQ(get("/v1/diff", {{"from", "1"}}).body, "compared 1 now");
    EXPECT_EQ(get("/v1/diff", {{"from", "1"}, {"to", "2"}}).body, "compared 1 2");
    EXPECT_EQ(get("/v1/diff").status, 400);
}

TEST_F(RouterTest, ARollbackIsAPostThroughTheUnixSocketThatSaysWhereTo) {
    const auto post = [&](std::map<std::string, std::string> query, Door door = Door::kUnix) {
        return route(backend,
                     {.door = door,
                      .method = "POST",
                      .path = "/v1/rollback",
                      .query = query,
                      .host = "localhost",
                      .peer = {5, 6}},
                     "");
    };
    EXPECT_EQ(post({{"generation", "12"}, {"message", "why"}, {"dry_run", "1"}}).body, "rolled back");
    EXPECT_EQ(backend.back.generation, 12u);
    EXPECT_EQ(backend.back.message, "why");
    EXPECT_TRUE(backend.back.dry_run);
    EXPECT_EQ(backend.back.peer.uid, 5);
    EXPECT_EQ(post({{"id", "3"}}).status, 200);
    EXPECT_EQ(backend.back.entry, 3);
    EXPECT_EQ(post({}).status, 400);
    EXPECT_EQ(post({{"generation", "-1"}}).status, 400);
    EXPECT_EQ(post({{"generation", "1"}, {"dry_run", "maybe"}}).status, 400);
    EXPECT_EQ(get("/v1/rollback").status, 405);
    EXPECT_EQ(post({{"generation", "1"}}, Door::kTcp).status, 405);
}

TEST_F(RouterTest, NewWeightsAreAPostThroughTheUnixSocket) {
    const auto post = [&](std::map<std::string, std::string> query, Door door = Door::kUnix) {
        return route(
            backend,
            {.door = door, .method = "POST", .path = "/v1/weight", .query = query, .host = "localhost", .peer = {5, 6}},
            "");
    };
    EXPECT_EQ(
        post({{"service", "a"}, {"weights", "v1=9,v2=1"}, {"route", "r"}, {"message", "m"}, {"dry_run", "1"}}).body,
        "weighed");
    EXPECT_EQ(backend.weighed.service, "a");
    EXPECT_EQ(backend.weighed.weights, "v1=9,v2=1");
    EXPECT_EQ(backend.weighed.route, "r");
    EXPECT_EQ(backend.weighed.message, "m");
    EXPECT_TRUE(backend.weighed.dry_run);
    EXPECT_EQ(backend.weighed.peer.uid, 5);
    EXPECT_EQ(post({{"service", "a"}}).status, 400);
    EXPECT_EQ(post({{"weights", "v1=9"}}).status, 400);
    EXPECT_EQ(post({{"service", "a"}, {"weights", "v1=9"}, {"dry_run", "no"}}).status, 400);
    EXPECT_EQ(get("/v1/weight").status, 405);
    EXPECT_NE(post({{"service", "a"}, {"weights", "v1=9"}}, Door::kTcp).status, 200);
}

}  // namespace
}  // namespace sluice::admin
