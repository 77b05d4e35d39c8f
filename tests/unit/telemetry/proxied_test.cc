// What the proxy lane counted, in Istio's families and in its own.
#include <vector>

#include "made_reading.h"

namespace sluice::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;
using Side = ProxiedLabels::Side;

class Proxied : public ReadingTest {
  protected:
    // One request, of 4 ms, 1 of them to the first octet.
    ProxiedRow& row(Side side, const std::string& version, std::uint16_t status, const std::string& flags = "-") {
        ProxiedRow made;
        made.side = side;
        made.from = workload("feed", "");
        made.to = version.empty() ? nullptr : workload("ranker-" + version, version);
        made.service = {"ranking.ml-serving.svc.cluster.local", "ranking", "ml-serving", "8080", version, ""};
        made.status = status;
        made.flags = flags;
        made.counts.requests = 1;
        made.counts.duration_ns = 4'000'000;
        made.counts.duration[2] = 1;
        if (status != 0) {
            made.counts.first_byte_ns = 1'000'000;
            made.counts.first_byte[1] = 1;
        }
        return reading.proxied.emplace_back(std::move(made));
    }
    std::map<std::string, double> total() { return series(text(), "istio_requests_total"); }
};

std::string labels(const std::string& reporter, const std::string& version, const std::string& end) {
    const bool none = version.empty();
    const std::string to = none ? "unknown" : "ranker-" + version;
    return "{reporter=\"" + reporter +
           "\",source_workload=\"feed\",source_canonical_service=\"ranker\",source_canonical_revision=\"latest\","
           "source_workload_namespace=\"ml-serving\",source_principal=\"unknown\",source_app=\"ranker\","
           "source_version=\"unknown\",source_cluster=\"unknown\",destination_workload=\"" +
           to + "\",destination_workload_namespace=\"" + (none ? "unknown" : "ml-serving") +
           "\",destination_principal=\"unknown\",destination_app=\"" + (none ? "unknown" : "ranker") +
           "\",destination_version=\"" + (none ? "unknown" : version) +
           "\",destination_service=\"ranking.ml-serving.svc.cluster.local\",destination_canonical_service=\"" +
           (none ? "unknown" : "ranker") + "\",destination_canonical_revision=\"" + (none ? "latest" : version) +
           "\",destination_service_name=\"ranking\",destination_service_namespace=\"ml-serving\","
           "destination_cluster=\"unknown\"," +
           end + ",connection_security_policy=\"unknown\"}";
}

std::string http(const std::string& code, const std::string& flags) {
    return "request_protocol=\"http\",response_code=\"" + code + "\",grpc_response_status=\"\",response_flags=\"" +
           flags + "\"";
}

TEST_F(Proxied, BothReportersTellWithEveryLabel) {
    row(Side::kSource, "v45", 200);
    row(Side::kSource, "v45", 200);  // another worker's
    row(Side::kDestination, "v47", 503, "UF");
    const std::map<std::string, double> wanted{{labels("source", "v45", http("200", "-")), 2},
                                               {labels("destination", "v47", http("503", "UF")), 1}};
    EXPECT_EQ(total(), wanted);
}

TEST_F(Proxied, WithoutAnEndpointOnlyTheServiceIsKnown) {
    row(Side::kSource, "", 404, "NR");
    row(Side::kSource, "", 503, "NC");
    row(Side::kSource, "", 503, "UH");
    const std::map<std::string, double> wanted{{labels("source", "", http("404", "NR")), 1},
                                               {labels("source", "", http("503", "NC")), 1},
                                               {labels("source", "", http("503", "UH")), 1}};
    EXPECT_EQ(total(), wanted);
}

TEST_F(Proxied, AHostThatNobodyHasIsUnknown) {
    ProxiedRow& made = row(Side::kSource, "", 404, "NR");
    made.service = {};
    made.from = nullptr;
    const std::string lines = family(text(), "istio_requests_total");
    for (const char* name : {"source_workload", "source_workload_namespace", "destination_service",
                             "destination_service_name", "destination_service_namespace", "destination_workload"}) {
        EXPECT_THAT(lines, HasSubstr(std::string(name) + "=\"unknown\"")) << lines;
    }
}

TEST_F(Proxied, GrpcHasItsProtocolAndItsStatus) {
    ProxiedRow& answered = row(Side::kSource, "v45", 200);
    answered.grpc = true;
    answered.grpc_status = "14";
    ProxiedRow& cut = row(Side::kSource, "v45", 0, "DC");
    cut.grpc = true;
    const std::map<std::string, double> wanted{
        {labels("source", "v45",
                "request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"14\",response_flags=\"-\""),
         1},
        {labels("source", "v45",
                "request_protocol=\"grpc\",response_code=\"0\",grpc_response_status=\"\",response_flags=\"DC\""),
         1}};
    EXPECT_EQ(total(), wanted);
}

