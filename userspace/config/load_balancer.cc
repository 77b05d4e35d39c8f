#include <array>

#include "config/kinds.h"

namespace sluice::config {

namespace {

constexpr std::uint32_t kDefaultRing = 1024;
constexpr std::uint32_t kLargestRing = 8u << 20;  // Envoy's
constexpr std::uint32_t kDefaultMaglev = 65537;
constexpr std::uint32_t kLargestMaglev = 5'000'011;  // Envoy's, itself too large

bool is_prime(std::uint32_t n) {
    for (std::uint32_t i = 2; i * i <= n; ++i) {
        if (n % i == 0) {
            return false;
        }
    }
    return n > 1;
}

struct Hash {
    LoadBalancer& out;
    int keys = 0;
    int algorithms = 0;
};

void read_ring_size(const Value& value, Hash& hash) {
    const auto size = value.integer(0, kLargestRing);
    if (size && *size > 0) {
        hash.out.table_size = static_cast<std::uint32_t>(*size);
    }
}

constexpr Field<Hash> kRing[] = {{"minimumRingSize", read_ring_size}};
constexpr Field<Hash> kMaglev[] = {
    {"tableSize",
     [](const Value& value, Hash& hash) {
         const auto size = value.integer(2, kLargestMaglev - 1);
         if (size && !is_prime(static_cast<std::uint32_t>(*size))) {
             value.wrong("a prime number below 5000011 is needed, such as 65537");
         } else if (size) {
             hash.out.table_size = static_cast<std::uint32_t>(*size);
         }
     }},
};

void refused_key(const Value& value, Hash& hash) {
    ++hash.keys;
    refused_field(value, "this key is in the request, which needs a request lane; useSourceIp works per connection");
}

constexpr Field<Hash> kHash[] = {
    {"useSourceIp",
     [](const Value& value, Hash& hash) {
         ++hash.keys;
         hash.out.source_ip_hash = value.boolean().value_or(false);
     }},
    {"ringHash",
     [](const Value& value, Hash& hash) {
         ++hash.algorithms;
         hash.out.table_size = kDefaultRing;
         read_fields(value, kRing, hash);
     }},
    {"maglev",
     [](const Value& value, Hash& hash) {
         ++hash.algorithms;
         hash.out.maglev = true;
         hash.out.table_size = kDefaultMaglev;
         read_fields(value, kMaglev, hash);
     }},
    {"minimumRingSize",
     [](const Value& value, Hash& hash) {
         ++hash.algorithms;
         hash.out.table_size = kDefaultRing;
         read_ring_size(value, hash);
         value.warning("is deprecated; write ringHash.minimumRingSize");
     }},
    {"httpHeaderName", refused_key},
    {"httpCookie", refused_key},
    {"httpQueryParameterName", refused_key},
};

void read_consistent_hash(const Value& value, LoadBalancer& out) {
    Hash hash{out};
    if (!read_fields(value, kHash, hash)) {
        return;
    }
    if (hash.keys > 1) {
        value.error_at_key("found " + std::to_string(hash.keys) +
                           " keys; one of useSourceIp, httpHeaderName, httpCookie and httpQueryParameterName is "
                           "allowed");
    }
    if (hash.algorithms > 1) {
        value.error_at_key("found two algorithms; one of ringHash and maglev is allowed");
    }
    if (out.source_ip_hash && out.table_size == 0) {
        out.table_size = kDefaultRing;
    }
    if (!out.source_ip_hash) {  // no key: a random endpoint, as in Istio
        out.simple = SimpleLb::kRandom;
    }
}

void read_simple(const Value& value, LoadBalancer& out) {
    static constexpr std::array<std::string_view, 6> kNames{"LEAST_REQUEST", "ROUND_ROBIN", "RANDOM",
                                                            "LEAST_CONN",    "UNSPECIFIED", "PASSTHROUGH"};
    static constexpr std::array<SimpleLb, 5> kPolicies{SimpleLb::kLeastRequest, SimpleLb::kRoundRobin,
                                                       SimpleLb::kRandom, SimpleLb::kLeastRequest,
                                                       SimpleLb::kLeastRequest};
    const auto index = value.one_of(kNames);
    if (index && *index < kPolicies.size()) {
        out.simple = kPolicies[*index];
    } else if (index) {
        value.wrong(
            "PASSTHROUGH is a known Istio value that is not supported yet; allowed: LEAST_REQUEST, "
            "ROUND_ROBIN, RANDOM, LEAST_CONN, UNSPECIFIED");
    }
}

constexpr Field<LoadBalancer> kLoadBalancer[] = {
    {"simple", read_simple},
    {"consistentHash", read_consistent_hash},
    {"localityLbSetting", nullptr, "endpoints have no locality; all are used alike"},
    {"warmup", nullptr, "a slow start needs weights per endpoint"},
    {"warmupDurationSecs", nullptr, "a slow start needs weights per endpoint"},
};

}  // namespace

void read_load_balancer(const Value& value, std::optional<LoadBalancer>& out) {
    LoadBalancer& balancer = out.emplace();
    if (read_fields(value, kLoadBalancer, balancer) && value.has("simple") && value.has("consistentHash")) {
        value.error_at_key("found both simple and consistentHash; one of them is allowed");
    }
}

}  // namespace sluice::config
