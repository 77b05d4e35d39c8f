// Rewrites of paths, and where redirects lead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/http_rule.h"
#include "proxy/match.h"

namespace sluice::proxy {

// rewrite.uri and rewrite.uriRegexRewrite of one element of a rule. Paths without query.
class PathRewrite {
  public:
    // `matched`: the element's uri, null without one. Errors: the regular expression or its replacement.
    static Result<PathRewrite> make(const config::Rewrite& rewrite, const TextMatch* matched);
    explicit operator bool() const { return kind_ != Kind::kNone; }
    // Appends what the path becomes. Allocates nothing but in `out`, except that RE2 may for groups in a replacement.
    void append(std::string_view path, std::string& out) const;

  private:
    enum class Kind : std::uint8_t { kNone, kPrefix, kWhole, kRegex } kind_ = Kind::kNone;
    std::size_t prefix_ = 0;  // how much of the path is replaced
    std::string text_;
    Regex regex_;
    int groups_ = 0;
};

// How much of a path an element's uri matches by prefix, the part that rewrites replace; npos: the whole path.
// Without a uri "/" is the prefix.
std::size_t replaced_prefix(const TextMatch* matched);

// Appends the Location of a redirect. `prefix` as replaced_prefix().
void append_location(const config::Redirect& redirect, const Asked& asked, std::size_t prefix, std::string& out);

}  // namespace sluice::proxy
