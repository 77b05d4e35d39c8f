#include "rollout/controller_records.h"

#include <algorithm>
#include <iterator>

#include "rollout/state_json.h"

namespace sluice::rollout {

bool active(const State& state) {
    return running(state.phase) || state.phase == Phase::kPaused || state.moving;
}

Result<std::vector<Record>> StoreRecords::load() {
    auto rows = store_.canaries();
    if (!rows) {
        return std::unexpected(rows.error());
    }
    std::vector<Record> out;
    for (const state::CanaryRow& row : *rows) {
        auto state = from_json(row.state);
        if (!state) {
            return std::unexpected(std::move(state.error()).within("Canary " + row.ns + "/" + row.name));
        }
        out.push_back({{config::Kind::kCanary, row.ns, row.name}, std::move(*state)});
    }
    return out;
}

Result<> StoreRecords::save(const config::ObjectKey& key, const State& state, std::span<const Step> steps) {
    std::vector<state::CanaryStep> rows;
    std::ranges::transform(steps, std::back_inserter(rows), to_row);
    return store_.save_canary({key.ns, key.name, active(state), to_json(state)}, rows);
}

Result<std::vector<Step>> StoreRecords::steps(const config::ObjectKey& key, std::size_t limit) {
    auto rows = store_.canary_steps(key.ns, key.name, limit);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    std::vector<Step> out;
    std::ranges::transform(*rows, std::back_inserter(out), from_row);
    return out;
}

}  // namespace sluice::rollout
