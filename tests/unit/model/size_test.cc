// A large mesh: what a load and a change cost, and that a change touches nothing else. Times and heap are printed, not
// judged: machines differ.
#include <malloc.h>

#include <chrono>
#include <cstdio>

#include "build.h"

namespace sluice::model::test {
namespace {

constexpr int kServices = 10'000;
constexpr int kEndpoints = 10;

std::string host_of(int i) {
    return "model-" + std::to_string(i) + ".ml.svc.cluster.local";
}

std::string address(int network, int i) {
    return std::to_string(network) + "." + std::to_string(i >> 16 & 255) + "." + std::to_string(i >> 8 & 255) + "." +
           std::to_string(i & 255);
}

std::vector<ObjectPtr> make_services(const std::vector<std::shared_ptr<const config::Labels>>& labels) {
    std::vector<ObjectPtr> objects;
    objects.reserve(kServices);
    for (int i = 0; i < kServices; ++i) {
        ServiceEntry entry("ml", "model-" + std::to_string(i), host_of(i), address(10, i + 1));
        entry.with(port(8080));
        entry.spec().endpoints.reserve(kEndpoints);
        for (int j = 0; j < kEndpoints; ++j) {
            config::Endpoint e;
            e.address = ip(address(11, i * kEndpoints + j + 1));
            e.labels = labels[std::size_t(j) % labels.size()];
            e.place = {j, 1};
            entry.spec().endpoints.push_back(std::move(e));
        }
        objects.push_back(entry.done());
    }
    return objects;
}

double ms_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double heap_mb() {
    return double(mallinfo2().uordblks) / (1 << 20);
}

TEST(LargeMesh, a_change_touches_only_what_depends_on_it) {
    std::vector<std::shared_ptr<const config::Labels>> labels;
    for (const char* version : {"v1", "v2"}) {
        labels.push_back(
            std::make_shared<const config::Labels>(config::Labels{{"app", "model"}, {"version", version}}));
    }
    const double heap_start = heap_mb();
    std::vector<Change> load;
    for (ObjectPtr& object : make_services(labels)) {
        load.push_back({object->key, std::move(object)});
    }
    const double heap_objects = heap_mb();
    TestMesh m;
    auto start = std::chrono::steady_clock::now();
    m.apply(load);
    const double load_ms = ms_since(start);
    load = {};
    m.delta = {};
    const double heap_mesh = heap_mb();
    std::printf("%d services, %d endpoints: load %.0f ms; heap: objects %.1f MB, mesh %.1f MB\n", kServices,
                kServices * kEndpoints, load_ms, heap_objects - heap_start, heap_mesh - heap_objects);
    ASSERT_EQ(m.mesh.services().size(), std::size_t(kServices));

    DestinationRule policy("ml", "model-5000", "model-5000");
    policy.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    VirtualService rule("ml", "model-5000", "model-5000");
    rule.tcp({{"model-5000", "v1", 90}, {"model-5000", "v2", 10}});
    m.apply({put(policy), put(rule)});
    const auto before = m.mesh.services();

    double total = 0;
    for (int i = 0; i < 100; ++i) {
        rule.spec().tcp[0].destinations[1].weight = 11 + i;
        const std::vector<Change> change = {put(rule)};
        start = std::chrono::steady_clock::now();
        auto delta = m.mesh.apply(change);
        total += ms_since(start);
        ASSERT_TRUE(delta.has_value());
        ASSERT_EQ(delta->changed.size(), 1u);
        EXPECT_EQ(delta->changed[0]->host, host_of(5000));
    }
    std::printf("one weight: %.4f ms\n", total / 100);

    start = std::chrono::steady_clock::now();
    ServiceEntry grown("ml", "model-7000", host_of(7000), address(10, 7001));
    grown.with(port(8080)).with(endpoint("127.0.0.9"));
    m.apply({put(grown)});
    std::printf("one service: %.4f ms\n", ms_since(start));
    EXPECT_EQ(m.delta.changed.size(), 1u);

    int other = 0;
    for (const auto& [key, service] : m.mesh.services()) {
        const ServicePortPtr& old = before.at(key);
        if (service != old) {
            ++other;
            EXPECT_TRUE(key.host == host_of(5000) || key.host == host_of(7000)) << key.host;
        }
    }
    EXPECT_EQ(other, 2);
    // The weight change left its clusters as they were.
    EXPECT_EQ(m.cluster(host_of(5000), 8080, 0), before.at({"", host_of(5000), 8080})->route->destinations[0].cluster);
}

TEST(LargeMesh, a_workload_entry_among_many_touches_only_its_service) {
    constexpr int kMany = 2000;
    std::vector<Change> load;
    for (int i = 0; i < kMany; ++i) {
        const std::string app = "model-" + std::to_string(i);
        ServiceEntry entry("ml", app, host_of(i), address(10, i + 1));
        entry.with(port(8080)).select({{"app", app}});
        load.push_back(put(entry));
        for (int j = 0; j < 5; ++j) {
            load.push_back(put(WorkloadEntry("ml", app + "-" + std::to_string(j), address(11, i * 5 + j + 1),
                                             {{"app", app}, {"version", "v1"}})));
        }
    }
    TestMesh m;
    auto start = std::chrono::steady_clock::now();
    m.apply(load);
    std::printf("%d services, %d workload entries: load %.0f ms\n", kMany, kMany * 5, ms_since(start));
    const auto before = m.mesh.services();
    start = std::chrono::steady_clock::now();
    m.apply({put(WorkloadEntry("ml", "model-77-0", address(12, 1), {{"app", "model-77"}, {"version", "v1"}}))});
    std::printf("one workload entry: %.4f ms\n", ms_since(start));
    ASSERT_EQ(m.delta.changed.size(), 1u);
    EXPECT_EQ(m.delta.changed[0]->host, host_of(77));
    for (const auto& [key, service] : m.mesh.services()) {
        EXPECT_EQ(service == before.at(key), key.host != host_of(77));
    }
}

}  // namespace
}  // namespace sluice::model::test
