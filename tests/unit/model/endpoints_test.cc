// Where endpoints come from, which of them take connections, and who they are.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

std::vector<std::string> texts(const ClusterPtr& cluster) {
    std::vector<std::string> out;
    for (const Endpoint& e : cluster->endpoints) {
        out.push_back(endpoint_text(e.address, e.port) + (e.accepts_new ? "" : " closed"));
    }
    return out;
}

ServiceEntry entry(const std::string& name = "rank", const std::string& host = kHost,
                   const std::string& vip = "127.10.0.1") {
    ServiceEntry out("ml", name, host, vip);
    out.with(port(8080));
    return out;
}

TEST(Endpoints, are_sorted_ipv4_first_and_ports_come_from_endpoint_target_or_number) {
    config::ServicePort target = port(9090);
    target.target_port = 9999;
    config::Endpoint named = endpoint("127.0.1.1");
    named.ports = config::PortMap{{"p8080", 18080}};
    TestMesh m;
    m.apply({put(entry().with(target).with(endpoint("fd00::1")).with(endpoint("127.0.1.2")).with(named))});
    EXPECT_THAT(texts(m.cluster(kHost, 8080)), ElementsAre("127.0.1.1:18080", "127.0.1.2:8080", "[fd00::1]:8080"));
    EXPECT_THAT(texts(m.cluster(kHost, 9090)), ElementsAre("127.0.1.1:9999", "127.0.1.2:9999", "[fd00::1]:9999"));
}

TEST(Endpoints, of_workload_entries_follow_selector_and_namespace) {
    WorkloadEntry one("ml", "one", "127.0.1.1", {{"app", "rank"}, {"version", "v1"}});
    WorkloadEntry two("ml", "two", "127.0.1.2", {{"app", "rank"}});
    WorkloadEntry other("ml", "other", "127.0.1.3", {{"app", "train"}});
    WorkloadEntry abroad("web", "abroad", "127.0.1.4", {{"app", "rank"}});
    TestMesh m;
    m.apply({put(one), put(other), put(abroad), put(entry().select({{"app", "rank"}}))});
    EXPECT_THAT(texts(m.cluster(kHost, 8080)), ElementsAre("127.0.1.1:8080"));
    m.apply({put(two)});
    EXPECT_THAT(texts(m.cluster(kHost, 8080)), ElementsAre("127.0.1.1:8080", "127.0.1.2:8080"));
    EXPECT_EQ(m.delta.changed.size(), 1u);
    // Its labels change: it leaves.
    m.apply({put(WorkloadEntry("ml", "one", "127.0.1.1", {{"app", "train"}}))});
    EXPECT_THAT(texts(m.cluster(kHost, 8080)), ElementsAre("127.0.1.2:8080"));
    m.apply({drop(two)});
    EXPECT_THAT(texts(m.cluster(kHost, 8080)), ElementsAre());
}

TEST(Endpoints, of_slices_use_the_slices_ports_and_conditions) {
    Service service("ml", "rank", "127.10.0.1");
    config::ServicePort p = port(80);
    p.name = "http";
    p.target_port_name = "web";
    service.with(p);
    Slice slice("ml", "rank-a", "rank");
    slice.spec().ports = {{"http", 8080}};
    config::Endpoint leaving = endpoint("127.0.1.2"), starting = endpoint("127.0.1.3");
    leaving.terminating = true;
    starting.ready = false;
    slice.with(endpoint("127.0.1.1")).with(leaving).with(starting);
    Slice unrelated("ml", "rank-b", "rank");
    unrelated.spec().ports = {{"metrics", 9000}};
    unrelated.with(endpoint("127.0.1.9"));
    TestMesh m;
    m.apply({put(slice), put(unrelated), put(service)});
    EXPECT_THAT(texts(m.cluster(kHost, 80)),
                ElementsAre("127.0.1.1:8080", "127.0.1.2:8080 closed", "127.0.1.3:8080 closed"));
    // A pod that two slices list for a moment counts once.
    Slice twin("ml", "rank-c", "rank");
    twin.spec().ports = {{"http", 8080}};
    twin.with(endpoint("127.0.1.1")).with(endpoint("127.0.1.3"));
    m.apply({put(twin)});
    EXPECT_THAT(texts(m.cluster(kHost, 80)), ElementsAre("127.0.1.1:8080", "127.0.1.2:8080 closed", "127.0.1.3:8080"));
    m.apply({drop(slice), drop(twin)});
    EXPECT_THAT(texts(m.cluster(kHost, 80)), ElementsAre());
}

