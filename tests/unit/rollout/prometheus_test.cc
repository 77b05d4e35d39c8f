#include "rollout/prometheus.h"

#include <gmock/gmock.h>

#include <cmath>

#include "rollout/http_client.h"
#include "tests/unit/rollout/http_stub.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string vector_of(const std::string& elements) {
    return R"({"status":"success","data":{"resultType":"vector","result":[)" + elements + "]}}";
}
std::string element(const std::string& labels, const std::string& value) {
    return R"({"metric":{)" + labels + R"(},"value":[1700000000.5,")" + value + "\"]}";
}

TEST(PromqlAnswer, is_values_with_their_labels) {
    const auto values =
        parse_promql_answer(vector_of(element(R"("v":"a")", "1.5") + "," + element(R"("v":"b","w":"c")", "+Inf")));
    ASSERT_TRUE(values) << values.error().text();
    ASSERT_EQ(values->size(), 2u);
    EXPECT_EQ((*values)[0].labels.at("v"), "a");
    EXPECT_DOUBLE_EQ((*values)[0].value, 1.5);
    EXPECT_TRUE(std::isinf((*values)[1].value));
    const auto scalar =
        parse_promql_answer(R"({"status":"success","data":{"resultType":"scalar","result":[1.5,"3e-3"]}})");
    ASSERT_TRUE(scalar) << scalar.error().text();
    EXPECT_DOUBLE_EQ(scalar->at(0).value, 0.003);
}

TEST(PromqlAnswer, nan_and_nothing_are_no_values) {
    EXPECT_TRUE(parse_promql_answer(vector_of(""))->empty());
    EXPECT_TRUE(parse_promql_answer(vector_of(element("", "NaN")))->empty());
}

TEST(PromqlAnswer, what_is_none_is_a_sentence) {
    EXPECT_THAT(parse_promql_answer("<html>").error().text(), HasSubstr("no JSON object: '<html>'"));
    EXPECT_EQ(parse_promql_answer(R"({"status":"error","error":"parse error: x"})").error().text(), "parse error: x");
    EXPECT_FALSE(parse_promql_answer("{}"));
    EXPECT_FALSE(parse_promql_answer(R"({"status":"success"})"));
    EXPECT_FALSE(parse_promql_answer(R"({"status":"success","data":{"resultType":"matrix","result":[]}})"));
    EXPECT_FALSE(parse_promql_answer(vector_of(R"({"metric":{},"value":[1]})")));
    EXPECT_FALSE(parse_promql_answer(vector_of(R"({"metric":{},"value":[1,"one"]})")));
    EXPECT_FALSE(parse_promql_answer(R"({"status":"success","data":{"resultType":"scalar","result":7}})"));
}

TEST(Prometheus, a_query_is_encoded_and_a_long_one_is_posted) {
    HttpStub stub([](const std::string&) { return HttpStub::reply(200, vector_of("")); });
    const Prometheus server(stub.url() + "/prom/");
    ASSERT_TRUE(server.query("rate(a{b=\"c\"}[5m])", std::chrono::seconds(5)));
    ASSERT_TRUE(server.query(std::string(5000, 'a'), std::chrono::seconds(5)));
    EXPECT_THAT(stub.requests().at(0),
                StartsWith("GET /prom/api/v1/query?query=rate%28a%7Bb%3D%22c%22%7D%5B5m%5D%29 "));
    EXPECT_THAT(stub.requests().at(1), StartsWith("POST /prom/api/v1/query "));
    EXPECT_THAT(stub.requests().at(1), testing::EndsWith("query=" + std::string(5000, 'a')));
}

config::Gate query_gate(const std::string& query) {
    config::Gate gate;
    gate.kind = config::Gate::Kind::kQuery;
    gate.query = query;
    gate.regression = 0.1;
    return gate;
}

TEST(QueryGate, version_in_the_query_asks_once_for_each) {
    HttpStub stub([](const std::string& request) {
        return HttpStub::reply(200, vector_of(element("", request.find("v47") != std::string::npos ? "2" : "1") + "," +
                                              element("", "0.5")));
    });
    const Seen::Asked asked = ask_query(Prometheus(stub.url()), query_gate("a{v=\"{{version}}\"}"), {"v45", "v47"});
    EXPECT_EQ(asked.problem, "");
    EXPECT_DOUBLE_EQ(asked.challenger.value(), 2) << "of several instances the largest";
    EXPECT_DOUBLE_EQ(asked.champion.value(), 1);
    EXPECT_EQ(stub.requests().size(), 2u);
}

