// What gates say of what was seen: numbers, sentences, and never a pass on missing data.
#include "rollout/gates.h"

#include <gmock/gmock.h>

#include <limits>

#include "draws.h"

namespace sluice::rollout {
namespace {

using config::Gate;
using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Durations of(std::initializer_list<std::pair<int, double>> parts) {
    Durations made;
    for (const auto& [count, seconds] : parts) {
        for (int i = 0; i < count; ++i) {
            made.add(seconds);
        }
    }
    return made;
}

// 1,000 of each version, one failed of the champion's, the slowest 2% at 150 ms.
Seen healthy() {
    Seen seen;
    seen.champion_errors = seen.challenger_errors = Errors{1000, 1};
    seen.champion_durations = seen.challenger_durations = of({{980, 0.05}, {20, 0.15}});
    return seen;
}

class Gates : public testing::Test {
  protected:
    Gate& gate(Gate::Kind kind) {
        Gate& made = canary.gates.emplace_back();
        made.kind = kind;
        made.name = "gate" + std::to_string(canary.gates.size());
        return made;
    }
    std::vector<GateResult> all(const Seen& seen, bool last = true) { return judge(canary, seen, 10, last, failures); }
    GateResult one(const Seen& seen, bool last = true) { return all(seen, last).at(0); }
    GateResult ask(std::optional<double> challenger, std::optional<double> champion = std::nullopt) {
        Seen seen;
        seen.asked = {{champion, challenger, std::nullopt, "the server is gone"}};
        return one(seen);
    }
    GateResult hook(std::optional<bool> approved) {
        Seen seen;
        seen.asked = {{std::nullopt, std::nullopt, approved, "no route"}};
        return one(seen);
    }

