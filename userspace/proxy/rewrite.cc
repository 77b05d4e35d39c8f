#include "proxy/rewrite.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>

namespace sluice::proxy {

namespace {

constexpr int kGroupsMax = 9;

// The length of the UTF-8 character at the front: an empty match must not split one.
std::size_t character(std::string_view text) {
    std::size_t size = 1;
    while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) {
        ++size;
    }
    return size;
}

// Every occurrence, as RE2::GlobalReplace, but appended.
void append_replaced(const re2::RE2& regex, const std::string& replacement, int groups, std::string_view path,
                     std::string& out) {
    re2::StringPiece found[1 + kGroupsMax];
    const re2::StringPiece text(path.data(), path.size());
    const char* last_end = nullptr;
    std::size_t at = 0;
    while (at <= path.size() && regex.Match(text, at, path.size(), re2::RE2::UNANCHORED, found, 1 + groups)) {
        const std::size_t begin = found[0].data() - path.data();
        out.append(path.substr(at, begin - at));
        if (found[0].data() == last_end && found[0].empty()) {
            // An empty match right behind the last one does not count.
            const std::size_t size = begin < path.size() ? character(path.substr(begin)) : 1;
            out.append(path.substr(std::min(begin, path.size()), size));
            at = begin + size;
            continue;
        }
        regex.Rewrite(&out, replacement, found, 1 + groups);
        at = begin + found[0].size();
        last_end = path.data() + at;
    }
    if (at < path.size()) {
        out.append(path.substr(at));
    }
}

// The Host without its port where the redirect drops it (Envoy's processRequestHost).
std::string_view kept_host(std::string_view host, std::string_view old_scheme, std::string_view new_scheme,
                           bool new_port) {
    const std::size_t bracket = host.rfind(']');
    const std::size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
    if (colon == std::string_view::npos) {
        return host;
    }
    const std::string_view port = host.substr(colon);
    const bool was_default = (old_scheme == "http" && port == ":80") || (old_scheme == "https" && port == ":443");
    return new_port || (new_scheme != old_scheme && was_default) ? host.substr(0, colon) : host;
}

}  // namespace

std::size_t replaced_prefix(const TextMatch* matched) {
    if (matched == nullptr) {
        return 1;
    }
    return matched->kind() == config::StringMatch::Kind::kPrefix ? matched->text().size() : std::string::npos;
}

Result<PathRewrite> PathRewrite::make(const config::Rewrite& rewrite, const TextMatch* matched) {
    PathRewrite made;
    if (rewrite.uri) {
        made.prefix_ = replaced_prefix(matched);
        made.kind_ = made.prefix_ == std::string::npos ? Kind::kWhole : Kind::kPrefix;
        made.text_ = *rewrite.uri;
    } else if (rewrite.regex) {
        Result<Regex> regex = make_regex(rewrite.regex->first);
        if (!regex) {
            return std::unexpected(regex.error());
        }
        std::string error;
        if (!(*regex)->CheckRewriteString(rewrite.regex->second, &error)) {
            return fail("the replacement does not fit the regular expression: " + error);
        }
        made.kind_ = Kind::kRegex;
        made.groups_ = re2::RE2::MaxSubmatch(rewrite.regex->second);
        made.text_ = rewrite.regex->second;
        made.regex_ = std::move(*regex);
    }
    return made;
}

void PathRewrite::append(std::string_view path, std::string& out) const {
    switch (kind_) {
        case Kind::kNone:
            out.append(path);
            break;
        case Kind::kPrefix:
            out.append(text_).append(path.substr(std::min(prefix_, path.size())));
            break;
        case Kind::kWhole:
            out.append(text_);
            break;
        case Kind::kRegex:
            append_replaced(*regex_, text_, groups_, path, out);
            break;
    }
}

void append_location(const config::Redirect& redirect, const Asked& asked, std::size_t prefix, std::string& out) {
    const std::string_view scheme = redirect.scheme ? std::string_view(*redirect.scheme) : asked.scheme;
    std::uint16_t port = redirect.port;
    const bool given = port != 0;
    if ((scheme == "http" && port == 80) || (scheme == "https" && port == 443)) {
        port = 0;
    }
    const bool derived = redirect.derive_port == config::Redirect::DerivePort::kRequestPort;
    if (derived) {
        port = asked.port;
    }
    out.append(scheme).append("://");
    out.append(redirect.authority ? std::string_view(*redirect.authority)
                                  : kept_host(asked.authority, asked.scheme, scheme, given || derived));
    if (port != 0) {
        char digits[8];
        out.append(":").append(digits, std::to_chars(digits, digits + sizeof(digits), port).ptr);
    }
    bool query = asked.has_query;
    if (redirect.uri) {
        out.append(*redirect.uri);
        query = query && redirect.uri->find('?') == std::string::npos;
    } else if (redirect.prefix_rewrite) {
        out.append(*redirect.prefix_rewrite).append(asked.path.substr(std::min(prefix, asked.path.size())));
    } else {
        out.append(asked.path);
    }
    if (query) {
        out.append("?").append(asked.query);
    }
}

}  // namespace sluice::proxy
