// Where the controller keeps what must survive the agent. Private to this room.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "rollout/machine.h"
#include "state/store.h"

namespace sluice::rollout {

struct Record {
    config::ObjectKey key;
    State state;
};

class Records {
  public:
    virtual ~Records() = default;
    virtual Result<std::vector<Record>> load() = 0;
    // The state and the steps that led to it, both or neither; there after any end of the process.
    virtual Result<> save(const config::ObjectKey& key, const State& state, std::span<const Step> steps) = 0;
    virtual Result<std::vector<Step>> steps(const config::ObjectKey& key, std::size_t limit) = 0;
};

// Running, paused, or on the way to an end: it needs its lease, and its rule is watched.
bool active(const State& state);

class StoreRecords : public Records {
  public:
    explicit StoreRecords(state::Store& store) : store_(store) {}  // must outlive it
    Result<std::vector<Record>> load() override;
    Result<> save(const config::ObjectKey& key, const State& state, std::span<const Step> steps) override;
    Result<std::vector<Step>> steps(const config::ObjectKey& key, std::size_t limit) override;

  private:
    state::Store& store_;
};

}  // namespace sluice::rollout
