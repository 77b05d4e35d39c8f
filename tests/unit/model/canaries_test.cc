// Canaries: which rule each moves, and what is said where there is none.
#include <gmock/gmock.h>

#include "build.h"
#include "model/canary.h"

namespace sluice::model::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

struct Canaries : ::testing::Test {
    TestMesh m{with_proxy()};
    Canaries() {
        ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
        entry.with(port(8080, PortProtocol::kHttp));
        entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
        m.apply({put(entry), put(policy({"v1", "v2"}))});
    }
    static DestinationRule policy(const std::vector<std::string>& subsets) {
        DestinationRule out("ml", "rank", kHost);
        for (const std::string& name : subsets) {
            out.subset(name, {{"version", name}});
        }
        return out;
    }
    static VirtualService rules() {
        VirtualService rule("ml", "rank", "rank");
        rule.http({{kHost, "v2"}}).named("beta").when(header("x-beta", "1"));
        rule.http({{kHost, "v1"}}).named("old").when(header("x-old", "1"));
        rule.http({{kHost, "v1", 90}, {"rank", "v2", 10}}).named("canary");
        return rule;
    }
    static VirtualService lone() {
        VirtualService rule("ml", "rank", kHost);
        rule.http({{kHost, "v1"}}).named("old").when(header("x-old", "1"));
        rule.http({{"rank", "v1"}});
        return rule;
    }
    // "RULE CHAMPION CHALLENGER", or why there is none.
    static std::string moves(const Canary& canary, const VirtualService& rule) {
        const auto found = canary_rule(*canary.done(), *rule.done());
        if (!found) {
            return found.error().message;
        }
        return std::to_string(found->rule) + " " + std::to_string(found->champion) + " " +
               (found->challenger ? std::to_string(*found->challenger) : "-") + (found->tcp ? " tcp" : "");
    }
};

TEST_F(Canaries, move_the_first_rule_that_has_both_subsets) {
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2"), rules()), "2 0 1");
    EXPECT_EQ(moves(Canary("ml", "c", kHost, "v2", "v1"), rules()), "2 1 0");
}

TEST_F(Canaries, move_else_the_first_rule_without_match_that_has_the_champion) {
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2"), lone()), "1 0 -");
    EXPECT_THAT(moves(Canary("ml", "c", "rank", "v3", "v2"), lone()),
                HasSubstr("no rule of VirtualService ml/rank has destinations with subset v3 and v2 of rank"));
}

TEST_F(Canaries, move_the_rule_that_they_name) {
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2", "old"), rules()), "1 0 -");
    EXPECT_THAT(moves(Canary("ml", "c", "rank", "v1", "v2", "new"), rules()),
                HasSubstr("has no rule with the name new"));
    EXPECT_THAT(moves(Canary("ml", "c", "rank", "v1", "v2", "beta"), rules()),
                HasSubstr("rule beta of VirtualService ml/rank (rules.yaml:"));
}

TEST_F(Canaries, never_move_the_rule_that_they_put_in_for_internal_users) {
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v2"}, {kHost, "v1", 0}}).named("canary-c-internal");
    rule.http({{kHost, "v1", 90}, {kHost, "v2", 10}});
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2"), rule), "1 0 1");
    EXPECT_EQ(moves(Canary("ml", "d", "rank", "v1", "v2"), rule), "0 1 0");
    EXPECT_THAT(moves(Canary("ml", "c", "rank", "v1", "v2", "canary-c-internal"), rule), HasSubstr("has no rule"));
}

TEST_F(Canaries, move_tcp_rules_where_there_is_no_http_rule) {
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{kHost, "v1", 100}, {kHost, "v2", 0}});
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2"), rule), "0 0 1 tcp");
    rule.http({{kHost, "v1"}});
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2"), rule), "0 0 -");
}

TEST_F(Canaries, know_a_subset_by_its_host_too) {
    VirtualService rule("ml", "rank", kHost);
    rule.http({{"other.ml.svc.cluster.local", "v1", 50}, {kHost, "v1", 50}});
    EXPECT_EQ(moves(Canary("ml", "c", "rank", "v1", "v2"), rule), "0 1 -");
    VirtualService twice("ml", "rank", kHost);
    twice.http({{kHost, "v1", 50, 8080}, {kHost, "v1", 50, 8081}});
    EXPECT_THAT(moves(Canary("ml", "c", "rank", "v1", "v2"), twice), HasSubstr("has 2 destinations with subset v1"));
}

TEST_F(Canaries, of_another_namespace_or_host_move_nothing) {
    EXPECT_THAT(moves(Canary("other", "c", kHost, "v1", "v2"), rules()), HasSubstr("is not for host"));
    EXPECT_THAT(moves(Canary("ml", "c", "scores", "v1", "v2"), rules()), HasSubstr("is not for host scores"));
}

TEST_F(Canaries, find_their_rule_among_all_objects) {
    ServiceEntry scores("ml", "scores", "scores", "127.10.0.3");
    scores.with(port(8080, PortProtocol::kHttp));
    m.apply({put(rules()), put(scores), put(VirtualService("ml", "scores", "scores").http({{kHost, "v1"}}))});
    const auto found = canary_target(*Canary("ml", "c", "rank", "v1", "v2").done(), m.mesh.objects());
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->virtual_service->key.name, "rank");
    EXPECT_EQ(found->rule.rule, 2u);
    m.apply({put(VirtualService("ml", "twin", kHost).http({{kHost, "v1"}}))});
    EXPECT_THAT(canary_target(*Canary("ml", "c", "rank", "v1", "v2").done(), m.mesh.objects()).error().message,
                HasSubstr("it is not clear which is meant"));
    EXPECT_THAT(canary_target(*Canary("ml", "c", "absent", "v1", "v2").done(), m.mesh.objects()).error().message,
                HasSubstr("no VirtualService of namespace ml has rules for absent"));
}

