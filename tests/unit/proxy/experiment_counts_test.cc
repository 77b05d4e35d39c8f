// What is counted of arms, and what the exposure log says of a request.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "proxy/experiment_counts.h"
#include "proxy/exposure_line.h"
#include "tests/unit/proxy/experiment_arms.h"
#include "tests/unit/proxy/records.h"

namespace sluice::proxy::test {
namespace {

using telemetry::ExperimentRow;
using testing::ElementsAre;
using testing::Pair;
using testing::SizeIs;

std::vector<ExperimentRow> rows_of(const ExperimentCounts& counts) {
    std::vector<ExperimentRow> out;
    counts.read(out);
    std::ranges::sort(out, {}, &ExperimentRow::arm);
    return out;
}

struct Assignments : ::testing::Test {
    Assignments() {
        config::Experiment of = experiment_with({{"control", "v45", 50}, {"treatment", "v47", 50}});
        of.exposure.emplace();
        arms = std::make_unique<Arms>(of);
        of.exposure->plain = true;
        plain = std::make_unique<Arms>(of);
    }
    // A user of that arm.
    std::string user(std::uint32_t arm) const {
        for (int i = 0;; ++i) {
            std::string one = "user-" + std::to_string(i);
            if (assign(arms->split(), one)->arm == arm) {
                return one;
            }
        }
    }
    Record request(const std::string& key, int status = 200, std::uint32_t flags = 0) {
        name = key;
        Record record = made.record(v47, 1, status, flags);
        record.split = &arms->split();
        record.request_id = "id-1";
        record.attempts = 1;
        if (!key.empty()) {
            assigned = *assign(arms->split(), std::string_view(name));
            record.assigned = &assigned;
            record.arm = assigned.arm;
        }
        return record;
    }
    std::string line(const Record& record) {
        std::string out;
        ExposureLine().write(record, 1'795'233'906'789'000'000, out);
        return out;
    }

