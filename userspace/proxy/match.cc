#include "proxy/match.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "proxy/path.h"

namespace sluice::proxy {

using config::StringMatch;

namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

}  // namespace

bool same_text(std::string_view a, std::string_view b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return x == y || lower(x) == lower(y); });
}

void RegexDeleter::operator()(re2::RE2* regex) const {
    delete regex;
}

Result<Regex> make_regex(const std::string& pattern) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kRegexOctets);
    Regex regex(new re2::RE2(pattern, options));
    if (!regex->ok()) {
        return fail(regex->error_code() == re2::RE2::ErrorPatternTooLarge
                        ? "the regular expression needs more than " + std::to_string(kRegexOctets) + " octets"
                        : "not a regular expression of RE2: " + regex->error());
    }
    return regex;
}

bool matches_whole(const re2::RE2& regex, std::string_view value) {
    return regex.Match(re2::StringPiece(value.data(), value.size()), 0, value.size(), re2::RE2::ANCHOR_BOTH, nullptr,
                       0);
}

Result<TextMatch> TextMatch::make(const StringMatch& match, bool ignore_case) {
    TextMatch made;
    made.kind_ = match.kind;
    made.ignore_case_ = ignore_case;
    made.text_ = match.text;
    if (match.kind == StringMatch::Kind::kRegex) {
        Result<Regex> regex = make_regex(match.text);
        if (!regex) {
            return std::unexpected(regex.error());
        }
        made.regex_ = std::move(*regex);
    }
    return made;
}

bool TextMatch::matches(std::string_view value) const {
    switch (kind_) {
        case StringMatch::Kind::kExact:
            return ignore_case_ ? same_text(value, text_) : value == text_;
        case StringMatch::Kind::kPrefix:
            return ignore_case_ ? same_text(value.substr(0, text_.size()), text_) : value.starts_with(text_);
        case StringMatch::Kind::kRegex:
            return matches_whole(*regex_, value);
        case StringMatch::Kind::kPresent:
            return true;
    }
    return false;
}

Result<RequestMatch> RequestMatch::make(const config::HttpMatch& match, Where where, const void* context) {
    RequestMatch made;
    const auto worded = [&](Error error, const config::Place& place, const std::string& field) {
        return std::unexpected(std::move(error).within(where(place, field, context)));
    };
    const struct {
        const std::optional<StringMatch>& from;
        std::unique_ptr<TextMatch>& to;
        const char* field;
    } texts[] = {{match.uri, made.path_, "uri"},
                 {match.scheme, made.scheme_, "scheme"},
                 {match.method, made.method_, "method"},
                 {match.authority, made.authority_, "authority"}};
    for (const auto& text : texts) {
        if (!text.from) {
            continue;
        }
        Result<TextMatch> compiled = TextMatch::make(*text.from, &text.to == &made.path_ && match.ignore_uri_case);
        if (!compiled) {
            return worded(std::move(compiled).error(), text.from->place, text.field);
        }
        text.to = std::make_unique<TextMatch>(std::move(*compiled));
    }
    const struct {
        const std::vector<config::NamedMatch>& from;
        std::vector<Named>& to;
        const char* field;
    } lists[] = {{match.headers, made.headers_, "headers"},
                 {match.without_headers, made.without_headers_, "withoutHeaders"},
                 {match.query, made.query_, "queryParams"}};
    for (const auto& list : lists) {
        for (const config::NamedMatch& named : list.from) {
            Result<TextMatch> compiled = TextMatch::make(named.match, false);
            if (!compiled) {
                return worded(std::move(compiled).error(), named.match.place,
                              std::string(list.field) + "[" + named.name + "]");
            }
            list.to.push_back({named.name, std::move(*compiled)});
        }
    }
    // With `gateways` the client's labels do not count, as in Istio.
    made.labels_ = match.gateways_given ? config::Labels{} : match.source_labels;
    return made;
}

bool RequestMatch::fits(const Client& client) const {
    return std::ranges::all_of(labels_, [&](const auto& label) {
        const auto it = client.labels.find(label.first);
        return it != client.labels.end() && it->second == label.second;
    });
}

// A field sent on several lines matches when one of the lines does, as in current Envoy. `sent`: there is one.
bool RequestMatch::field_matches(const Named& field, const Asked& asked, bool& sent) {
    if (field.name.front() == ':' || field.name == "host") {
        sent = true;
        const std::string_view value = field.name == ":method"   ? asked.head->method
                                       : field.name == ":scheme" ? asked.scheme
                                       : field.name == ":path"   ? asked.path
                                                                 : asked.authority;
        return field.match.matches(value);
    }
    sent = false;
    for (const http::Field& line : asked.head->fields) {
        if (same_text(line.name, field.name)) {
            sent = true;
            if (field.match.matches(line.value)) {
                return true;
            }
        }
    }
    return false;
}

bool RequestMatch::matches(const Asked& asked) const {
    if ((path_ && !path_->matches(asked.path)) || (method_ && !method_->matches(asked.head->method)) ||
        (authority_ && !authority_->matches(asked.authority)) || (scheme_ && !scheme_->matches(asked.scheme))) {
        return false;
    }
    bool sent = false;
    for (const Named& field : headers_) {
        if (!field_matches(field, asked, sent)) {
            return false;
        }
    }
    for (const Named& field : without_headers_) {
        // A missing field is compared as an empty value, unless it is presence that is asked for.
        if (field_matches(field, asked, sent) ||
            (!sent && field.match.kind() != StringMatch::Kind::kPresent && field.match.matches(""))) {
            return false;
        }
    }
    for (const Named& parameter : query_) {
        std::string_view value;
        if (!asked.has_query || !query_parameter(asked.query, parameter.name, value) ||
            !parameter.match.matches(value)) {
            return false;
        }
    }
    return true;
}

}  // namespace sluice::proxy