TEST(Endpoints, of_a_kubernetes_service_may_be_workload_entries) {
    Service service("ml", "rank", "127.10.0.1");
    config::ServicePort p = port(80);
    p.target_port_name = "web";
    service.with(p);
    service.spec().selector = {{"app", "rank"}};
    WorkloadEntry one("ml", "one", "127.0.1.1", {{"app", "rank"}});
    one.spec().endpoint.ports = config::PortMap{{"web", 8081}};
    TestMesh m;
    m.apply({put(service), put(one)});
    EXPECT_THAT(texts(m.cluster(kHost, 80)), ElementsAre("127.0.1.1:8081"));
}

TEST(Endpoints, given_twice_in_one_service_are_an_error) {
    ServiceEntry twice = entry();
    twice.with(endpoint("127.0.1.1")).with(endpoint("127.0.1.2")).with(endpoint("127.0.1.1"));
    const config::Place first = twice.spec().endpoints[0].place, second = twice.spec().endpoints[2].place;
    TestMesh m;
    EXPECT_THAT(m.refuse({put(twice)}), HasSubstr("rules.yaml:" + std::to_string(second.line) +
                                                  ":5: address: endpoint 127.0.1.1:8080 of ServiceEntry "
                                                  "ml/rank is already given at rules.yaml:" +
                                                  std::to_string(first.line)));
    // The same address with another port is another endpoint.
    twice.spec().endpoints[2].ports = config::PortMap{{"p8080", 8081}};
    m.apply({put(twice)});
    EXPECT_EQ(m.cluster(kHost, 8080)->endpoints.size(), 3u);
}

TEST(Endpoints, one_virtual_address_for_two_hosts_is_an_error_if_somebody_sees_both) {
    TestMesh m;
    m.apply({put(entry())});
    ServiceEntry other = entry("other", "other.example", "127.10.0.1");
    EXPECT_THAT(m.refuse({put(other)}),
                HasSubstr("spec.addresses[0]: 127.10.0.1:8080 is also the address of ServiceEntry ml/rank"));
    EXPECT_THAT(m.refuse({put(other), put(entry("third", "third.example", "127.10.0.3"))}),
                HasSubstr("127.10.0.1:8080"));
    EXPECT_EQ(m.find("third.example", 8080), nullptr);
    // Another port, or services that no namespace sees together, are fine.
    ServiceEntry elsewhere("ml", "other", "other.example", "127.10.0.1");
    elsewhere.with(port(8081));
    m.apply({put(elsewhere)});
    TestMesh apart;
    apart.apply({put(ServiceEntry(entry()).with(endpoint("127.0.1.1"))), put(entry("x", "x.example", "127.10.0.2"))});
    ServiceEntry a = entry("a", "a.example", "127.10.0.5"), b = entry("b", "b.example", "127.10.0.5");
    a.export_to({"web"});
    b.export_to({"train"});
    apart.apply({put(a), put(b)});
    b.export_to({"train", "web"});
    EXPECT_THAT(apart.refuse({put(b)}), HasSubstr("some client would see both"));
}

