// Sticky splits: a user stays with a version, and moving weights only moves the boundary between versions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "config/objects.h"
#include "proxy/table.h"

namespace sluice::proxy {

struct Assigned;

// An Experiment on one rule. The bucket of a key is the number that the first eight hex digits of MD5("KEY:SALT") are,
// modulo `buckets`: assign_ab_bucket() of the text that Sluice was built for, so users who were assigned by such a
// function stay where they were. Arm i has the buckets from ends[i - 1] up to ends[i] =
// floor(buckets * (weights up to i) / (all weights)).
struct Split {
    static constexpr std::uint32_t kNoArm = std::numeric_limits<std::uint32_t>::max();
    struct Arm {
        std::string name;
        std::string subset;             // of its destination; empty: a whole service
        std::uint32_t destination = 0;  // of the rule
        Identity id{};                  // of experiment and arm: what counters go by
    };

    config::HashKey key;
    std::string suffix;  // ":SALT"
    std::uint32_t buckets = 100;
    std::vector<std::uint32_t> ends;  // one an arm
    std::vector<Arm> arms;
    std::vector<std::uint32_t> arm_at;  // by destination: the first arm that it has; kNoArm: none
    std::string experiment, ns;         // metadata of the Experiment
    Identity no_key{};                  // what requests without a key are counted by
    std::optional<config::Experiment::Exposure> exposure;

    // Whose destination that is, for a key that was assigned: the arm of its own, else the first that has it.
    std::uint32_t arm_of(const Assigned& assigned, std::uint32_t destination) const;
    std::string_view salt() const { return std::string_view(suffix).substr(1); }
};

// Keys, buckets and ends; the arms have neither names nor destinations.
Split make_split(const config::Experiment& experiment, std::span<const std::uint32_t> weights);
// That of a rule; null: it is drawn by weight.
std::shared_ptr<const Split> split_of(const model::HttpRoute& route);

// Where a key fell.
struct Assigned {
    std::string_view key;                   // as sent: a view into the request
    std::array<std::uint8_t, 16> digest{};  // MD5("KEY:SALT")
    std::uint32_t bucket = 0;
    std::uint32_t arm = 0;

    // Whether a share of the keys (of a million) has this one: by the hex digits 9 to 16, which the bucket does not
    // use.
    bool sampled(std::uint32_t share) const;
};

std::uint32_t split_bucket(const Split& split, std::string_view key);
// nullopt: no arm has any bucket.
std::optional<Assigned> assign(const Split& split, std::string_view key);
// nullopt: the request has no key, or an empty one, and is drawn by weight.
std::optional<Assigned> assign(const Split& split, const Asked& asked);

}  // namespace sluice::proxy
