// Sticky splits, and draws by weight.
#include "proxy/experiment.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "bpf/lib/random.h"
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

constexpr std::size_t kUsers = 10'000;

std::string user(std::size_t i) {
    return "user-" + std::to_string(i * 7919) + (i % 3 == 0 ? "\xc3\xa9" : "");
}

config::Experiment experiment(std::uint32_t buckets = 100) {
    config::Experiment made;
    made.name = "ranking-v47";
    made.key.name = "x-user-id";
    made.buckets = buckets;
    return made;
}

// A service with one rule that is split.
struct Splitting {
    Splitting(std::vector<Arm> arms, config::Experiment of) : made(std::move(of)) {
        service.rule(std::move(arms));
        service.last().experiment = &made;
        table = build({service.port()});
    }
    // Which arm a user gets; `random` is for those without a key.
    std::size_t arm(const Fields& fields, std::uint64_t random = 0, const std::string& target = "/") const {
        const Request request("GET", target, fields);
        return choose(table->hosts()[0]->rules[0], request.asked, random).value_or(99);
    }
    std::size_t of_user(std::size_t i) const { return arm({{"X-User-Id", user(i)}}); }

    config::Experiment made;
    Service service;
    TablePtr table;
};

// The function of the text that Sluice was built for, run by python3.
TEST(Experiment, BucketsAreThoseOfThePythonFunctionFor10000Users) {
    const std::string program =
        "python3 -c '\n"
        "import hashlib\n"
        "def assign_ab_bucket(user_id, experiment_id, n_buckets=100):\n"
        "    key = f\"{user_id}:{experiment_id}\"\n"
        "    digest = hashlib.md5(key.encode()).hexdigest()\n"
        "    return int(digest[:8], 16) % n_buckets\n"
        "for i in range(" +
        std::to_string(kUsers) +
        "):\n"
        "    user = \"user-\" + str(i * 7919) + (\"\\u00e9\" if i % 3 == 0 else \"\")\n"
        "    digest = hashlib.md5(f\"{user}:ranking-v47\".encode()).hexdigest()\n"
        "    print(assign_ab_bucket(user, \"ranking-v47\"), assign_ab_bucket(user, \"ranking-v47\", 1000),\n"
        "          int(digest[8:16], 16) * 1_000_000 >> 32)\n"
        "'";
    FILE* python = popen(program.c_str(), "r");
    ASSERT_NE(python, nullptr);
    const std::vector<std::uint32_t> weights{90, 10};
    const Split hundred = make_split(experiment(), weights);
    const Split thousand = make_split(experiment(1000), weights);
    std::size_t lines = 0;
    unsigned of_hundred = 0, of_thousand = 0, sample = 0;
    while (std::fscanf(python, "%u %u %u", &of_hundred, &of_thousand, &sample) == 3) {
        ASSERT_EQ(split_bucket(hundred, user(lines)), of_hundred) << user(lines);
        ASSERT_EQ(split_bucket(thousand, user(lines)), of_thousand) << user(lines);
        const Assigned assigned = *assign(thousand, user(lines));
        ASSERT_EQ(assigned.bucket, of_thousand);
        ASSERT_TRUE(assigned.sampled(sample + 1) && !assigned.sampled(sample)) << user(lines);
        ++lines;
    }
    EXPECT_EQ(pclose(python), 0);
    EXPECT_EQ(lines, kUsers);
}