    Records made;
    ClusterPtr v47 = made.cluster("v47");
    std::unique_ptr<Arms> arms, plain;
    std::string name;
    Assigned assigned;
};

TEST_F(Assignments, AreCountedByTheArmThatAnswered) {
    ExperimentCounts counts;
    for (int i = 0; i < 3; ++i) {
        counts.finished(request(user(0)));
    }
    counts.finished(request(user(1), 503));
    Record stood_in = request(user(1), 200);
    stood_in.arm = 0;
    counts.finished(stood_in);
    counts.finished(request(""));
    Record other = request("");
    other.split = nullptr;
    counts.finished(other);
    const std::vector<ExperimentRow> rows = rows_of(counts);
    ASSERT_THAT(rows, SizeIs(3));
    EXPECT_EQ(rows[0].arm, telemetry::kNoKeyArm);
    EXPECT_EQ(rows[0].requests, 1u);
    EXPECT_EQ(rows[0].exposures, 0u);
    EXPECT_EQ(rows[1].arm, "control");
    EXPECT_EQ(rows[1].experiment, "trial");
    EXPECT_EQ(rows[1].ns, "ml");
    EXPECT_EQ(rows[1].requests, 4u);
    EXPECT_EQ(rows[1].failed, 0u);
    EXPECT_EQ(rows[1].exposures, 3u) << "exposures are those of the arm that was assigned";
    EXPECT_EQ(rows[1].duration_ns, 4 * 7'000'000u);
    EXPECT_EQ(rows[2].arm, "treatment");
    EXPECT_THAT(rows[2].codes, ElementsAre(Pair(503, 1)));
    EXPECT_EQ(rows[2].failed, 1u);
    EXPECT_EQ(rows[2].exposures, 2u);
    // 7 ms: between 6.3 and 8.
    const double median = telemetry::experiment_quantile(rows[1], 0.5);
    EXPECT_GT(median, 6.3e6);
    EXPECT_LE(median, 8e6);
}

TEST_F(Assignments, FailAsTheEndpointMakesThemNotAsTheClientDoes) {
    const auto failed = [&](int status, Flag flag) { return arm_failed(request(user(0), status, bit(flag))); };
    EXPECT_TRUE(arm_failed(request(user(0), 500)));
    EXPECT_FALSE(arm_failed(request(user(0), 429)));
    EXPECT_TRUE(failed(504, Flag::kUpstreamRequestTimeout));
    EXPECT_TRUE(failed(200, Flag::kUpstreamConnectionTermination)) << "the answer broke off";
    EXPECT_FALSE(failed(0, Flag::kDownstreamConnectionTermination));
    EXPECT_FALSE(failed(200, Flag::kDownstreamConnectionTermination));
}

TEST_F(Assignments, HaveFewCodesAndTheRestIsSummed) {
    ExperimentCounts counts;
    for (int status = 200; status < 300; ++status) {
        counts.finished(request(user(0), status));
        counts.finished(request(user(0), status));
    }
    const std::vector<ExperimentRow> rows = rows_of(counts);
    ASSERT_THAT(rows, SizeIs(1));
    EXPECT_THAT(rows[0].codes, SizeIs(32));
    EXPECT_THAT(rows[0].codes[0], Pair(200, 2));
    EXPECT_EQ(rows[0].other_codes, 200u - 64);
    EXPECT_EQ(rows[0].requests, 200u);
}

TEST_F(Assignments, OfMoreArmsThanThereAreRowsAreSummedUnderOther) {
    ExperimentCounts counts;
    std::size_t asked = 0;
    for (std::size_t i = 0; i < ExperimentCounts::kRowsMax + 100; ++i) {
        Split split = arms->split();
        split.arms[0].id = Identity::of("arm " + std::to_string(i));
        Record record = request(user(0));
        record.split = &split;
        counts.finished(record);
        ++asked;
    }
    const std::vector<ExperimentRow> rows = rows_of(counts);
    EXPECT_THAT(rows, SizeIs(ExperimentCounts::kRowsMax));
    std::uint64_t sum = 0, other = 0;
    for (const ExperimentRow& row : rows) {
        sum += row.requests;
        other += row.experiment == "other" ? row.requests : 0;
    }
    EXPECT_EQ(sum, asked);
    EXPECT_EQ(other, 101u);
}

TEST_F(Assignments, AreReadWhileTheWorkerCounts) {
    constexpr std::uint64_t kRequests = 20'000;
    ExperimentCounts counts;
    std::atomic<bool> done{false};
    std::thread reader([&] {
        std::uint64_t before = 0;
        while (!done) {
            std::uint64_t now = 0;
            for (const ExperimentRow& row : rows_of(counts)) {
                now += row.requests;
            }
            EXPECT_GE(now, before);
            before = now;
        }
    });
    const std::string users[] = {user(0), user(1), ""};
    for (std::uint64_t i = 0; i < kRequests; ++i) {
        counts.finished(request(users[i % 3], 200 + static_cast<int>(i % 40)));
    }
    done = true;
    reader.join();
    std::uint64_t sum = 0;
    for (const ExperimentRow& row : rows_of(counts)) {
        sum += row.requests;
    }
    EXPECT_EQ(sum, kRequests);
}

TEST_F(Assignments, AreWrittenAsTheyWere) {
    const std::string key = user(1);
    const auto row = nlohmann::json::parse(line(request(key, 503)));
    std::string digest;
    for (const std::uint8_t octet : assigned.digest) {
        digest.append({kHexDigits[octet >> 4], kHexDigits[octet & 15]});
    }
    const nlohmann::json expected{{"time", "2026-11-21T04:05:06.789Z"},
                                  {"experiment", "trial"},
                                  {"namespace", "ml"},
                                  {"salt", "salt"},
                                  {"arm", "treatment"},
                                  {"subset", "v47"},
                                  {"bucket", split_bucket(arms->split(), key)},
                                  {"key", digest},
                                  {"hashed", true},
                                  {"request_id", "id-1"},
                                  {"status", 503},
                                  {"duration_ms", 7.0},
                                  {"attempts", 1}};
    EXPECT_EQ(row, expected);
    EXPECT_EQ(std::stoul(digest.substr(0, 8), nullptr, 16) % 100, row["bucket"]);
}

TEST_F(Assignments, KeepTheKeyAsItCameWhereThatIsAsked) {
    for (const auto& [key, shown] : std::vector<std::pair<std::string, std::string>>{
             {"user-7", "user-7"},
             {"a\"b\\c\n", "a\"b\\c\n"},
             {"j\xc3\xb6rg \xf0\x9f\x90\xa7", "j\xc3\xb6rg \xf0\x9f\x90\xa7"},
             {"j\xf6rg", "j\xc3\xb6rg"},  // Latin-1
             {"\xed\xa0\x80", "\xc3\xad\xc2\xa0\xc2\x80"},
             {"\xc0\xaf", "\xc3\x80\xc2\xaf"},
             {"\xe2\x82", "\xc3\xa2\xc2\x82"}}) {
        Record record = request(key);
        record.split = &plain->split();
        const std::string text = line(record);
        const auto row = nlohmann::json::parse(text);
        EXPECT_EQ(row["key"], shown) << text;
        EXPECT_EQ(row["hashed"], false);
        EXPECT_EQ(std::ranges::count(text, '\n'), 1);
    }
}

}  // namespace
}  // namespace sluice::proxy::test
