#include <array>

#include "config/kinds.h"

namespace sluice::config {

namespace {

constexpr std::uint32_t kDefaultRing = 1024;
constexpr std::uint32_t kLargestRing = 8u << 20;  // Envoy's
constexpr std::uint32_t kDefaultMaglev = 65537;
constexpr std::uint32_t kLargestMaglev = 5'000'011;  // Envoy's, itself too large
constexpr double kMostAggression = 1000;

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

template <void (*Read)(const Value&, HashKey&)>
void key(const Value& value, Hash& hash) {
    ++hash.keys;
    Read(value, hash.out.key.emplace());
    remember_need(value, "this key is in the request, which needs a request lane; useSourceIp works per connection",
                  hash.out.needs_request_lane);
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
    {"httpHeaderName", key<read_header_key>},
    {"httpCookie", key<read_cookie_key>},
    {"httpQueryParameterName", key<read_query_key>},
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
    const bool keyed = out.source_ip_hash || out.key;
    if (keyed && out.table_size == 0) {
        out.table_size = kDefaultRing;
    }
    if (!keyed) {  // a random endpoint, as in Istio
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

void read_warmup_duration(const Value& value, Warmup& out) {
    out.duration = value.duration().value_or(out.duration);
}

constexpr Field<Warmup> kWarmup[] = {
    {"duration", read_warmup_duration},
    {"minimumPercent",
     [](const Value& value, Warmup& out) { out.minimum_percent = value.number(0, 100).value_or(out.minimum_percent); }},
    {"aggression", [](const Value& value,
                      Warmup& out) { out.aggression = value.number(1, kMostAggression).value_or(out.aggression); }},
};

constexpr Field<LoadBalancer> kLoadBalancer[] = {
    {"simple", read_simple},
    {"consistentHash", read_consistent_hash},
    {"localityLbSetting", nullptr, "endpoints have no locality; all are used alike"},
    {"warmup",
     [](const Value& value, LoadBalancer& out) {
         if (read_fields(value, kWarmup, out.warmup.emplace()) && !value.has("duration")) {
             value.missing("duration", "a duration of at least 1ms");
         }
     }},
    {"warmupDurationSecs",
     [](const Value& value, LoadBalancer& out) {
         read_warmup_duration(value, out.warmup.emplace());
         value.warning("is deprecated; write warmup.duration");
     }},
};

// Istio's warm-up acts on weights, which the other policies do not look at.
void check_warmup(const Value& value, LoadBalancer& out) {
    if (value.has("warmup") && value.has("warmupDurationSecs")) {
        value.error_at_key("found both warmup and warmupDurationSecs; one of them is allowed");
    }
    const bool weighs = !value.has("consistentHash") && out.simple != SimpleLb::kRandom;
    value.each_field([&](const Value& field) {
        if ((field.key() != "warmup" && field.key() != "warmupDurationSecs") || field.is_null()) {
            return;
        }
        if (weighs) {
            remember_need(field, "a slow start weighs endpoints for each request, which needs a request lane",
                          out.needs_request_lane);
        } else {
            field.warning("has no effect: only LEAST_REQUEST and ROUND_ROBIN start slowly");
            out.warmup.reset();
        }
    });
}

}  // namespace

void read_load_balancer(const Value& value, std::optional<LoadBalancer>& out) {
    LoadBalancer& balancer = out.emplace();
    balancer.place = value.key_place();
    if (!read_fields(value, kLoadBalancer, balancer)) {
        return;
    }
    if (value.has("simple") && value.has("consistentHash")) {
        value.error_at_key("found both simple and consistentHash; one of them is allowed");
    }
    check_warmup(value, balancer);
}

}  // namespace sluice::config
