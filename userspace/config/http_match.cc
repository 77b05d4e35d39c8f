#include <algorithm>
#include <array>

#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

struct StringMatchReader {
    StringMatch out;
    bool empty_prefix = false;
    int ways = 0;

    void take(StringMatch::Kind kind, const Value& value, std::string_view text) {
        ++ways;
        out = {kind, std::string(text), value.place()};
    }
};

constexpr Field<StringMatchReader> kStringMatch[] = {
    {"exact",
     [](const Value& value, StringMatchReader& match) {
         match.take(StringMatch::Kind::kExact, value, value.string().value_or(""));
     }},
    {"prefix",
     [](const Value& value, StringMatchReader& match) {
         const auto text = match.empty_prefix ? value.string() : value.nonempty();
         match.take(StringMatch::Kind::kPrefix, value, text.value_or(""));
     }},
    {"regex", [](const Value& value,
                 StringMatchReader& match) { match.take(StringMatch::Kind::kRegex, value, read_regex(value)); }},
};

// {exact | prefix | regex}.
StringMatch read_string_match(const Value& value, bool empty_prefix) {
    StringMatchReader match{.out = {}, .empty_prefix = empty_prefix};
    const std::size_t problems = value.scope().report.errors();
    if (read_fields(value, kStringMatch, match) && match.ways != 1 && value.scope().report.errors() == problems) {
        value.wrong("one of exact, prefix and regex is needed");
    }
    return std::move(match.out);
}

// Which part of a request a map of matches is about: what its keys may be.
enum class Keys { kHeader, kQuery };

std::string check_key(Keys of, std::string_view key) {
    if (of == Keys::kQuery) {
        return key.empty() ? "a query parameter has a name" : "";
    }
    static constexpr std::array<std::string_view, 4> kPseudo{":authority", ":method", ":path", ":scheme"};
    if (key.starts_with(':') && std::ranges::find(kPseudo, key) == kPseudo.end()) {
        return "allowed of what begins with ':': :authority, :method, :path, :scheme";
    }
    return check_header_name(key, true);
}

template <Keys Of>
void read_matches(const Value& map, std::vector<NamedMatch>& out) {
    static constexpr std::array<std::string_view, 4> kOwnFields{"uri", "scheme", "method", "authority"};
    if (!map.expect_map()) {
        return;
    }
    map.each_field([&](const Value& value) {
        const std::string_view key = value.key();
        if (key.starts_with("@request.auth.")) {
            value.error_at_key("matching JWT claims is not supported yet");
            return;
        }
        std::string problem = check_key(Of, key);
        if (!problem.empty()) {
            value.error_at_key(std::move(problem));
        }
        NamedMatch named{Of == Keys::kHeader ? lower_case(key) : std::string(key), {}};
        named.match.place = value.key_place();
        // null, {} and the regex "*": present, whatever its value.
        if (!value.is_null() && !(value.is_map() && value.is_empty())) {
            named.match = read_string_match(value, false);
            if (named.match.kind == StringMatch::Kind::kRegex && named.match.text == "*") {
                named.match = {StringMatch::Kind::kPresent, {}, named.match.place};
            }
        }
        if (Of == Keys::kHeader && std::ranges::find(kOwnFields, key) != kOwnFields.end()) {
            value.warning("is ignored, as in Istio: it is a field of the match, not of its headers");
            return;
        }
        out.push_back(std::move(named));
    });
}

constexpr Field<HttpMatch> kMatch[] = {
    {"name", [](const Value& value, HttpMatch& out) { out.name = value.string().value_or(""); }},
    {"uri", [](const Value& value, HttpMatch& out) { out.uri = read_string_match(value, true); }},
    {"scheme", [](const Value& value, HttpMatch& out) { out.scheme = read_string_match(value, false); }},
    {"method", [](const Value& value, HttpMatch& out) { out.method = read_string_match(value, false); }},
    {"authority", [](const Value& value, HttpMatch& out) { out.authority = read_string_match(value, false); }},
    {"headers", [](const Value& value, HttpMatch& out) { read_matches<Keys::kHeader>(value, out.headers); }},
    {"withoutHeaders",
     [](const Value& value, HttpMatch& out) { read_matches<Keys::kHeader>(value, out.without_headers); }},
    {"queryParams", [](const Value& value, HttpMatch& out) { read_matches<Keys::kQuery>(value, out.query); }},
    {"port", [](const Value& value, HttpMatch& out) { out.port = value.port().value_or(0); }},
    {"sourceLabels", [](const Value& value, HttpMatch& out) { read_labels(value, out.source_labels); }},
    {"gateways",
     [](const Value& value, HttpMatch& out) { read_match_gateways(value, out.gateways_given, out.gateways_mesh); }},
    {"sourceNamespace", [](const Value& value, HttpMatch& out) { out.source_namespace = read_match_namespace(value); }},
    {"ignoreUriCase",
     [](const Value& value, HttpMatch& out) { out.ignore_uri_case = value.boolean().value_or(false); }},
    {"statPrefix", nullptr, "metrics have one set of labels for all rules; give the match a name for the access log"},
};

bool catches_all(const HttpMatch& match) {
    const bool any_client =
        match.port == 0 &&
        (match.gateways_given ? match.gateways_mesh : match.source_labels.empty() && match.source_namespace.empty());
    if (!any_client || match.scheme || match.method || match.authority || !match.headers.empty() ||
        !match.without_headers.empty() || !match.query.empty()) {
        return false;
    }
    return !match.uri || every_path(*match.uri);
}

}  // namespace

std::string lower_case(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return out;
}

void read_http_matches(const Value& list, std::vector<HttpMatch>& out) {
    read_list(list, [&](const Value& value) {
        HttpMatch match;
        match.place = value.place();
        if (read_fields(value, kMatch, match) && value.is_empty()) {
            value.wrong("a match says at least one thing; leave match out to match everything");
        }
        out.push_back(std::move(match));
    });
}

std::string_view read_regex(const Value& value) {
    constexpr std::size_t kLongest = 1024;  // Istio's
    const auto regex = value.nonempty();
    if (regex && regex->size() > kLongest) {
        value.wrong("a regular expression has at most " + std::to_string(kLongest) + " characters");
    }
    return regex.value_or("");
}

bool every_path(const StringMatch& uri) {
    return uri.kind == StringMatch::Kind::kPrefix  ? uri.text.empty() || uri.text == "/"
           : uri.kind == StringMatch::Kind::kRegex ? uri.text == ".*" || uri.text == "/.*"
                                                   : false;
}

bool catches_all(const WeightedRule& rule) {
    if (!rule.http) {
        return rule.needs_request_lane.empty();
    }
    const auto& matches = rule.http->matches;
    return matches.empty() || std::ranges::any_of(matches, [](const HttpMatch& match) { return catches_all(match); });
}

}  // namespace sluice::config
