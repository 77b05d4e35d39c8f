// Matches of HTTP rules, made ready: texts, regular expressions (RE2, whole values), fields of the request.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/http_rule.h"
#include "proxy/table.h"

namespace re2 {
class RE2;
}

namespace sluice::proxy {

// What one regular expression may take, its states while matching included; a larger one is refused when it is built.
inline constexpr std::size_t kRegexOctets = 1 << 20;

struct RegexDeleter {
    void operator()(re2::RE2* regex) const;
};
using Regex = std::unique_ptr<re2::RE2, RegexDeleter>;
// Errors: RE2's words, without a place.
Result<Regex> make_regex(const std::string& pattern);
bool matches_whole(const re2::RE2& regex, std::string_view value);

// One exact, prefix or regex match, or mere presence.
class TextMatch {
  public:
    // `ignore_case` acts on exact and prefix.
    static Result<TextMatch> make(const config::StringMatch& match, bool ignore_case);
    bool matches(std::string_view value) const;
    config::StringMatch::Kind kind() const { return kind_; }
    const std::string& text() const { return text_; }

  private:
    config::StringMatch::Kind kind_ = config::StringMatch::Kind::kPresent;
    bool ignore_case_ = false;
    std::string text_;
    Regex regex_;
};

// One element of a rule's `match`. All that is given must hold.
class RequestMatch {
  public:
    // `place` words errors: from a value's place and the field's path to the beginning of the message.
    using Where = std::string (*)(const config::Place& place, const std::string& field, const void* context);
    static Result<RequestMatch> make(const config::HttpMatch& match, Where where, const void* context);

    // Whether the client's labels are those that the element asks for.
    bool fits(const Client& client) const;
    // All else. Allocates nothing.
    bool matches(const Asked& asked) const;
    // uri; null: not given.
    const TextMatch* path() const { return path_.get(); }

  private:
    struct Named {
        std::string name;
        TextMatch match;
    };
    static bool field_matches(const Named& field, const Asked& asked, bool& sent);

    std::unique_ptr<TextMatch> path_, scheme_, method_, authority_;
    std::vector<Named> headers_, without_headers_, query_;
    config::Labels labels_;
};

// ASCII letters compare alike in both cases.
bool same_text(std::string_view a, std::string_view b);

}  // namespace sluice::proxy
