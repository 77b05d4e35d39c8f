// The policy of our own: a split of a rule that keeps each user with a version.
#include <algorithm>
#include <array>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr std::size_t kLongestName = 253;
constexpr std::int64_t kMostBuckets = 1'000'000;
constexpr std::size_t kMostArms = 100;

struct Reader {
    Experiment& out;
    int keys = 0;
};

template <void (*Read)(const Value&, HashKey&)>
void key(const Value& value, Reader& reader) {
    ++reader.keys;
    Read(value, reader.out.key);
}

constexpr const char* kNoCookieSet = "an experiment reads the cookie and never sets one; only name is allowed";
constexpr Field<HashKey> kCookie[] = {
    {"name", read_cookie_name},
    {"path", nullptr, kNoCookieSet},
    {"ttl", nullptr, kNoCookieSet},
    {"attributes", nullptr, kNoCookieSet},
};

void read_cookie(const Value& value, HashKey& out) {
    out.kind = HashKey::Kind::kCookie;
    if (read_fields(value, kCookie, out) && !value.has("name")) {
        value.missing("name", "the cookie's name");
    }
}

void read_name(const Value& value, Reader& reader) {
    const auto name = value.nonempty();
    if (name && (name->size() > kLongestName ||
                 std::ranges::any_of(*name, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))) {
        value.wrong("a text of at most " + std::to_string(kLongestName) +
                    " bytes without control characters is needed");
    }
    reader.out.name = name.value_or("");
}

constexpr Field<Experiment::Arm> kArm[] = {
    {"name",
     [](const Value& value, Experiment::Arm& arm) {
         const auto name = value.nonempty();
         const std::string problem = name ? check_label_value(*name) : "";
         if (!problem.empty()) {
             value.wrong(problem);
         }
         arm.name = name.value_or("");
     }},
    {"subset",
     [](const Value& value, Experiment::Arm& arm) {
         const auto subset = value.nonempty();
         const std::string problem = subset ? check_label(*subset) : "";
         if (!problem.empty()) {
             value.wrong(problem);
         }
         arm.subset = subset.value_or("");
     }},
    {"weight", [](const Value& value, Experiment::Arm& arm) { arm.weight = value.u32().value_or(1); }},
};

void read_arms(const Value& list, Reader& reader) {
    std::vector<Experiment::Arm>& arms = reader.out.arms;
    const std::size_t problems = list.scope().report.errors();
    std::uint64_t sum = 0;
    read_list(list, kMostArms, [&](const Value& value) {
        Experiment::Arm arm;
        arm.place = value.place();
        if (!read_fields(value, kArm, arm)) {
            return;
        }
        for (const std::string_view field : {"subset", "weight"}) {
            if (!value.has(field)) {
                value.missing(field,
                              field == "subset" ? "of a destination of the rule" : "the arm's part of all weights");
            }
        }
        if (arm.name.empty()) {
            arm.name = arm.subset;
        }
        if (std::ranges::any_of(arms, [&](const Experiment::Arm& other) { return other.name == arm.name; })) {
            value.error("an arm before this one has the name " + arm.name + " too; give each a name of its own");
        }
        sum += arm.weight;
        arms.push_back(std::move(arm));
    });
    if (list.scope().report.errors() != problems) {
        return;
    }
    if (arms.size() < 2) {
        list.error("found " + std::to_string(arms.size()) +
                   " arms; at least two are needed, or none to split by the weights of the rule");
    } else if (sum == 0 || sum > 0xffffffff) {
        list.error("found weights that add up to " + std::to_string(sum) + "; a sum from 1 to 4294967295 is needed");
    }
}

constexpr Field<Experiment::Exposure> kExposure[] = {
    {"percentage",
     [](const Value& value, Experiment::Exposure& out) {
         const auto percent = value.number(0, 100);
         out.share = static_cast<std::uint32_t>(percent.value_or(100) * 10'000 + 0.5);
         if (percent && out.share == 0) {
             value.wrong("a number from 0.0001 to 100 is needed; leave exposure out to log nothing");
         }
     }},
    {"key",
     [](const Value& value, Experiment::Exposure& out) {
         static constexpr std::array<std::string_view, 2> kNames{"hash", "plain"};
         out.plain = value.one_of(kNames) == 1;
     }},
};

constexpr Field<Reader> kExperiment[] = {
    {"host",
     [](const Value& value, Reader& reader) {
         const auto host = value.nonempty();
         const std::string problem = host ? check_host(*host) : "";
         if (!problem.empty()) {
             value.wrong(problem);
         }
         reader.out.host = host.value_or("");
         reader.out.host_place = value.place();
     }},
    {"route",
     [](const Value& value, Reader& reader) {
         reader.out.route = value.nonempty().value_or("");
         reader.out.route_place = value.place();
     }},
    {"experiment", read_name},
    {"buckets",
     [](const Value& value, Reader& reader) {
         reader.out.buckets = static_cast<std::uint32_t>(value.integer(1, kMostBuckets).value_or(1));
     }},
    {"arms", read_arms},
    {"exposure",
     [](const Value& value, Reader& reader) {
         reader.out.exposure = Experiment::Exposure{};
         read_fields(value, kExposure, *reader.out.exposure);
     }},
    {"httpHeaderName", key<read_header_key>},
    {"httpCookie", key<read_cookie>},
    {"httpQueryParameterName", key<read_query_key>},
};

}  // namespace

void read_experiment(const Value& spec, const Metadata& meta, Experiment& out) {
    out.name = meta.name;
    out.place = spec.key_place();
    Reader reader{out};
    if (!read_fields(spec, kExperiment, reader)) {
        return;
    }
    if (!spec.has("host")) {
        spec.missing("host", "the host of the VirtualService whose rule is split");
    }
    if (reader.keys == 0) {
        spec.missing("httpHeaderName", "one of httpHeaderName, httpCookie and httpQueryParameterName is needed");
    } else if (reader.keys > 1) {
        spec.error_at_key("found " + std::to_string(reader.keys) +
                          " keys; one of httpHeaderName, httpCookie and httpQueryParameterName is allowed");
    }
}

}  // namespace sluice::config
