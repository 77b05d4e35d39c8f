#include "proxy/experiment_counts.h"

#include "proxy/replies.h"

namespace sluice::proxy {

namespace {

// One writer: a plain addition that readers see whole.
void add(std::uint64_t& word, std::uint64_t value) {
    __atomic_store_n(&word, word + value, __ATOMIC_RELAXED);
}

std::uint64_t read_word(const std::uint64_t& word) {
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
}

const Identity kOther = Identity::of("experiment other");

}  // namespace

bool arm_failed(const Record& record) {
    constexpr std::uint32_t kEndpoint = bit(Flag::kUpstreamConnectionFailure) |
                                        bit(Flag::kUpstreamConnectionTermination) | bit(Flag::kUpstreamProtocolError) |
                                        bit(Flag::kUpstreamRequestTimeout) | bit(Flag::kStreamIdleTimeout);
    return record.status >= 500 || (record.flags & kEndpoint) != 0;
}

bool exposed(const Record& record) {
    return record.assigned != nullptr && record.split->exposure &&
           record.assigned->sampled(record.split->exposure->share);
}

ExperimentCounts::Row& ExperimentCounts::row(const Split& split, const Identity& id, std::string_view arm) {
    const bool other = id == kOther;
    for (std::uint64_t at = id.lo;; ++at) {
        Row*& known = rows_at_[at % rows_at_.size()];
        if (known != nullptr && known->id == id) {
            return *known;
        }
        if (known != nullptr) {
            continue;
        }
        if (!other && rows_.size() + 1 >= kRowsMax) {
            return row(split, kOther, arm);
        }
        Row made;
        made.id = id;
        made.experiment = other ? "other" : split.experiment;
        made.ns = other ? "other" : split.ns;
        made.arm = other ? "other" : arm;
        known = &rows_.push(std::move(made));
        return *known;
    }
}

void ExperimentCounts::count_code(Row& row, int status) {
    for (Code& code : row.codes) {
        if (code.count == 0) {
            // Who sees the count sees the status too.
            __atomic_store_n(&code.status, static_cast<std::uint64_t>(status), __ATOMIC_RELAXED);
            __atomic_store_n(&code.count, 1, __ATOMIC_RELEASE);
            return;
        }
        if (code.status == static_cast<std::uint64_t>(status)) {
            add(code.count, 1);
            return;
        }
    }
    add(row.other_codes, 1);
}

void ExperimentCounts::finished(const Record& record) {
    if (record.split == nullptr) {
        return;
    }
    const Split& split = *record.split;
    const Split::Arm* answered = record.assigned == nullptr ? nullptr : &split.arms[record.arm];
    Row& counted =
        answered == nullptr ? row(split, split.no_key, telemetry::kNoKeyArm) : row(split, answered->id, answered->name);
    const std::uint64_t duration = record.ended_ns - record.started_ns;
    add(counted.requests, 1);
    add(counted.duration_ns, duration);
    add(counted.duration[telemetry::experiment_bucket(duration)], 1);
    add(counted.failed, arm_failed(record) ? 1 : 0);
    count_code(counted, record.status);
    if (exposed(record)) {
        const Split::Arm& assigned = split.arms[record.assigned->arm];
        add(&assigned == answered ? counted.exposures : row(split, assigned.id, assigned.name).exposures, 1);
    }
}

void ExperimentCounts::read(std::vector<telemetry::ExperimentRow>& out) const {
    const std::size_t size = rows_.size();
    for (std::size_t i = 0; i < size; ++i) {
        const Row& row = rows_[i];
        telemetry::ExperimentRow& shown = out.emplace_back();
        shown.experiment = row.experiment;
        shown.ns = row.ns;
        shown.arm = row.arm;
        shown.requests = read_word(row.requests);
        shown.failed = read_word(row.failed);
        shown.exposures = read_word(row.exposures);
        shown.duration_ns = read_word(row.duration_ns);
        shown.other_codes = read_word(row.other_codes);
        for (std::size_t bucket = 0; bucket < row.duration.size(); ++bucket) {
            shown.duration[bucket] = read_word(row.duration[bucket]);
        }
        for (const Code& code : row.codes) {
            const std::uint64_t count = __atomic_load_n(&code.count, __ATOMIC_ACQUIRE);
            if (count != 0) {
                shown.codes.emplace_back(static_cast<std::uint16_t>(read_word(code.status)), count);
            }
        }
    }
}

}  // namespace sluice::proxy
