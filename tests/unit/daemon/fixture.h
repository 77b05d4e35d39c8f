// A rules directory, a state database and tables in memory, for controllers that come and go.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "bpf/lib/decide.h"
#include "compile/heap_tables.h"
#include "daemon/controller.h"

namespace sluice::daemon {

class PipelineTest : public testing::Test {
  protected:
    PipelineTest() {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-daemon-XXXXXX").string();
        base_ = ::mkdtemp(name.data());
        std::filesystem::create_directory(base_ + "/rules");
    }
    ~PipelineTest() override {
        stop();
        std::filesystem::permissions(base_ + "/rules", std::filesystem::perms::owner_all);
        std::filesystem::remove_all(base_);
    }

    // What one agent is made of; the tables and the directories outlive it.
    struct Running {
        state::Store store;
        compile::Publisher publisher;
        Controller controller;

        Running(state::Store opened, compile::HeapTables& tables, ControllerOptions options)
            : store(std::move(opened)),
              publisher(tables.tables(), tables.identities(), tables.services(), tables.clients(), [] {}),
              controller(std::move(options), publisher, store) {}
    };

    LoadReport start(source::StepHook step = {}) {
        stop();
        auto opened = state::Store::open(base_ + "/state");
        EXPECT_TRUE(opened) << opened.error().text();
        ControllerOptions options;
        options.directory = base_ + "/rules";
        options.cgroup_mount = base_ + "/cgroup";
        options.step = std::move(step);
        const bool adopting = tables_.tables().control->generation != 0;
        running_ = std::make_unique<Running>(std::move(opened->store), tables_, std::move(options));
        if (adopting) {
            EXPECT_TRUE(running_->publisher.adopt());
        }
        return controller().start();
    }
    void stop() { running_.reset(); }
    // Nothing is pinned any more.
    void reboot() {
        stop();
        memory_.emplace();  // at the same address
    }
    Controller& controller() { return running_->controller; }

    void put(const std::string& name, const std::string& text) const {
        std::ofstream(base_ + "/fresh", std::ios::binary) << text;
        std::filesystem::rename(base_ + "/fresh", base_ + "/rules/" + name);
    }
    std::string get(const std::string& name) const {
        std::ostringstream out;
        out << std::ifstream(base_ + "/rules/" + name, std::ios::binary).rdbuf();
        return out.str();
    }

    static std::string service(const std::string& name, const std::string& address) {
        return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " + name +
               ", namespace: ml}\nspec:\n  hosts: [" + name + ".ml.svc.cluster.local]\n  addresses: [" + address +
               "]\n  resolution: STATIC\n  ports: [{number: 80, name: tcp, protocol: TCP}]\n  endpoints:\n"
               "  - {address: 10.0.0.1, labels: {version: v1}}\n  - {address: 10.0.0.2, labels: {version: v2}}\n"
               "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " +
               name + ", namespace: ml}\nspec:\n  host: " + name +
               ".ml.svc.cluster.local\n  subsets:\n  - {name: v1, labels: {version: v1}}\n"
               "  - {name: v2, labels: {version: v2}}\n";
    }
    static std::string weights(const std::string& name, int v1, int v2) {
        return "# weights of " + name +
               "\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name +
               ", namespace: ml}\nspec:\n  hosts: [" + name + ".ml.svc.cluster.local]\n  tcp:\n  - route:\n" +
               "    - {destination: {host: " + name +
               ".ml.svc.cluster.local, subset: v1}, weight: " + std::to_string(v1) +
               "}\n    - {destination: {host: " + name +
               ".ml.svc.cluster.local, subset: v2}, weight: " + std::to_string(v2) + "}\n";
    }
    static admin::ApplyRequest request(const std::string& documents) {
        admin::ApplyRequest made;
        made.documents = documents;
        made.file = "request.yaml";
        made.peer = {0, 1};
        return made;
    }

    // Weights in force for an address, as a decision would read them; empty: no service.
    std::vector<std::uint32_t> in_force(const std::string& address) {
        const sl_tables t = tables_.tables();
        const std::uint32_t number = tables_.find(*IpAddress::parse(address), 80);
        std::uint32_t row = SL_NONE;
        std::vector<std::uint32_t> out;
        if (number == SL_NONE || !sl_slot_row(t.services[number].slot, sl_load(&t.control->generation), &row) ||
            row == SL_NONE) {
            return out;
        }
        for (std::uint32_t i = 0; i < t.routes[row].destination_count; ++i) {
            out.push_back(t.destinations[t.routes[row].destination_first + i].weight);
        }
        return out;
    }
    std::uint64_t generation() { return sl_load(&tables_.tables().control->generation); }

    std::string base_;
    std::optional<compile::HeapTables> memory_{std::in_place};
    compile::HeapTables& tables_ = *memory_;
    std::unique_ptr<Running> running_;
};

}  // namespace sluice::daemon