TEST(Endpoints, an_address_can_move_between_services_in_one_change) {
    TestMesh m;
    m.apply({put(entry())});
    m.apply({put(entry("other", "other.example", "127.10.0.1")), put(entry("rank", kHost, "127.10.0.2"))});
    EXPECT_EQ(m.find("other.example", 8080)->addresses.at(0), ip("127.10.0.1"));
    EXPECT_EQ(m.find(kHost, 8080)->addresses.at(0), ip("127.10.0.2"));
}

TEST(Endpoints, one_host_and_port_in_one_namespace_is_declared_once) {
    TestMesh m;
    EXPECT_THAT(m.refuse({put(entry()), put(entry("again", kHost, "127.10.0.2"))}),
                HasSubstr("port 8080 of rank.ml.svc.cluster.local is also declared by ServiceEntry ml/"));
    ServiceEntry more("ml", "more", kHost, "127.10.0.1");
    more.with(port(9090));
    m.apply({put(entry()), put(more)});
    EXPECT_NE(m.find(kHost, 9090), nullptr);
}

TEST(Endpoints, two_hosts_cannot_share_an_address_in_one_entry) {
    ServiceEntry both = entry();
    both.spec().hosts.push_back("alias.example");
    TestMesh m;
    EXPECT_THAT(m.refuse({put(both)}), HasSubstr("stands for both rank.ml.svc.cluster.local and alias.example"));
}

TEST(Workloads, are_named_by_labels_with_model_version_as_version) {
    config::Endpoint full = endpoint("127.0.1.1", {{"app", "ranker"}, {"model-version", "v45"}});
    full.service_account = "ranker-sa";
    config::Endpoint bare = endpoint("127.0.1.2");
    config::Endpoint named = endpoint("127.0.1.3", {{"app", "a"},
                                                    {"version", "1"},
                                                    {"service.istio.io/canonical-name", "c"},
                                                    {"service.istio.io/canonical-revision", "r"},
                                                    {"service.istio.io/workload-name", "w"}});
    TestMesh m;
    m.apply({put(entry().with(full).with(bare).with(named))});
    const auto& endpoints = m.cluster(kHost, 8080)->endpoints;
    const Workload& a = *endpoints.at(0).workload;
    EXPECT_EQ(a.ns, "ml");
    EXPECT_EQ(a.app, "ranker");
    EXPECT_EQ(a.version, "v45");
    EXPECT_EQ(a.canonical_service, "ranker");
    EXPECT_EQ(a.canonical_revision, "v45");
    EXPECT_EQ(a.name, "ranker-v45");
    EXPECT_EQ(a.principal, "spiffe://cluster.local/ns/ml/sa/ranker-sa");
    EXPECT_EQ(a.id, Identity::of("workload/ml/ranker-v45/ranker/v45/ranker/v45/ranker-sa"));
    const Workload& b = *endpoints.at(1).workload;
    EXPECT_EQ(b.name, "unknown");
    EXPECT_EQ(b.version, "unknown");
    EXPECT_EQ(b.canonical_revision, "latest");
    EXPECT_EQ(b.principal, "unknown");
    const Workload& c = *endpoints.at(2).workload;
    EXPECT_EQ(c.name, "w");
    EXPECT_EQ(c.canonical_service, "c");
    EXPECT_EQ(c.canonical_revision, "r");
}

TEST(Workloads, of_workload_entries_have_the_entrys_name_and_equal_ones_are_shared) {
    TestMesh m;
    m.apply({put(entry().select({{"app", "rank"}})), put(WorkloadEntry("ml", "host-1", "127.0.1.1", {{"app", "rank"}})),
             put(entry("two", "two.example", "127.10.0.2")
                     .with(endpoint("127.0.2.1", {{"app", "x"}}))
                     .with(endpoint("127.0.2.2", {{"app", "x"}})))});
    EXPECT_EQ(m.cluster(kHost, 8080)->endpoints.at(0).workload->name, "host-1");
    const auto& shared = m.cluster("two.example", 8080)->endpoints;
    EXPECT_EQ(shared.at(0).workload, shared.at(1).workload);
}

}  // namespace
}  // namespace sluice::model::test
