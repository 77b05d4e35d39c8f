// Finished requests and tries made by hand, over endpoints in tables of memory.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>

#include "bpf/lib/tables.h"
#include "compile/heap_tables.h"
#include "proxy/record.h"
#include "proxy/replies.h"
#include "routes.h"

namespace sluice::proxy::test {

inline model::WorkloadPtr workload(const std::string& name, const std::string& version) {
    auto made = std::make_shared<model::Workload>();
    made->ns = "ml";
    made->name = name;
    made->version = version;
    made->id = Identity::of("workload/" + name + "/" + version);
    return made;
}

// A service with two subsets, v45 and v47, of one endpoint each, in cluster 0 and 1; endpoint 0 and 1 in the tables.
class Records {
  public:
    Records() {
        service.rule({{"v45", 90}, {"v47", 10}}, "split");
        for (const char* version : {"v45", "v47"}) {
            add_endpoint(version, workload(std::string("ranker-") + version, version));
        }
        client.workload = workload("gateway", "v1");
        head.method = "POST";
        head.path = "/v1/models/ranker:predict";
        head.target = head.path;
    }

    // The subset's cluster as a new generation has it: another object, of the endpoints as they are now.
    ClusterPtr cluster(const std::string& subset) {
        auto model = std::make_shared<model::Cluster>(*service.cluster(subset));
        model->service_name = "ranker";
        model->service_namespace = "ml";
        return std::make_shared<Cluster>(std::move(model), subset == "v45" ? 0 : 1, nullptr);
    }
    // 7 ms, of which 3 to the first octet of the answer.
    Record record(const ClusterPtr& to, std::uint32_t endpoint, int status, std::uint32_t flags = 0) {
        Record out;
        out.client = &client;
        out.host = host().get();
        out.rule = out.host->rules.data();
        out.cluster = to.get();
        out.endpoint = endpoint;
        out.request = &head;
        out.status = status;
        out.flags = flags;
        out.started_ns = 1'000'000'000;
        out.first_byte_ns = status == 0 ? 0 : 1'003'000'000;
        out.ended_ns = 1'007'000'000;
        out.request_bytes = 300;
        out.response_bytes = 2000;
        return out;
    }
    TryRecord tried(const ClusterPtr& to, std::uint32_t endpoint, int status, std::uint32_t flags = 0) {
        TryRecord out;
        out.client = &client;
        out.cluster = to.get();
        out.endpoint = endpoint;
        out.status = status;
        out.flags = flags;
        out.started_ns = 1'001'000'000;
        out.first_byte_ns = status == 0 ? 0 : 1'003'000'000;
        out.ended_ns = 1'006'000'000;
        out.request_bytes = 310;
        out.response_bytes = 1900;
        return out;
    }
    std::shared_ptr<const VirtualHost> host() {
        if (table_ == nullptr) {
            table_ = build({service.port()});
        }
        return table_->hosts().front();
    }
    const sl_tables& tables() const { return tables_; }
    sl_endpoint& endpoint(std::uint32_t number) { return tables_.endpoints[number]; }

    Service service;
    Client client = client_in("ml");
    http::RequestHead head;
    http::ResponseHead answer;

  private:
    void add_endpoint(const std::string& subset, model::WorkloadPtr who) {
        const auto port = static_cast<std::uint16_t>(8000 + count_);
        const IpAddress address = *IpAddress::parse("10.0.0.1");
        service.cluster(subset)->endpoints.push_back({address, port, true, std::move(who)});
        sl_endpoint& slot = tables_.endpoints[count_];
        std::ranges::copy(address.bytes, slot.address);
        slot.port = __builtin_bswap16(port);
        slot.workload = 100 + count_++;
    }

    compile::HeapTables heap_;
    sl_tables tables_ = heap_.tables();
    std::uint32_t count_ = 0;
    TablePtr table_;
};

}  // namespace sluice::proxy::test
