// A reading made by hand, and how to look at its text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "telemetry/exposition.h"

namespace sluice::telemetry {

inline model::WorkloadPtr workload(const std::string& name, const std::string& version) {
    auto made = std::make_shared<model::Workload>();
    made->ns = "ml-serving";
    made->name = name;
    made->app = "ranker";
    made->version = version;
    made->canonical_service = "ranker";
    made->canonical_revision = version.empty() ? "latest" : version;
    made->service_account = "default";
    made->principal = "spiffe://cluster.local/ns/ml-serving/sa/default";
    return made;
}

inline model::ClusterPtr cluster(const std::string& subset) {
    auto made = std::make_shared<model::Cluster>();
    made->host = "ranking.ml-serving.svc.cluster.local";
    made->subset = subset;
    made->port = 8080;
    made->service_name = "ranking";
    made->service_namespace = "ml-serving";
    return made;
}

// A reading over two clusters of one service; cluster 0 has subset v45, cluster 1 has v47. Identity 1 is the client
// workload, 2 the destination.
class ReadingTest : public testing::Test {
  protected:
    ReadingTest() {
        reading.names.clusters = {cluster("v45"), cluster("v47")};
        reading.names.workloads = {nullptr, workload("feed", ""), workload("ranker-v45", "v45")};
        reading.tables.clusters = records.data();
        reading.tables.cluster_count = static_cast<std::uint32_t>(records.size());
        reading.agent.version = "0.1.0";
    }
    sl_request_counts& request(std::uint32_t client, std::uint32_t in_cluster, std::uint32_t destination,
                               std::uint16_t status, std::uint8_t reason = SL_REASON_NONE) {
        reading.requests.push_back({sl_request_key{client, in_cluster, destination, status, reason, 0}, {}});
        return reading.requests.back().second;
    }
    sl_flow& flow(std::uint32_t client, std::uint32_t in_cluster, std::uint32_t destination, std::uint32_t reason) {
        reading.flows.push_back({sl_flow_key{client, in_cluster, destination, reason}, sl_flow{}});
        return reading.flows.back().second;
    }
    std::string text() { return exposition.text(reading); }

    std::array<sl_cluster, 3> records{};
    Reading reading;
    Exposition exposition;
};

// The lines of one family, without its comments.
inline std::string family(const std::string& text, const std::string& name) {
    std::istringstream in(text);
    std::string out, line;
    while (std::getline(in, line)) {
        if (line.starts_with(name + "{") || line.starts_with(name + " ")) {
            out += line + "\n";
        }
    }
    return out;
}

// Series of one family: text of the labels -> value.
inline std::map<std::string, double> series(const std::string& text, const std::string& name) {
    std::istringstream in(family(text, name));
    std::map<std::string, double> out;
    std::string line;
    while (std::getline(in, line)) {
        out[line.substr(name.size(), line.rfind(' ') - name.size())] = std::stod(line.substr(line.rfind(' ')));
    }
    return out;
}

}  // namespace sluice::telemetry