    config::Canary canary = [] {
        config::Canary made = usual_canary(0.005, 0.1);
        made.gates.clear();
        return made;
    }();
    FailuresInARow failures;
};

TEST_F(Gates, EqualVersionsPass) {
    canary = usual_canary(0.005, 0.1);
    for (const bool last : {false, true}) {
        for (const GateResult& result : all(healthy(), last)) {
            EXPECT_EQ(result.verdict, Verdict::kPass) << result.text;
            EXPECT_EQ(result.champion_sample, 1000);
            EXPECT_EQ(result.challenger_sample, 1000);
            EXPECT_EQ(result.p, 1);
        }
    }
}

TEST_F(Gates, ErrorsOverTheBoundFailWithTheNumbers) {
    gate(Gate::Kind::kErrorRate).max = 0.01;
    Seen seen = healthy();
    seen.challenger_errors = Errors{500, 20};
    const GateResult result = one(seen);
    EXPECT_EQ(result.verdict, Verdict::kFail);
    EXPECT_EQ(result.gate, "gate1");
    EXPECT_EQ(result.challenger, 0.04);
    EXPECT_EQ(result.bound, 0.01);
    EXPECT_EQ(result.p, error_bound_p({500, 20}, 0.01));
    EXPECT_EQ(result.text, "4% of 500 requests failed, 1% allowed: p = 0.00000028, below 0.0063");
}

TEST_F(Gates, MoreErrorsThanTheChampionFail) {
    gate(Gate::Kind::kErrorRate).regression = 0.005;
    Seen seen = healthy();
    seen.champion_errors = Errors{9500, 10};
    seen.challenger_errors = Errors{500, 10};
    const GateResult result = one(seen);
    EXPECT_EQ(result.verdict, Verdict::kFail);
    EXPECT_NEAR(*result.bound, 0.005 + 10.0 / 9500, 1e-15);
    EXPECT_THAT(
        result.text,
        HasSubstr("2% of 500 requests failed against the champion's 0.105% of 9500, 0.5 points more allowed: p = "));
    // The same is no evidence yet for a look in the middle.
    EXPECT_EQ(one(seen, false).verdict, Verdict::kPass);
    EXPECT_THAT(one(seen, false).text, HasSubstr("not below"));
}

TEST_F(Gates, ALatencyOverTheChampionsFails) {
    Gate& made = gate(Gate::Kind::kLatency);
    made.regression = 0.1;
    Seen seen = healthy();
    seen.challenger_durations = of({{950, 0.06}, {50, 0.181}});
    const GateResult result = one(seen);
    EXPECT_EQ(result.verdict, Verdict::kFail);
    EXPECT_EQ(result.champion, 0.15);
    EXPECT_EQ(result.challenger, 0.181);
    EXPECT_NEAR(*result.bound, 0.165, 1e-15);
    EXPECT_THAT(result.text, HasSubstr("p99 181 ms against the champion's 150 ms, 10% more allowed: p = 0.0000"));
    EXPECT_THAT(result.text, HasSubstr(", below 0.0063"));
}

TEST_F(Gates, ALatencyOverTheBoundFails) {
    Gate& made = gate(Gate::Kind::kLatency);
    made.max = 0.1;
    made.quantile = 0.9;
    EXPECT_EQ(one(healthy()).verdict, Verdict::kPass);
    Seen seen = healthy();
    seen.challenger_durations = of({{800, 0.05}, {200, 0.12}});
    EXPECT_EQ(one(seen).verdict, Verdict::kFail);
    EXPECT_THAT(one(seen).text, HasSubstr("p90 120 ms, 100 ms allowed: p = "));
}

TEST_F(Gates, WithTwoBoundsTheWorseOneDecides) {
    Gate& made = gate(Gate::Kind::kLatency);
    made.max = 0.3;
    made.regression = 0.1;
    Seen seen = healthy();
    seen.challenger_durations = of({{900, 0.05}, {100, 0.2}});
    const GateResult result = one(seen);
    EXPECT_EQ(result.verdict, Verdict::kFail);
    EXPECT_NEAR(*result.bound, 0.165, 1e-15);
    EXPECT_NEAR(*result.level, 0.05 / 2 / 4 / 2, 1e-15) << "two tests, four stages";
}

TEST_F(Gates, TooFewRequestsAreNoDataButFailWhenTheyAreBadEnough) {
    gate(Gate::Kind::kErrorRate).max = 0.01;
    canary.minimum_requests = 500;
    Seen seen;
    EXPECT_EQ(one(seen).text, "no requests of the challenger seen");
    seen.challenger_errors = Errors{499, 0};
    EXPECT_EQ(one(seen).verdict, Verdict::kNoData);
    EXPECT_THAT(one(seen).text,
                HasSubstr("only 499 of 500 requests of the challenger seen; 0% of 499 requests failed"));
    seen.challenger_errors = Errors{40, 40};
    EXPECT_EQ(one(seen, false).verdict, Verdict::kFail);
}

TEST_F(Gates, TheLargePartOfTheLevelIsSpentOnlyWhenNothingIsMissing) {
    gate(Gate::Kind::kErrorRate).max = 0.01;
    gate(Gate::Kind::kWebhook);
    canary.data_timeout = std::chrono::seconds(100);
    canary.interval = std::chrono::seconds(10);
    Seen seen = healthy();
    const double small = 0.05 / 4 / 2 / (10 + 11 - 1);
    EXPECT_NEAR(*one(seen, true).level, small, 1e-15) << "the webhook did not answer";
    seen.asked = {{}, {std::nullopt, std::nullopt, true, ""}};
    EXPECT_NEAR(*one(seen, false).level, small, 1e-15);
    EXPECT_NEAR(*one(seen, true).level, 0.05 / 4 / 2, 1e-15);
    canary.mirror = config::Canary::Mirror{};
    EXPECT_NEAR(*one(seen, true).level, 0.05 / 5 / 2, 1e-15) << "the mirror is a stage";
}

TEST_F(Gates, NoPassEverOnMissingData) {
    // Every subset of what can be had, with every gate; what needs something that is absent does not pass.
    Gate& errors = gate(Gate::Kind::kErrorRate);
    errors.max = 0.5;
    gate(Gate::Kind::kErrorRate).regression = 0.5;
    gate(Gate::Kind::kLatency).max = 10;
    gate(Gate::Kind::kLatency).regression = 5;
    Gate& plain = gate(Gate::Kind::kQuery);
    plain.max = 10;
    Gate& compared = gate(Gate::Kind::kQuery);
    compared.regression = 0.1;
    gate(Gate::Kind::kWebhook);
    const Seen whole = healthy();
    for (const std::uint64_t minimum : {0, 1, 100}) {
        canary.minimum_requests = minimum;
        for (unsigned had = 0; had < 128; ++had) {
            const auto has = [&](unsigned bit) { return (had & 1u << bit) != 0; };
            Seen seen;
            // An absent one is absent, or there and empty.
            seen.champion_errors = has(0) ? whole.champion_errors : Errors{};
            seen.challenger_errors = has(1) ? whole.challenger_errors : std::optional<Errors>{};
            seen.champion_durations = has(2) ? whole.champion_durations : std::optional<Durations>{};
            seen.challenger_durations = has(3) ? *whole.challenger_durations : Durations();
            const std::optional<double> champion = has(4) ? std::optional(1.0) : std::nullopt;
            const double challenger = has(5) ? 1.0 : kNan;
            seen.asked.resize(had % 3 == 0 ? 7 : 8);
            seen.asked[4] = seen.asked[5] = {champion, challenger, std::nullopt, ""};
            seen.asked[6].approved = has(6) ? std::optional(true) : std::nullopt;
            const std::vector<GateResult> results = all(seen);
            const bool wanted[] = {has(1), has(0) && has(1), has(3), has(2) && has(3),
                                   has(5), has(4) && has(5), has(6)};
            for (std::size_t i = 0; i < 7; ++i) {
                EXPECT_EQ(results[i].verdict, wanted[i] ? Verdict::kPass : Verdict::kNoData) << had << " gate " << i;
                EXPECT_FALSE(results[i].text.empty());
            }
        }
    }
}

TEST_F(Gates, QueriesAreComparedPlainly) {
    Gate& made = gate(Gate::Kind::kQuery);
    made.max = 10;
    made.min = -10;
    EXPECT_EQ(ask(10).verdict, Verdict::kPass);
    EXPECT_EQ(ask(10.01).verdict, Verdict::kFail);
    EXPECT_EQ(ask(10.01).bound, 10);
    EXPECT_EQ(ask(10.01).text, "10.01, at most 10 allowed, at least -10 wanted");
    EXPECT_EQ(ask(-10.01).verdict, Verdict::kFail);
    EXPECT_EQ(ask(-10.01).bound, -10);
    EXPECT_EQ(ask(kInfinity).verdict, Verdict::kFail);
    EXPECT_EQ(ask(-kInfinity).verdict, Verdict::kFail);
    EXPECT_EQ(ask(kNan).verdict, Verdict::kNoData);
    EXPECT_EQ(ask(std::nullopt).text, "no value of the challenger: the server is gone");
}

TEST_F(Gates, AnInfiniteValueIsNoPass) {
    gate(Gate::Kind::kQuery).min = 0;
    EXPECT_EQ(ask(kInfinity).verdict, Verdict::kNoData);
    EXPECT_EQ(ask(1).verdict, Verdict::kPass);
}

TEST_F(Gates, QueriesAreComparedWithTheChampion) {
    gate(Gate::Kind::kQuery).regression = 0.1;
    EXPECT_EQ(ask(11, 10).verdict, Verdict::kPass);
    EXPECT_EQ(ask(11.1, 10).verdict, Verdict::kFail);
    EXPECT_EQ(ask(11.1, 10).text, "11.1 against the champion's 10, 10% more allowed");
    EXPECT_EQ(ask(-9, -10).verdict, Verdict::kPass) << "a tenth of 10 more is -9";
    EXPECT_EQ(ask(-8.9, -10).verdict, Verdict::kFail);
    EXPECT_EQ(ask(11, kNan).verdict, Verdict::kNoData);
    EXPECT_EQ(ask(11, kInfinity).verdict, Verdict::kNoData);
    EXPECT_EQ(ask(11).text, "no value of the champion: the server is gone");
}

TEST_F(Gates, AQueryFailsOnlySoManyLooksInARow) {
    Gate& made = gate(Gate::Kind::kQuery);
    made.max = 1;
    made.failures = 3;
    EXPECT_EQ(ask(2).verdict, Verdict::kNoData) << "not a failure yet, but no pass";
    EXPECT_EQ(ask(2).text, "2, at most 1 allowed, for 2 of 3 looks in a row");
    EXPECT_EQ(ask(1).verdict, Verdict::kPass);
    EXPECT_EQ(failures, FailuresInARow{0});
    EXPECT_EQ(ask(2).verdict, Verdict::kNoData);
    EXPECT_EQ(ask(2).verdict, Verdict::kNoData);
    EXPECT_EQ(ask(std::nullopt).verdict, Verdict::kNoData);
    EXPECT_EQ(failures, FailuresInARow{2}) << "an absent value does not end the row";
    EXPECT_EQ(ask(2).verdict, Verdict::kFail);
}

TEST_F(Gates, AWebhookApprovesOrNot) {
    gate(Gate::Kind::kWebhook);
    EXPECT_EQ(hook(true).verdict, Verdict::kPass);
    EXPECT_EQ(hook(false).verdict, Verdict::kFail);
    EXPECT_EQ(hook(false).text, "not approved: no route");
    EXPECT_EQ(hook(std::nullopt).verdict, Verdict::kNoData);
    EXPECT_EQ(hook(std::nullopt).text, "no answer: no route");
    EXPECT_STREQ(verdict_name(hook(std::nullopt).verdict), "no data");
}

TEST_F(Gates, AChallengerWithoutAnyAnswerFailsByItsErrorsAlone) {
    canary = usual_canary(0.005, 0.1);
    Seen seen = healthy();
    seen.challenger_errors = Errors{200, 200};
    seen.challenger_durations = Durations();
    const std::vector<GateResult> results = all(seen, false);
    EXPECT_EQ(results[0].verdict, Verdict::kFail);
    EXPECT_EQ(results[1].verdict, Verdict::kNoData);
}

}  // namespace
}  // namespace sluice::rollout
