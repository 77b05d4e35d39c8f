#include "verify/overlap.h"

#include <algorithm>

namespace sluice::verify {

using config::HttpMatch;
using config::NamedMatch;
using config::StringMatch;
using Kind = StringMatch::Kind;

namespace {

bool equal(const StringMatch& a, const StringMatch& b) {
    return a.kind == b.kind && a.text == b.text;
}

bool covers(const StringMatch& outer, const StringMatch& inner) {
    const bool plain = inner.kind == Kind::kExact || inner.kind == Kind::kPrefix;
    return outer.kind == Kind::kPresent || equal(outer, inner) ||
           (outer.kind == Kind::kPrefix && plain && inner.text.starts_with(outer.text));
}

bool disjoint(const StringMatch& a, const StringMatch& b) {
    if (a.kind == Kind::kExact && b.kind == Kind::kExact) {
        return a.text != b.text;
    }
    if (a.kind == Kind::kPrefix && b.kind == Kind::kPrefix) {
        return !a.text.starts_with(b.text) && !b.text.starts_with(a.text);
    }
    if (a.kind == Kind::kPrefix && b.kind == Kind::kExact) {
        return !b.text.starts_with(a.text);
    }
    return a.kind == Kind::kExact && b.kind == Kind::kPrefix && !a.text.starts_with(b.text);
}

bool covers(const std::optional<StringMatch>& outer, const std::optional<StringMatch>& inner) {
    return !outer || (inner && covers(*outer, *inner));
}

bool disjoint(const std::optional<StringMatch>& a, const std::optional<StringMatch>& b) {
    return a && b && disjoint(*a, *b);
}

const NamedMatch* find(const std::vector<NamedMatch>& list, const std::string& name) {
    const auto found = std::ranges::find(list, name, &NamedMatch::name);
    return found == list.end() ? nullptr : &*found;
}

bool cover(const std::vector<NamedMatch>& outer, const std::vector<NamedMatch>& inner) {
    return std::ranges::all_of(outer, [&](const NamedMatch& wanted) {
        return std::ranges::any_of(inner, [&](const NamedMatch& given) {
            return given.name == wanted.name && covers(wanted.match, given.match);
        });
    });
}

// A header that must not be so is asked for in the same words.
bool cover_absence(const std::vector<NamedMatch>& outer, const std::vector<NamedMatch>& inner) {
    return std::ranges::all_of(outer, [&](const NamedMatch& wanted) {
        return std::ranges::any_of(inner, [&](const NamedMatch& given) {
            return given.name == wanted.name && (equal(given.match, wanted.match) || covers(given.match, wanted.match));
        });
    });
}

bool disjoint(const std::vector<NamedMatch>& a, const std::vector<NamedMatch>& b) {
    return std::ranges::any_of(a, [&](const NamedMatch& one) {
        const NamedMatch* other = find(b, one.name);
        return other != nullptr && disjoint(one.match, other->match);
    });
}

// `wanted` asks for a value that `unwanted` forbids.
bool contradict(const std::vector<NamedMatch>& wanted, const std::vector<NamedMatch>& unwanted) {
    return std::ranges::any_of(wanted, [&](const NamedMatch& one) {
        const NamedMatch* other = find(unwanted, one.name);
        return other != nullptr && covers(other->match, one.match);
    });
}

const config::Labels& labels_of(const HttpMatch& match) {
    static const config::Labels none;
    return match.gateways_given ? none : match.source_labels;
}

bool asks_path(const HttpMatch& match) {
    return match.uri && !every_path(*match.uri);
}

bool path_covers(const HttpMatch& outer, const HttpMatch& inner) {
    if (!asks_path(outer)) {
        return true;
    }
    // Without regard to case the texts would have to be folded; only equal words are taken for covered.
    if (outer.ignore_uri_case || inner.ignore_uri_case) {
        return inner.uri && equal(*outer.uri, *inner.uri) && outer.ignore_uri_case;
    }
    return inner.uri && covers(*outer.uri, *inner.uri);
}

}  // namespace

bool covers(const HttpMatch& outer, const HttpMatch& inner) {
    const config::Labels& given = labels_of(inner);
    const bool labels = std::ranges::all_of(labels_of(outer), [&](const auto& label) {
        const auto found = given.find(label.first);
        return found != given.end() && found->second == label.second;
    });
    return labels && path_covers(outer, inner) && covers(outer.method, inner.method) &&
           covers(outer.scheme, inner.scheme) && covers(outer.authority, inner.authority) &&
           cover(outer.headers, inner.headers) && cover_absence(outer.without_headers, inner.without_headers) &&
           cover(outer.query, inner.query);
}

bool disjoint(const HttpMatch& a, const HttpMatch& b) {
    const config::Labels& others = labels_of(b);
    const bool labels = std::ranges::any_of(labels_of(a), [&](const auto& label) {
        const auto found = others.find(label.first);
        return found != others.end() && found->second != label.second;
    });
    const bool paths = !a.ignore_uri_case && !b.ignore_uri_case && disjoint(a.uri, b.uri);
    return labels || paths || disjoint(a.method, b.method) || disjoint(a.scheme, b.scheme) ||
           disjoint(a.authority, b.authority) || disjoint(a.headers, b.headers) || disjoint(a.query, b.query) ||
           contradict(a.headers, b.without_headers) || contradict(b.headers, a.without_headers);
}

}  // namespace sluice::verify
