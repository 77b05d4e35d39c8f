#include <memory>
#include <string>

#include "made_reading.h"
#include "telemetry/series.h"
#include "telemetry/text.h"

namespace sluice::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(SeriesBook, GivesPlacesBackWhenSeriesAreGone) {
    SeriesBook book(2);
    book.begin_scrape();
    EXPECT_TRUE(book.admit(1, Kind::kCounter, 1, 10));
    EXPECT_TRUE(book.admit(2, Kind::kCounter, 1, 10));
    EXPECT_FALSE(book.admit(3, Kind::kCounter, 1, 10));
    book.end_scrape();
    EXPECT_EQ(book.size(), 2u);
    EXPECT_EQ(book.overflow_total(), 1u);
    book.begin_scrape();
    EXPECT_TRUE(book.admit(1, Kind::kCounter, 1, 10));
    EXPECT_FALSE(book.admit(3, Kind::kCounter, 1, 10));  // sticky while it is shown
    book.end_scrape();
    EXPECT_EQ(book.size(), 1u);
    EXPECT_EQ(book.overflow_total(), 1u);
    book.begin_scrape();
    EXPECT_TRUE(book.admit(4, Kind::kCounter, 1, 10));
    EXPECT_FALSE(book.admit(5, Kind::kCounter, 2, 10));
}

TEST(SeriesBook, HistogramsLeaveAQuarterToTheOthers) {
    SeriesBook book(100);
    book.begin_scrape();
    for (std::uint64_t i = 0; i < 10; ++i) {
        EXPECT_EQ(book.admit(i, Kind::kHistogram, 25, 1), i < 3) << i;
    }
    for (std::uint64_t i = 10; i < 50; ++i) {
        EXPECT_EQ(book.admit(i, Kind::kCounter, 1, 1), i < 35) << i;
    }
    book.end_scrape();
    // What histograms give back they may take again.
    book.begin_scrape();
    book.end_scrape();
    EXPECT_EQ(book.size(), 0u);
    book.begin_scrape();
    EXPECT_TRUE(book.admit(7, Kind::kHistogram, 75, 1));
    EXPECT_FALSE(book.admit(8, Kind::kHistogram, 1, 1));
}

TEST(SeriesBook, BytesAreBoundedToo) {
    SeriesBook book(100, 1000);
    book.begin_scrape();
    EXPECT_TRUE(book.admit(1, Kind::kCounter, 1, 900));
    EXPECT_FALSE(book.admit(2, Kind::kCounter, 1, 200));
    EXPECT_TRUE(book.admit(3, Kind::kCounter, 1, 100));
}

TEST(Family, WritesEachKindAsPrometheusReadsIt) {
    SeriesBook book;
    std::string out;
    const std::vector<std::string> labels{"a", "b"};
    const std::array<std::string_view, 2> values{"x", "y\"\\\n"};
    Family counter(book, "c_total", "What\nit \\ counts.", Kind::kCounter, labels);
    counter.add(values, 1);
    counter.add(values, 0.5);
    std::move(counter).write(out);
    EXPECT_EQ(out,
              "# HELP c_total What\\nit \\\\ counts.\n# TYPE c_total counter\n"
              "c_total{a=\"x\",b=\"y\\\"\\\\\\n\"} 1.5\n");

    out.clear();
    Family histogram(book, "h", "Help.", Kind::kHistogram, std::vector<std::string>{"a"});
    const std::array<__u64, 3> counts{1, 0, 2};
    const std::array<double, 2> bounds{0.5, 1'000'000};
    histogram.add_histogram(std::array<std::string_view, 1>{"x"}, bounds, counts, 7.25);
    histogram.add_histogram(std::array<std::string_view, 1>{"x"}, bounds, counts, 1);
    std::move(histogram).write(out);
    EXPECT_EQ(out,
              "# HELP h Help.\n# TYPE h histogram\n"
              "h_bucket{a=\"x\",le=\"0.5\"} 2\nh_bucket{a=\"x\",le=\"1000000\"} 2\nh_bucket{a=\"x\",le=\"+Inf\"} 6\n"
              "h_sum{a=\"x\"} 8.25\nh_count{a=\"x\"} 6\n");

    out.clear();
    Family summary(book, "s", "Help.", Kind::kSummary, {});
    summary.add_summary({}, 3, 0.25);
    std::move(summary).write(out);
    EXPECT_EQ(out, "# HELP s Help.\n# TYPE s summary\ns_sum 0.25\ns_count 3\n");

    out.clear();
    Family(book, "nothing", "Help.", Kind::kGauge, {}).write(out);
    EXPECT_EQ(out, "");
}

