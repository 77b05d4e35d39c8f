// Runs `sluice` in this process on a rules directory of the test's own, or against a stand-in for the agent.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ctl/session.h"

namespace sluice::ctl {

constexpr const char* kService = R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker.ml.svc.cluster.local]
  addresses: [127.100.0.10]
  ports: [{number: 8080, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints:
  - {address: 127.100.45.1, labels: {version: v45}}
  - {address: 127.100.45.2, labels: {version: v45}}
  - {address: 127.100.47.1, labels: {version: v47}}
)";

constexpr const char* kDestinationRule = R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ranker, namespace: ml}
spec:
  host: ranker
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  subsets:
  - {name: v45, labels: {version: v45}}
  - {name: v47, labels: {version: v47}}
)";

inline std::string virtual_service(int champion, int canary) {
    return R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker]
  tcp:
  - route:
    - destination: {host: ranker, subset: v45}
      weight: )" +
           std::to_string(champion) + R"(
    - destination: {host: ranker, subset: v47}
      weight: )" +
           std::to_string(canary) + "\n";
}

class CtlTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-ctl-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        base_ = name;
        rules_ = base_ + "/rules";
        std::filesystem::create_directory(rules_);
    }
    void TearDown() override { std::filesystem::remove_all(base_); }

    std::string put(const std::string& name, const std::string& text) const {
        std::ofstream(base_ + "/" + name, std::ios::binary) << text;
        return base_ + "/" + name;
    }
    void put_sound_rules() const {
        put("rules/service.yaml", std::string(kService) + "---\n" + kDestinationRule);
        put("rules/route.yaml", virtual_service(90, 10));
    }

    // The exit code; what was printed is in out_ and err_.
    int sluice(std::vector<std::string> arguments) {
        std::vector<const char*> argv{"sluice"};
        for (const std::string& argument : arguments) {
            argv.push_back(argument.c_str());
        }
        std::ostringstream out, err;
        const int code = run(static_cast<int>(argv.size()), argv.data(), out, err, false);
        out_ = out.str();
        err_ = err.str();
        return code;
    }

    std::string base_, rules_, out_, err_;
};

}  // namespace sluice::ctl