TEST_F(Proxied, HistogramsAreOfBothReportersAndTheFirstOctetOfTheClients) {
    row(Side::kSource, "v45", 200);
    row(Side::kDestination, "v45", 200);
    row(Side::kDestination, "v45", 0, "DC");
    row(Side::kSource, "v45", 0, "DC");
    const std::string out = text();
    EXPECT_EQ(series(out, "istio_request_duration_milliseconds_sum"),
              (std::map<std::string, double>{{labels("source", "v45", http("200", "-")), 4},
                                             {labels("source", "v45", http("0", "DC")), 4},
                                             {labels("destination", "v45", http("200", "-")), 4},
                                             {labels("destination", "v45", http("0", "DC")), 4}}));
    EXPECT_EQ(series(out, "sluice_request_first_byte_seconds_count"),
              (std::map<std::string, double>{
                  {"{source_workload=\"feed\",source_workload_namespace=\"ml-serving\",destination_workload=\"ranker-"
                   "v45\",destination_version=\"v45\",destination_service=\"ranking.ml-serving.svc.cluster.local\","
                   "response_code=\"200\"}",
                   1}}));
}

TEST_F(Proxied, AFirstOctetAtOnceIsAnAnswerToo) {
    row(Side::kSource, "v45", 200).counts.first_byte_ns = 0;
    EXPECT_THAT(text(), HasSubstr("sluice_request_first_byte_seconds_count{"));
}

TEST_F(Proxied, CopiesHaveFamiliesOfTheirOwnAndAreNoRequests) {
    row(Side::kMirror, "v47", 500);
    row(Side::kMirror, "v47", 0, "UT");
    const std::string out = text();
    EXPECT_EQ(family(out, "istio_requests_total"), "");
    EXPECT_THAT(out, Not(HasSubstr("istio_request_duration_milliseconds_bucket")));
    const std::string shadow =
        "{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",subset=\"v47\","
        "version=\"v47\",response_code=";
    EXPECT_EQ(series(out, "sluice_mirror_requests_total"),
              (std::map<std::string, double>{{shadow + "\"500\",response_flags=\"-\"}", 1},
                                             {shadow + "\"0\",response_flags=\"UT\"}", 1}}));
    EXPECT_EQ(series(out, "sluice_mirror_duration_seconds_sum"),
              (std::map<std::string, double>{{shadow + "\"500\",response_flags=\"-\"}", 0.004},
                                             {shadow + "\"0\",response_flags=\"UT\"}", 0.004}}));
    EXPECT_THAT(out, HasSubstr("sluice_mirror_duration_seconds_bucket" + shadow +
                               "\"500\",response_flags=\"-\",le=\"0.005\"} 1\n"));
}

TEST_F(Proxied, WhatFoundNoRowIsOtherButKeepsItsReporter) {
    ProxiedRow made;
    made.other = true;
    made.counts.requests = 9;
    made.counts.first_byte[0] = 1;
    reading.proxied.push_back(made);
    made.side = Side::kMirror;
    reading.proxied.push_back(made);
    const std::string out = text();
    const auto counted = series(out, "istio_requests_total");
    ASSERT_EQ(counted.size(), 1u);
    EXPECT_EQ(counted.begin()->second, 9);
    EXPECT_THAT(counted.begin()->first, HasSubstr("{reporter=\"source\",source_workload=\"other\","));
    EXPECT_THAT(counted.begin()->first, HasSubstr("response_code=\"other\""));
    EXPECT_THAT(family(out, "sluice_mirror_requests_total"), HasSubstr("version=\"other\""));
}

TEST_F(Proxied, WhatWasTurnedAwayIsCountedByReason) {
    using What = ProxiedCount::What;
    const ServiceNames service{"ranking.ml-serving.svc.cluster.local", "ranking", "ml-serving", "8080", "v47", ""};
    reading.proxied_counts = {{What::kRefused, {}, "header_timeout", 2},
                              {What::kRefused, {}, "header_timeout", 3},
                              {What::kMirrorSkipped, service, "body", 4},
                              {What::kLogDropped, {}, "buffer", 5},
                              {What::kSampleLost, {}, "buffer", 6}};
    const std::string out = text();
    EXPECT_EQ(
        family(out, "sluice_proxy_refused_total"),
        "sluice_proxy_refused_total{service=\"unknown\",port=\"unknown\",subset=\"\",reason=\"header_timeout\"} 5\n");
    EXPECT_EQ(family(out, "sluice_mirror_skipped_total"),
              "sluice_mirror_skipped_total{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\","
              "subset=\"v47\",reason=\"body\"} 4\n");
    EXPECT_EQ(family(out, "sluice_access_log_dropped_total"), "sluice_access_log_dropped_total{reason=\"buffer\"} 5\n");
    EXPECT_EQ(family(out, "sluice_proxy_samples_lost_total"), "sluice_proxy_samples_lost_total{reason=\"buffer\"} 6\n");
}

}  // namespace
}  // namespace sluice::telemetry