TEST(Text, NumbersReadBackAsWhatTheyWere) {
    auto text = [](double value) {
        std::string out;
        append_number(out, value);
        return out;
    };
    EXPECT_EQ(text(0), "0");
    EXPECT_EQ(text(-12), "-12");
    EXPECT_EQ(text(3600000), "3600000");
    EXPECT_EQ(text(9007199254740991), "9007199254740991");
    EXPECT_EQ(text(0.1), "0.1");
    EXPECT_EQ(text(0.0005), "0.0005");
    EXPECT_EQ(text(1.6e-5), "1.6e-05");
    EXPECT_EQ(text(1e20), "100000000000000000000");
    EXPECT_EQ(text(1e21), "1e+21");
    EXPECT_EQ(std::stod(text(1.7976931348623157e308)), 1.7976931348623157e308);
    EXPECT_EQ(std::stod(text(1.8e19)), 1.8e19);
    EXPECT_EQ(std::stod(text(0.1 + 0.2)), 0.1 + 0.2);
    EXPECT_EQ(text(INFINITY), "+Inf");
    EXPECT_EQ(text(-INFINITY), "-Inf");
    EXPECT_EQ(text(NAN), "NaN");
}

// 40 client workloads that ask one service.
class Crowd : public ReadingTest {
  protected:
    static constexpr std::uint32_t kClients = 40;
    Crowd() {
        for (std::uint32_t i = 0; i < kClients; ++i) {
            auto made = std::make_shared<model::Workload>(*reading.names.workloads[1]);
            made->name = "feed-" + std::to_string(i);
            reading.names.workloads.push_back(made);
        }
    }
    // Lines that a scrape takes when nobody has asked anything.
    std::size_t own() {
        SeriesBook book;
        book.begin_scrape();
        std::string out;
        build_family(book, reading, out);
        agent_families(book, reading, out);
        drain_families(book, reading, out);
        return book.size();
    }
    static double sum(const std::map<std::string, double>& rows) {
        double all = 0;
        for (const auto& [labels, value] : rows) {
            all += value;
        }
        return all;
    }
};

TEST_F(Crowd, PastTheBoundSeriesAreSummedAsOther) {
    for (std::uint32_t i = 0; i < kClients; ++i) {
        flow(3 + i, 0, 2, SL_REASON_CANCELLED).opened = 1;
    }
    Exposition bounded(SeriesBook(own() + 10));
    const std::string first = bounded.text(reading);
    const auto opened = series(first, "istio_tcp_connections_opened_total");
    EXPECT_THAT(family(first, "istio_tcp_connections_opened_total"), HasSubstr("source_workload=\"other\""));
    EXPECT_EQ(sum(opened), kClients) << "nothing is lost";
    EXPECT_LE(opened.size(), 10u);
    EXPECT_THAT(first, Not(HasSubstr("sluice_metric_series_overflow_total 0\n")));
    // The same series have the same places next time.
    EXPECT_EQ(series(bounded.text(reading), "istio_tcp_connections_opened_total"), opened);
}

TEST_F(Crowd, BucketsNeverTakeThePlacesOfCounters) {
    const std::size_t limit = own() + 400;
    Exposition bounded{SeriesBook(limit)};
    // Histograms of the first clients fill their share in the first scrape...
    for (std::uint32_t i = 0; i < kClients / 2; ++i) {
        request(3 + i, 0, 2, 200).requests = 1;
    }
    const std::string first = bounded.text(reading);
    EXPECT_THAT(family(first, "istio_request_duration_milliseconds_count"), HasSubstr("source_workload=\"other\""));
    // ...and clients that come later find places for their counters all the same.
    for (std::uint32_t i = kClients / 2; i < kClients; ++i) {
        request(3 + i, 0, 2, 200).requests = 1;
    }
    const auto counted = series(bounded.text(reading), "istio_requests_total");
    EXPECT_EQ(counted.size(), kClients);
    EXPECT_EQ(sum(counted), kClients);
}

TEST_F(Crowd, ManyEndpointsWithLongNamesStayWithinTheBounds) {
    constexpr std::uint32_t kEndpoints = 2'000;
    const std::string long_name(253, 'n');
    for (std::uint32_t i = 0; i < kEndpoints; ++i) {
        auto made = std::make_shared<model::Workload>(*reading.names.workloads[2]);
        made->name = long_name + std::to_string(i);
        made->app = made->canonical_service = long_name;
        reading.names.workloads.push_back(made);
        const std::uint32_t number = static_cast<std::uint32_t>(reading.names.workloads.size() - 1);
        request(1, 0, number, 200).requests = 1;
        flow(1, 0, number, SL_REASON_ESTABLISHED).opened = 1;
    }
    const std::string out = text();
    EXPECT_LT(out.size(), 30'000'000u);
    EXPECT_LE(std::ranges::count(out, '\n'), 21'000);
    EXPECT_EQ(sum(series(out, "istio_requests_total")), kEndpoints);
    EXPECT_EQ(sum(series(out, "istio_request_duration_milliseconds_count")), 0) << "no buckets were counted";
    EXPECT_THAT(out, Not(HasSubstr("sluice_metric_series_overflow_total 0\n")));
}

}  // namespace
}  // namespace sluice::telemetry