TEST(Experiment, ArmsHaveConsecutiveBucketsByTheirWeights) {
    const std::vector<std::uint32_t> weights{85, 0, 10, 5};
    EXPECT_EQ(make_split(experiment(), weights).ends, (std::vector<std::uint32_t>{85, 85, 95, 100}));
    const std::vector<std::uint32_t> thirds{1, 1, 1};
    EXPECT_EQ(make_split(experiment(), thirds).ends, (std::vector<std::uint32_t>{33, 66, 100}));
    const std::vector<std::uint32_t> large{4'000'000'000u, 4'000'000'000u};
    EXPECT_EQ(make_split(experiment(1'000'000), large).ends, (std::vector<std::uint32_t>{500'000, 1'000'000}));
    const Splitting split({{"v45", 85}, {"none", 0}, {"v47", 10}, {"v43", 5}}, experiment());
    const Split reference = make_split(experiment(), weights);
    for (std::size_t i = 0; i < 1000; ++i) {
        const std::uint32_t bucket = split_bucket(reference, user(i));
        EXPECT_EQ(split.of_user(i), bucket < 85 ? 0u : bucket < 95 ? 2u : 3u) << user(i);
    }
}

TEST(Experiment, WhenAnArmGrowsNobodyLeavesIt) {
    std::vector<std::size_t> before;
    std::size_t last_share = 0;
    for (const std::uint32_t weight : {0u, 5u, 10u, 25u, 50u, 100u}) {
        const Splitting split({{"v45", 100 - weight}, {"v47", weight}}, experiment());
        std::size_t share = 0;
        for (std::size_t i = 0; i < kUsers; ++i) {
            const std::size_t arm = split.of_user(i);
            if (before.size() == kUsers) {
                ASSERT_GE(arm, before[i]) << user(i);
                before[i] = arm;
            } else {
                before.push_back(arm);
            }
            share += arm;
        }
        EXPECT_GE(share, last_share);
        EXPECT_NEAR(share / double(kUsers), weight / 100.0, 0.015);
        last_share = share;
    }
}

TEST(Experiment, AUserStaysWhateverIsDrawn) {
    const Splitting split({{"v45", 50}, {"v47", 50}}, experiment());
    for (std::size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(split.arm({{"x-user-id", user(i)}}, 0), split.arm({{"x-user-id", user(i)}}, ~0ull));
    }
}

TEST(Experiment, WithoutAKeyTheWeightsAreDrawn) {
    const Splitting split({{"v45", 50}, {"v47", 50}}, experiment());
    for (const Fields& fields : {Fields{}, Fields{{"x-user-id", ""}}}) {
        std::set<std::size_t> arms;
        sl_random random{47};
        for (int i = 0; i < 100; ++i) {
            arms.insert(split.arm(fields, sl_random_next(&random)));
        }
        EXPECT_EQ(arms.size(), 2u);
    }
}

TEST(Experiment, TheKeyIsAHeaderACookieOrAQueryParameter) {
    const std::vector<std::uint32_t> weights{50, 50};
    for (const auto kind :
         {config::HashKey::Kind::kHeader, config::HashKey::Kind::kCookie, config::HashKey::Kind::kQuery}) {
        config::Experiment of = experiment();
        of.key.kind = kind;
        of.key.name = "uid";
        const Splitting split({{"v45", 50}, {"v47", 50}}, of);
        for (int i = 0; i < 50; ++i) {
            const std::string id = "u" + std::to_string(i);
            const std::size_t expected = split_bucket(make_split(of, weights), id) < 50 ? 0 : 1;
            const Fields fields = kind == config::HashKey::Kind::kHeader   ? Fields{{"UID", id}}
                                  : kind == config::HashKey::Kind::kCookie ? Fields{{"Cookie", "a=b; uid=" + id}}
                                                                           : Fields{};
            EXPECT_EQ(split.arm(fields, 0, "/?uid=" + id), expected) << id;
        }
    }
}

// Pearson's chi-squared of draws against weights.
double chi_squared(const std::vector<std::uint32_t>& weights, std::size_t draws) {
    std::vector<Arm> arms;
    double all = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        arms.emplace_back("v" + std::to_string(i), weights[i]);
        all += weights[i];
    }
    Service service;
    service.rule(arms);
    const TablePtr table = build({service.port()});
    const Request request("GET", "/");
    std::vector<std::size_t> counts(weights.size());
    sl_random random{20261121};
    for (std::size_t i = 0; i < draws; ++i) {
        ++counts.at(choose(table->hosts()[0]->rules[0], request.asked, sl_random_next(&random)).value());
    }
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const double expected = draws * weights[i] / all;
        if (weights[i] == 0) {
            EXPECT_EQ(counts[i], 0u);
        } else {
            sum += (counts[i] - expected) * (counts[i] - expected) / expected;
        }
    }
    return sum;
}

// istio-measured 4, 8. Bounds: the 99.9th percentile of chi-squared with one degree of freedom less than there are
// weights above 0; the random words are always the same.
TEST(Choose, SharesAreThoseOfTheWeights) {
    EXPECT_LT(chi_squared({90, 10}, 100'000), 10.83);
    EXPECT_LT(chi_squared({85, 10, 5}, 100'000), 13.82);
    EXPECT_LT(chi_squared({1, 2}, 100'000), 10.83);
    EXPECT_LT(chi_squared({100, 50, 0}, 100'000), 10.83);
    EXPECT_LT(chi_squared({1, 1, 1, 1, 1, 1, 1}, 100'000), 22.46);
}

// istio-measured 4
TEST(Choose, ASingleDestinationGetsEverythingAndNoneIsNone) {
    Service service;
    service.rule({{"v1", 0}});
    HttpRule& answers = service.rule({});
    answers.direct_response.emplace();
    const TablePtr table = build({service.port()});
    const Request request("GET", "/");
    for (const std::uint64_t random : {0ull, 1ull << 63, ~0ull}) {
        EXPECT_EQ(choose(table->hosts()[0]->rules[0], request.asked, random), 0u);
        EXPECT_EQ(choose(table->hosts()[0]->rules[1], request.asked, random), std::nullopt);
    }
}

// istio-measured 9: a destination that is NC is chosen for its share only.
TEST(Choose, AMissingDestinationKeepsItsShare) {
    EXPECT_LT(chi_squared({50, 50}, 1000), 10.83);
    Service service;
    service.rule({{"-", 50}, {"v1", 50}});
    const TablePtr table = build({service.port()});
    const Rule& rule = table->hosts()[0]->rules[0];
    EXPECT_EQ(rule.destinations[0].cluster, nullptr);
    EXPECT_EQ(rule.columns[0].cluster, SL_NONE);
    EXPECT_NE(rule.destinations[1].cluster, nullptr);
}

// istio-measured 7
TEST(Choose, FractionsAreExactAtTheirEnds) {
    EXPECT_FALSE(drawn(0, 0));
    EXPECT_TRUE(drawn(config::kAlways, ~0ull));
    EXPECT_TRUE(drawn(1, 0));
    EXPECT_FALSE(drawn(1, ~0ull / config::kAlways + 1));
    EXPECT_TRUE(drawn(100'000, ~0ull / 10 - 1));
    EXPECT_FALSE(drawn(100'000, ~0ull / 10 + 1'000'000'000));
}

}  // namespace
}  // namespace sluice::proxy::test
