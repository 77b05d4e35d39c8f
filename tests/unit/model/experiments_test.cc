// Sticky splits: which rules they belong to, and what is said when they belong to none.
#include <gmock/gmock.h>

#include "build.h"
#include "model/experiment.h"

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

struct ExperimentArms : Experiments {
    static Experiment trial(std::vector<config::Experiment::Arm> arms, const std::string& route = "") {
        Experiment made("ml", "trial", kHost, route);
        for (config::Experiment::Arm& arm : arms) {
            arm.place = made.next();
        }
        made.spec().arms = std::move(arms);
        return made;
    }
    std::string arms(std::size_t rule) const {
        std::string out;
        for (const ExperimentArm& arm : arms_of(m.find(kHost, 8080)->route->http[rule])) {
            out += arm.name + "=" + std::to_string(arm.weight) + "@" + std::to_string(arm.destination) + " ";
        }
        return out;
    }
};

TEST_F(ExperimentArms, are_the_rules_destinations_unless_given) {
    m.apply({put(rules()), put(Experiment("ml", "trial", kHost, "canary"))});
    EXPECT_EQ(arms(2), "v1=90@0 v2=10@1 ");
    EXPECT_EQ(arms(0), "") << "another rule";
    m.apply({put(trial({{"treatment", "v2", 25, {}}, {"control", "v1", 75, {}}}))});
    EXPECT_EQ(arms(2), "treatment=25@1 control=75@0 ");
    EXPECT_EQ(arms(0), "treatment=25@1 control=75@0 ");
    EXPECT_EQ(m.warnings(), "");
}

TEST_F(ExperimentArms, of_destinations_with_one_name_are_told_apart_by_host) {
    m.apply({put(rules())});
    ServiceEntry other("ml", "other", "other.ml.svc.cluster.local", "127.10.0.2");
    other.with(port(8080, PortProtocol::kHttp)).with(endpoint("127.0.1.3", {{"version", "v1"}}));
    DestinationRule policy("ml", "other", "other.ml.svc.cluster.local");
    policy.subset("v1", {{"version", "v1"}});
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1", 1}, {"other.ml.svc.cluster.local", "v1", 1}, {kHost, "", 1}});
    m.apply({put(other), put(policy), put(rule), put(Experiment("ml", "trial", kHost))});
    EXPECT_EQ(arms(0),
              "rank.ml.svc.cluster.local/v1=1@0 other.ml.svc.cluster.local/v1=1@1 "
              "rank.ml.svc.cluster.local=1@2 ");
    EXPECT_THAT(m.refuse({put(trial({{"a", "v1", 1, {}}, {"b", "v1", 1, {}}}))}),
                HasSubstr("has 2 destinations with subset v1"));
}

TEST_F(ExperimentArms, need_a_destination_in_each_rule_that_is_split) {
    m.apply({put(rules())});
    Experiment wrong = trial({{"a", "v1", 1, {}}, {"b", "v3", 1, {}}}, "canary");
    const std::string error = m.refuse({put(wrong)});
    EXPECT_THAT(error, HasSubstr(":" + std::to_string(wrong.spec().arms[1].place.line) + ":"));
    EXPECT_THAT(error, HasSubstr("spec.arms[1].subset: rule canary of VirtualService ml/rank"));
    EXPECT_THAT(error, HasSubstr("has no destination with subset v3, only v1, v2"));
    TestMesh warned(with_proxy(true));
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080, PortProtocol::kHttp)).with(endpoint("127.0.1.1", {{"version", "v1"}}));
    DestinationRule policy("ml", "rank", kHost);
    policy.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    warned.apply({put(entry), put(policy), put(rules()), put(wrong)});
    EXPECT_THAT(warned.warnings(), HasSubstr("only v1, v2: it splits nothing"));
    EXPECT_EQ(warned.find(kHost, 8080)->route->http[2].experiment, nullptr);
}

TEST_F(ExperimentArms, of_one_destination_make_an_aa_test_of_the_rule_that_is_named) {
    m.apply({put(rules()), put(trial({{"a1", "v2", 1, {}}, {"a2", "v2", 1, {}}}, "single"))});
    EXPECT_EQ(arms(1), "a1=1@0 a2=1@0 ");
}

TEST_F(ExperimentArms, with_too_few_buckets_are_warned_about) {
    m.apply({put(rules()), put(trial({{"tiny", "v2", 1, {}}, {"control", "v1", 999, {}}}, "canary"))});
    EXPECT_THAT(m.warnings(), HasSubstr("tiny of weight 1 in 1000 gets none of 100 buckets"));
}

}  // namespace
}  // namespace sluice::model::test