TEST(QueryGate, without_it_the_label_tells_versions_apart) {
    HttpStub stub([](const std::string&) {
        return HttpStub::reply(200, vector_of(element(R"("m":"v45")", "1") + "," + element(R"("m":"v46")", "9")));
    });
    config::Gate gate = query_gate("a");
    gate.version_label = "m";
    const Seen::Asked asked = ask_query(Prometheus(stub.url()), gate, {"v45", "v47"});
    EXPECT_DOUBLE_EQ(asked.champion.value(), 1);
    EXPECT_FALSE(asked.challenger) << "what is not told of is absent, never zero";
    EXPECT_THAT(asked.problem, HasSubstr("no value of the challenger v47"));
    EXPECT_EQ(stub.requests().size(), 1u);
}

TEST(QueryGate, a_champion_query_is_asked_besides_and_only_where_it_is_compared_with) {
    HttpStub stub([](const std::string& request) {
        return HttpStub::reply(200, vector_of(element("", request.find("=old") != std::string::npos ? "1" : "2")));
    });
    config::Gate gate = query_gate("new");
    gate.champion_query = "old";
    Seen::Asked asked = ask_query(Prometheus(stub.url()), gate, {"v45", "v47"});
    EXPECT_DOUBLE_EQ(asked.champion.value(), 1);
    EXPECT_DOUBLE_EQ(asked.challenger.value(), 2);
    gate.regression.reset();
    gate.min = 0;
    asked = ask_query(Prometheus(stub.url()), gate, {"v45", "v47"});
    EXPECT_FALSE(asked.champion);
    EXPECT_EQ(stub.requests().size(), 3u);
}

TEST(QueryGate, a_server_that_is_not_there_is_a_problem_and_no_value) {
    const Seen::Asked asked = ask_query(Prometheus("http://127.0.0.1:1"), query_gate("a"), {"v45", "v47"});
    EXPECT_FALSE(asked.challenger || asked.champion);
    EXPECT_THAT(asked.problem, HasSubstr("http://127.0.0.1:1"));
}

PromqlValue counted(const std::string& reporter, const std::string& code, const std::string& flags, double count) {
    return {{{"reporter", reporter}, {"version", "v47"}, {"response_code", code}, {"response_flags", flags}}, count};
}

TEST(Metrics, errors_are_5xx_and_no_answer_that_is_not_the_clients_doing) {
    const std::vector<PromqlValue> values{counted("source", "200", "-", 90.4), counted("source", "404", "-", 2),
                                          counted("source", "503", "UF", 5), counted("source", "0", "UC", 2),
                                          counted("source", "0", "DC", 1)};
    const auto errors = errors_of(values, "version", "v47");
    ASSERT_TRUE(errors);
    EXPECT_EQ(errors->requests, 100u);
    EXPECT_EQ(errors->failed, 7u);
    EXPECT_FALSE(errors_of(values, "version", "v45"));
}

TEST(Metrics, what_retries_hide_from_the_client_side_is_seen_at_the_other) {
    const auto errors = errors_of({counted("source", "200", "-", 100), counted("destination", "200", "-", 100),
                                   counted("destination", "500", "-", 2)},
                                  "version", "v47");
    ASSERT_TRUE(errors);
    EXPECT_EQ(errors->requests, 102u);
    EXPECT_EQ(errors->failed, 2u);
}

PromqlValue bucket(const std::string& bound, double count) {
    return {{{"version", "v47"}, {"le", bound}}, count};
}

TEST(Metrics, durations_are_buckets_in_seconds) {
    const auto durations = durations_of({bucket("+Inf", 100), bucket("50", 90), bucket("100", 100), bucket("25", 0)},
                                        "version", "v47", 1000);
    ASSERT_TRUE(durations);
    EXPECT_EQ(durations->count(), 100u);
    EXPECT_EQ(durations->above(0.05).count, 10u);
    EXPECT_NEAR(durations->quantile(0.99).value(), 0.095, 0.006);
    EXPECT_FALSE(durations_of({bucket("50", 90)}, "version", "v47", 1000)) << "without the last bucket";
    EXPECT_FALSE(durations_of({bucket("50", 90), bucket("+Inf", 100)}, "version", "v45", 1000));
}

TEST(Metrics, a_mirror_stage_asks_for_copies) {
    HttpStub stub([](const std::string& request) {
        const bool copies = request.find("sluice_mirror_requests_total") != std::string::npos;
        return HttpStub::reply(
            200, vector_of(copies ? element(R"("subset":"v47","response_code":"200")", "12")
                                  : element(R"("destination_version":"v45","response_code":"200")", "40")));
    });
    const FromMetrics seen =
        ask_metrics(Prometheus(stub.url()), "svc", {"v45", "v47"}, "v47", true, std::chrono::milliseconds(2500));
    EXPECT_EQ(seen.champion_errors.value().requests, 40u);
    EXPECT_EQ(seen.challenger_errors.value().requests, 12u);
    EXPECT_FALSE(seen.challenger_durations);
    for (const std::string& request : stub.requests()) {
        EXPECT_THAT(request, HasSubstr("%5B2500ms%5D"));
    }
}

}  // namespace
}  // namespace sluice::rollout
