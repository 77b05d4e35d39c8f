// Sticky splits: which rules they belong to, and what is said when they belong to none.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

struct Experiments : ::testing::Test {
    TestMesh m{with_proxy()};
    Experiments() {
        ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
        entry.with(port(8080, PortProtocol::kHttp));
        entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
        DestinationRule policy("ml", "rank", kHost);
        policy.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
        m.apply({put(entry), put(policy)});
    }
    static VirtualService rules() {
        VirtualService rule("ml", "rank", kHost);
        rule.http({{kHost, "v1", 1}, {kHost, "v2", 1}}).named("beta").when(header("x-beta", "1"));
        rule.http({{kHost, "v2"}}).named("single").when(header("x-user", "jason"));
        rule.http({{kHost, "v1", 90}, {kHost, "v2", 10}}).named("canary");
        return rule;
    }
    std::string splits() const {
        std::string out;
        for (const HttpRoute& rule : m.find(kHost, 8080)->route->http) {
            out += (out.empty() ? "" : " ") + (rule.experiment != nullptr ? rule.experiment->name : "-");
        }
        return out;
    }
};

TEST_F(Experiments, split_every_rule_of_the_host_that_has_several_destinations) {
    m.apply({put(rules())});
    EXPECT_EQ(splits(), "- - -");
    const Delta& delta = m.apply({put(Experiment("ml", "trial", "rank"))});
    EXPECT_EQ(splits(), "trial - trial");
    EXPECT_EQ(delta.changed.size(), 1u);
    Experiment finer("ml", "trial", "rank");
    finer.spec().buckets = 1000;
    EXPECT_EQ(m.apply({put(finer)}).changed.size(), 1u);
    EXPECT_EQ(m.find(kHost, 8080)->route->http[0].experiment->buckets, 1000u);
    m.apply({drop(finer)});
    EXPECT_EQ(splits(), "- - -");
}

TEST_F(Experiments, split_the_rule_that_they_name) {
    m.apply(
        {put(rules()), put(Experiment("ml", "trial", kHost, "canary")), put(Experiment("ml", "other", kHost, "beta"))});
    EXPECT_EQ(splits(), "other - trial");
}

TEST_F(Experiments, of_another_namespace_than_the_rule_have_nothing_to_split) {
    m.apply({put(rules())});
    EXPECT_THAT(m.refuse({put(Experiment("web", "trial", kHost))}),
                HasSubstr("spec.host: no VirtualService of namespace web has http rules for rank.ml"));
}

TEST_F(Experiments, two_for_one_rule_are_refused_by_name) {
    m.apply({put(rules()), put(Experiment("ml", "a", kHost, "canary"))});
    const std::string error = m.refuse({put(Experiment("ml", "b", kHost))});
    EXPECT_THAT(error, HasSubstr("is already split by Experiment ml/a"));
}

TEST_F(Experiments, without_something_to_split_are_refused) {
    m.apply({put(rules())});
    EXPECT_THAT(m.refuse({put(Experiment("ml", "trial", kHost, "single"))}),
                HasSubstr("rule single of VirtualService ml/rank"));
    EXPECT_THAT(m.refuse({put(Experiment("ml", "trial", kHost, "nothing"))}),
                HasSubstr("spec.route: no http rule for rank.ml.svc.cluster.local has the name nothing"));
    EXPECT_THAT(m.refuse({put(Experiment("ml", "trial", "nobody.example"))}),
                HasSubstr("spec.host: no ServiceEntry or Service has the host nobody.example"));
    m.apply({put(Experiment("ml", "trial", kHost, "canary"))});
    EXPECT_THAT(m.refuse({drop(rules())}), HasSubstr("no VirtualService of namespace ml")) << "the rule goes away";
    TestMesh warned(with_proxy(true));
    warned.apply({put(Experiment("ml", "trial", "nobody.example"))});
    EXPECT_THAT(warned.warnings(), HasSubstr("it splits nothing"));
}

TEST_F(Experiments, arm_without_a_bucket_is_warned_about) {
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1", 999}, {kHost, "v2", 1}});
    m.apply({put(rule), put(Experiment("ml", "trial", kHost))});
    // 100 * 999 / 1000 = 99: the last bucket is v2's. The other way round nothing is left for it.
    EXPECT_EQ(m.warnings(), "");
    VirtualService turned("ml", "rank", kHost);
    turned.http({{kHost, "v2", 1}, {kHost, "v1", 999}});
    m.apply({put(turned)});
    EXPECT_THAT(m.warnings(), HasSubstr("v2 of weight 1 in 1000 gets none of 100 buckets"));
    EXPECT_THAT(m.warnings(), HasSubstr("raise buckets to 1000 or more"));
}

}  // namespace
}  // namespace sluice::model::test
