// Once its buffers have grown, routing a request allocates nothing.
#include <cstddef>

#include "bpf/lib/random.h"
#include "proxy/experiment.h"
#include "tests/unit/proxy/routes.h"

// Of the sanitizers' run-time library, whose header g++ does not bring.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));

namespace sluice::proxy::test {
namespace {

thread_local bool counting = false;
thread_local std::size_t allocations = 0;

void on_malloc(const volatile void*, std::size_t) {
    allocations += counting;
}
void on_free(const volatile void*) {}

// What is allocated while `run` runs the second time; the first fills buffers and caches.
template <typename Run>
std::size_t allocated(const Run& run) {
    static const int installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    EXPECT_GT(installed, 0);
    run();
    allocations = 0;
    counting = true;
    run();
    counting = false;
    return allocations;
}

TEST(Steady, TheCounterCounts) {
    EXPECT_EQ(allocated([] {
                  int* volatile kept = new int;  // the compiler may leave out a pair that nobody sees
                  delete kept;
              }),
              1u);
}

TEST(Steady, RoutingARequestAllocatesNothing) {
    Service service;
    service.rule({{"v47", 100}}, "premium", {header("x-user-segment", exact("premium"))});
    service.rule({{"v45", 100}}, "control", {header("x-user-id", regex("[0-9a-cA-C].*"))});
    HttpRule& rewriting = service.rule({{"v45", 90}, {"v47", 10}}, "rewriting", {uri(prefix("/old"))});
    rewriting.rewrite.emplace().uri = "/new";
    rewriting.headers.request.set = {{"x-copy", "%REQ(x-user-id)%-%DOWNSTREAM_LOCAL_PORT%"}};
    rewriting.headers.request.remove = {"x-gone"};
    rewriting.headers.response.add = {{"x-route", "%ROUTE_NAME%"}};
    service.rule({{"v45", 90}, {"v47", 10}}, "regex", {uri(prefix("/v"))}).rewrite.emplace().regex.emplace("a+", "b");
    service.rule({{"v45", 90}, {"v47", 10}}, "split");
    config::Experiment experiment;
    experiment.name = "e";
    experiment.key.name = "x-user-id";
    service.last().experiment = &experiment;
    service.cluster("v45")->load_balancer = SL_LB_MAGLEV;
    service.cluster("v45")->hash_key.emplace().name = "x-user-id";
    const World world(service);
    const Request requests[] = {
        {"GET",
         "/rank?k=10",
         {{"Host", "ranker.ml"}, {"X-User-Segment", "premium"}, {"Connection", "keep-alive, x-a"}}},
        {"GET", "/rank", {{"Host", "RANKER"}, {"X-User-Id", "c0ffee"}}},
        {"POST", "/old/%61/../x?y", {{"Host", "ranker:8080"}, {"X-User-Id", "dead"}, {"X-Gone", "1"}}},
        {"GET", "/v/aa/banana", {{"Host", "ranker"}, {"X-User-Id", "ee"}}},
        {"GET", "/", {{"Host", "nobody"}, {"X-User-Id", "ff"}, {"Cookie", "a=b"}}}};
    http::ResponseHead answer;
    answer.status = 200;
    answer.fields = {{"Content-Type", "application/json"}, {"X-Route", "own"}};
    std::string path, out, set_cookie, id;
    sl_random random{1};
    const std::size_t count = allocated([&] {
        for (int i = 0; i < 200; ++i) {
            for (const Request& request : requests) {
                Asked asked;
                ASSERT_TRUE(ask(request.head, request.client, 8080, path, asked));
                const VirtualHost* host = world.table->find(request.client, world.host, 8080, asked.authority);
                Context context;
                context.asked = &asked;
                context.host = host;
                context.rule = host->match(asked);
                context.destination = choose(*context.rule, asked, sl_random_next(&random)).value();
                make_request_id(1, 2, id);
                context.request_id = id;
                hash_key(context.rule->destinations[context.destination].cluster->model(), asked, 7, set_cookie);
                out.clear();
                write_request(context, request.head, http::Framing::kLength, 5, out);
                write_response(context, answer, http::Framing::kChunked, 0, set_cookie, false, out);
                write_local_reply(context, 503, "no healthy upstream", false, false, out);
            }
        }
    });
    EXPECT_EQ(count, 0u);
}

}  // namespace
}  // namespace sluice::proxy::test
