// What one worker counts of experiments, arm by arm.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "proxy/append_list.h"
#include "proxy/record.h"
#include "telemetry/experiment.h"
#include "telemetry/reading.h"

namespace sluice::proxy {

// Whether the request was not served by its endpoint's doing: 5xx, or an answer that ended too early. What the client
// gave up on is nobody's failure.
bool arm_failed(const Record& record);
// Whether the exposure log has a line for the request.
bool exposed(const Record& record);

// The worker counts, any other thread reads, as with Counters. Rows are made on first use and stay; past kRowsMax
// requests are counted in one row, `other`.
class ExperimentCounts final : public Recorder {
  public:
    static constexpr std::size_t kRowsMax = 1024;

    ExperimentCounts() : rows_at_(2 * kRowsMax) {}

    void finished(const Record& record) override;
    void tried(const TryRecord&) override {}
    void mirror_skipped(const VirtualHost&, const Cluster*, const char*) override {}
    void refused(const VirtualHost*, const char*) override {}

    // Any thread: adds what was counted so far.
    void read(std::vector<telemetry::ExperimentRow>& out) const;

  private:
    static constexpr std::size_t kCodes = 32;
    struct Code {
        std::uint64_t status = 0, count = 0;
    };
    struct Row {
        Identity id{};
        std::string experiment{}, ns{}, arm{};
        std::uint64_t requests = 0, failed = 0, exposures = 0, duration_ns = 0, other_codes = 0;
        std::array<std::uint64_t, telemetry::kExperimentBounds.size() + 1> duration{};
        std::array<Code, kCodes> codes{};  // in the order in which they were met
    };
    Row& row(const Split& split, const Identity& id, std::string_view arm);
    static void count_code(Row& row, int status);

    AppendList<Row, kRowsMax> rows_;
    std::vector<Row*> rows_at_;  // open addressing; the worker's alone
};

}  // namespace sluice::proxy
