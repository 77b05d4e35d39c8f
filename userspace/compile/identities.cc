#include "compile/identities.h"

namespace sluice::compile {

Identities::Identities(std::span<sl_identity> table) : table_(table), rows_(table.size()) {
    if (!table_.empty()) {
        rows_.take();  // number 0: unknown workload, all scopes
        states_.resize(1);
    }
}

void Identities::adopt() {
    std::size_t end = table_.empty() ? 0 : 1;
    for (std::size_t i = 1; i < table_.size(); ++i) {
        end = table_[i].in_use != 0 ? i + 1 : end;
    }
    by_id_.clear();
    idle_.clear();
    states_.assign(end, {});
    std::vector<bool> taken(end, false);
    for (std::uint32_t i = 0; i < end; ++i) {
        taken[i] = i == 0 || table_[i].in_use != 0;
        if (i != 0 && taken[i]) {
            by_id_.emplace(Key{table_[i].kind, Identity::from_abi(table_[i].id)}, i);
            retire(i);
        }
    }
    rows_.adopt(taken);
}

std::uint32_t Identities::hold(sl_identity_kind kind, const Identity& id) {
    if (const auto found = by_id_.find({kind, id}); found != by_id_.end()) {
        ++states_[found->second].references;
        return found->second;
    }
    std::uint32_t number = rows_.take();
    while (number == SL_NONE && !idle_.empty()) {
        const std::uint32_t candidate = idle_.front();
        idle_.pop_front();
        states_[candidate].idle_listed = false;
        if (states_[candidate].references == 0) {
            number = candidate;
            by_id_.erase({table_[number].kind, Identity::from_abi(table_[number].id)});
        }
    }
    if (number == SL_NONE) {
        return SL_NONE;
    }
    if (states_.size() <= number) {
        states_.resize(number + 1);
    }
    states_[number].references = 1;
    states_[number].workload = nullptr;
    table_[number].id = id.to_abi();
    table_[number].kind = kind;
    sl_store(&table_[number].in_use, 1u);
    by_id_.emplace(Key{kind, id}, number);
    return number;
}

bool Identities::hold(std::uint32_t number) {
    if (number == 0) {
        return true;
    }
    if (number >= states_.size() || table_[number].in_use == 0) {
        return false;
    }
    ++states_[number].references;
    return true;
}

void Identities::release(std::uint32_t number) {
    if (number != 0 && --states_[number].references == 0) {
        retire(number);
    }
}

void Identities::retire(std::uint32_t number) {
    if (!states_[number].idle_listed) {
        states_[number].idle_listed = true;
        idle_.push_back(number);
    }
}

std::uint32_t Identities::find(sl_identity_kind kind, const Identity& id) const {
    const auto found = by_id_.find({kind, id});
    return found == by_id_.end() ? SL_NONE : found->second;
}

void Identities::name(std::uint32_t number, model::WorkloadPtr workload) {
    states_[number].workload = std::move(workload);
}

model::WorkloadPtr Identities::workload(std::uint32_t number) const {
    return number < states_.size() ? states_[number].workload : nullptr;
}

}  // namespace sluice::compile
