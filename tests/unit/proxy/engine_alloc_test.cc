// Steady state: a request costs a worker no heap allocation.
// Under ASan freed objects are not used again, so that it sees who still does: TSan's build counts.
#ifndef __SANITIZE_ADDRESS__
#include <sys/prctl.h>

#include "engine.h"
#include "proxy/recorders.h"

// Of the sanitizers' allocators (sanitizer/allocator_interface.h, which g++ does not bring).
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                                         void (*)(const volatile void*));

// Counts what the workers' threads ask for while it is on.
static std::atomic<bool> counting{false};
static std::atomic<int> allocations{0};

static void allocated(const volatile void*, std::size_t) {
    if (counting) {
        char name[16] = {};
        ::prctl(PR_GET_NAME, name);
        allocations += std::string_view(name).starts_with("sluice-w");
    }
}
static void freed(const volatile void*) {}

namespace sluice::proxy::engine {

struct EngineAllocations : OnBoth {};
ON_BOTH(EngineAllocations);

TEST_P(EngineAllocations, ThereAreNoneOnceAllSizesWereSeen) {
    Origin origin([](const Message& request) { return ok(request.body + "answer"); });
    Service service;
    auto& rule = service.rule({{"v1", 1}});
    rule.timeout = 10s;
    rule.headers.request.add.push_back({"x-added", "%REQ(user-agent)%"});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam(), {}, 1, false);
    Peer client = engine.dial();
    const std::string large(5000, 'x');
    const auto ask = [&](int i) {
        client.send(i % 2 == 0 ? "GET /a?b=c HTTP/1.1\r\nhost: ranker\r\nuser-agent: test\r\n\r\n"
                               : "POST /a HTTP/1.1\r\nhost: ranker\r\ncontent-length: 5000\r\n\r\n" + large);
        return client.read().has_value();
    };
    for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(ask(i));
    }
    static const int installed = __sanitizer_install_malloc_and_free_hooks(allocated, freed);
    ASSERT_NE(installed, 0);
    counting = true;
    for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(ask(i));
    }
    counting = false;
    EXPECT_EQ(allocations.exchange(0), 0);
}

TEST_P(EngineAllocations, NorDoesAnExperimentThatIsCountedAndLogged) {
    Origin origin([](const Message& request) { return ok(request.body + "answer"); });
    Service service;
    service.rule({{"v45", 1}, {"v47", 1}});
    config::Experiment trial;
    trial.name = "trial";
    trial.key.name = "x-user-id";
    trial.arms = {{"control", "v45", 1, {}}, {"treatment", "v47", 1, {}}};
    trial.exposure.emplace();
    service.last().experiment = &trial;
    serve(service, "v45", origin.port());
    serve(service, "v47", origin.port());
    const std::string log = testing::TempDir() + "sluice-exposures-" + std::to_string(::getpid()) + ".log";
    std::unique_ptr<Recorders> all;
    std::uint64_t exposures = 0;
    {
        Engine engine(service, GetParam(), {}, 1, false, [&](const sl_tables& tables) {
            all = std::move(Recorders::open({.path = "/dev/null"}, tables, {.path = log}).value());
            return all->recorder();
        });
        Peer client = engine.dial();
        const auto ask = [&](int i) {
            client.send("GET / HTTP/1.1\r\nhost: ranker\r\nx-user-id: user-" + std::to_string(10 + i % 50) +
                        "\r\n\r\n");
            return client.read().has_value();
        };
        for (int i = 0; i < 200; ++i) {
            ASSERT_TRUE(ask(i));
        }
        static const int installed = __sanitizer_install_malloc_and_free_hooks(allocated, freed);
        ASSERT_NE(installed, 0);
        counting = true;
        for (int i = 0; i < 500; ++i) {
            ASSERT_TRUE(ask(i));
        }
        counting = false;
        EXPECT_EQ(allocations.exchange(0), 0);
        engine.stop();
    }
    for (const telemetry::ExperimentRow& row : all->experiments()) {
        EXPECT_GT(row.requests, 100u) << row.arm;
        exposures += row.exposures;
    }
    EXPECT_EQ(exposures, 700u) << "it was counted";
    all.reset();
    ::unlink(log.c_str());
}

}  // namespace sluice::proxy::engine
#endif