TEST_F(Canaries, change_no_service_by_being_there) {
    m.apply({put(rules())});
    const Delta& delta = m.apply({put(Canary("ml", "c", "rank", "v1", "v2"))});
    EXPECT_TRUE(delta.changed.empty());
    EXPECT_TRUE(delta.warnings.items.empty());
}

TEST_F(Canaries, without_service_rule_or_subset_are_refused) {
    m.apply({put(rules())});
    EXPECT_THAT(m.refuse({put(Canary("ml", "c", "absent", "v1", "v2"))}),
                HasSubstr("spec.host: no ServiceEntry or Service has the host absent.ml.svc.cluster.local"));
    EXPECT_THAT(m.refuse({put(Canary("ml", "c", "rank", "v1", "v3"))}),
                HasSubstr("spec.challenger: no DestinationRule declares the subset v3 of host " + std::string(kHost) +
                          "; declared: v1, v2"));
    EXPECT_THAT(m.refuse({put(Canary("ml", "c", "rank", "v1", "v2", "nightly"))}), HasSubstr("spec.route: "));
    EXPECT_THAT(m.refuse({put(Canary("other", "c", kHost, "v1", "v2"))}),
                HasSubstr("spec.host: no VirtualService of namespace other has rules for"));
}

TEST_F(Canaries, that_dangle_are_warned_about_where_references_warn) {
    TestMesh lax{with_proxy(true)};
    const Delta& delta = lax.apply({put(Canary("ml", "c", "rank", "v1", "v2"))});
    EXPECT_THAT(TestMesh::text(delta.warnings), HasSubstr("it cannot be started"));
}

TEST_F(Canaries, are_looked_at_again_when_what_they_name_changes) {
    m.apply({put(rules()), put(Canary("ml", "c", "rank", "v1", "v2"))});
    EXPECT_THAT(m.refuse({put(VirtualService("ml", "rank", "rank").http({{kHost, "v2"}}))}),
                HasSubstr("spec.champion: "));
    EXPECT_THAT(m.refuse({drop(rules())}), HasSubstr("spec.host: no VirtualService of namespace ml"));
    EXPECT_THAT(m.refuse({put(policy({"v1"}))}),
                HasSubstr("spec.challenger: no DestinationRule declares the subset v2"));
    m.apply({drop(Canary("ml", "c", "rank", "v1", "v2"))});
    m.apply({drop(rules())});
}

TEST_F(Canaries, of_which_two_move_one_rule_are_an_error_that_names_both) {
    m.apply({put(rules()), put(Canary("ml", "a", "rank", "v1", "v2"))});
    const std::string said = m.refuse({put(Canary("ml", "b", kHost, "v2", "v1", "canary"))});
    EXPECT_THAT(said, HasSubstr("Canary ml/a (rules.yaml:"));
    EXPECT_THAT(said, HasSubstr("moves the same rule"));
    m.apply({put(Canary("ml", "b", kHost, "v1", "v2", "old"))});
}

TEST_F(Canaries, that_mirror_need_a_rule_without_a_mirror_of_its_own) {
    VirtualService mirrors = rules();
    mirrors.mirror({kHost, "v2"});
    Canary canary("ml", "c", "rank", "v1", "v2");
    canary.spec().mirror = config::Canary::Mirror{.hold = std::chrono::minutes(1)};
    m.apply({put(mirrors), put(canary)});
    mirrors.also([](config::HttpRule& rule) { rule.mirror_alone = true; });
    EXPECT_THAT(m.refuse({put(mirrors)}), HasSubstr("spec.mirror: the rule of VirtualService ml/rank"));
}

TEST_F(Canaries, of_tcp_rules_ask_nothing_of_requests) {
    ServiceEntry store("ml", "store", "store", "127.10.0.2");
    store.with(port(6379)).with(endpoint("127.0.1.3", {{"version", "v1"}}));
    DestinationRule policy("ml", "store", "store");
    policy.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    VirtualService rule("ml", "store", "store");
    rule.tcp({{"store", "v1"}});
    m.apply({put(store), put(policy), put(rule)});
    Canary canary("ml", "c", "store", "v1", "v2");
    EXPECT_THAT(m.refuse({put(canary)}), HasSubstr("has tcp rules, where no requests are seen"));
    canary.spec().gates.front().kind = config::Gate::Kind::kWebhook;
    m.apply({put(canary)});
    canary.spec().internal = "[]";
    EXPECT_THAT(m.refuse({put(canary)}), HasSubstr("neither mirror nor internal"));
}

TEST_F(Canaries, and_an_experiment_with_weights_of_its_own_do_not_share_a_rule) {
    m.apply({put(rules()), put(Canary("ml", "c", "rank", "v1", "v2"))});
    Experiment trial("ml", "trial", "rank", "canary");
    m.apply({put(trial)});
    trial.spec().arms = {{"a", "v1", 50, {}}, {"b", "v2", 50, {}}};
    EXPECT_THAT(m.refuse({put(trial)}), HasSubstr("Experiment ml/trial (rules.yaml:"));
}

}  // namespace
}  // namespace sluice::model::test
