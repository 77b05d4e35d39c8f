// The policy of our own: a split of a rule that keeps each user with a version.
#include <algorithm>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr std::size_t kLongestName = 253;
constexpr std::int64_t kMostBuckets = 1'000'000;

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
