// redirect, directResponse and rewrite. An empty text is an absent one, as in Istio.
#include <array>

#include "config/http.h"

namespace sluice::config {

namespace {

constexpr std::size_t kLargestBody = 1 << 20;  // Istio's
constexpr std::size_t kLargeBody = 100 << 10;  // from where Istio warns

std::optional<std::string> text_of(const Value& value) {
    const auto text = value.string();
    return text && !text->empty() ? std::optional<std::string>(*text) : std::nullopt;
}

constexpr Field<Redirect> kRedirect[] = {
    {"uri", [](const Value& value, Redirect& out) { out.uri = text_of(value); }},
    {"prefixRewrite", [](const Value& value, Redirect& out) { out.prefix_rewrite = text_of(value); }},
    {"authority", [](const Value& value, Redirect& out) { out.authority = text_of(value); }},
    {"port", [](const Value& value, Redirect& out) { out.port = value.port().value_or(0); }},
    {"derivePort",
     [](const Value& value, Redirect& out) {
         static constexpr std::array<std::string_view, 2> kNames{"FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"};
         if (const auto index = value.one_of(kNames)) {
             out.derive_port =
                 *index == 0 ? Redirect::DerivePort::kProtocolDefault : Redirect::DerivePort::kRequestPort;
         }
     }},
    {"scheme",
     [](const Value& value, Redirect& out) {
         static constexpr std::array<std::string_view, 2> kNames{"http", "https"};
         if (const auto index = value.one_of(kNames)) {
             out.scheme = kNames[*index];
         }
     }},
    {"redirectCode",
     [](const Value& value, Redirect& out) {
         const auto code = value.integer(300, 399);
         if (code && *code != 301 && *code != 302 && *code != 303 && *code != 307 && *code != 308) {
             value.wrong("allowed: 301, 302, 303, 307, 308");
         }
         out.code = static_cast<std::uint16_t>(code.value_or(301));
     }},
};

struct Body {
    DirectResponse& out;
    int ways = 0;
};

constexpr Field<Body> kBody[] = {
    {"string",
     [](const Value& value, Body& body) {
         ++body.ways;
         body.out.body = value.string().value_or("");
     }},
    {"bytes",
     [](const Value& value, Body& body) {
         ++body.ways;
         const auto text = value.string();
         auto decoded = decode_base64(text.value_or(""));
         if (!decoded) {
             value.wrong("base64 is needed: A to Z, a to z, 0 to 9, '+' and '/', in groups of four, '=' at the end");
         }
         body.out.body = std::move(decoded).value_or("");
     }},
};

void read_body(const Value& value, DirectResponse& out) {
    Body body{out};
    if (read_fields(value, kBody, body) && body.ways != 1) {
        value.error_at_key("one of string and bytes is needed");
    }
    if (out.body.size() > kLargestBody) {
        value.error_at_key("found a body of " + std::to_string(out.body.size()) + " bytes; at most " +
                           std::to_string(kLargestBody) + " are allowed");
    } else if (out.body.size() > kLargeBody) {
        value.warning("found a body of " + std::to_string(out.body.size()) +
                      " bytes, which every agent holds in memory; a server of its own may serve you better");
    }
}

constexpr Field<DirectResponse> kDirectResponse[] = {
    {"status",
     [](const Value& value, DirectResponse& out) {
         out.status = static_cast<std::uint16_t>(value.integer(200, 599).value_or(0));
     }},
    {"body", read_body},
};

struct Regex {
    Rewrite& out;
    std::string match, rewrite;
};

constexpr Field<Regex> kRegex[] = {
    {"match",
     [](const Value& value, Regex& regex) {
         regex.match = read_regex(value);
         regex.out.regex_place = value.place();
     }},
    {"rewrite", [](const Value& value, Regex& regex) { regex.rewrite = value.nonempty().value_or(""); }},
};

constexpr Field<Rewrite> kRewrite[] = {
    {"uri", [](const Value& value, Rewrite& out) { out.uri = text_of(value); }},
    {"authority", [](const Value& value, Rewrite& out) { out.authority = text_of(value); }},
    {"uriRegexRewrite",
     [](const Value& value, Rewrite& out) {
         Regex regex{out, {}, {}};
         if (!read_fields(value, kRegex, regex)) {
             return;
         }
         if (!value.has("match")) {
             value.missing("match", "a regular expression");
         }
         if (!value.has("rewrite")) {
             value.missing("rewrite", "the text to put there");
         }
         out.regex.emplace(std::move(regex.match), std::move(regex.rewrite));
     }},
};

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    const auto value_of = [](char c) -> int {
        return c >= 'A' && c <= 'Z'   ? c - 'A'
               : c >= 'a' && c <= 'z' ? c - 'a' + 26
               : c >= '0' && c <= '9' ? c - '0' + 52
               : c == '+'             ? 62
               : c == '/'             ? 63
                                      : -1;
    };
    std::string out;
    out.reserve(text.size() / 4 * 3);
    for (std::size_t at = 0; at < text.size(); at += 4) {
        const bool last = at + 4 == text.size();
        const std::size_t padding = !last || text[at + 3] != '=' ? 0 : text[at + 2] != '=' ? 1 : 2;
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const int value = i < 4 - padding ? value_of(text[at + i]) : 0;
            if (value < 0) {
                return std::nullopt;
            }
            bits = bits << 6 | static_cast<std::uint32_t>(value);
        }
        if ((bits & ((1u << 8 * padding) - 1)) != 0) {  // bits that stand for nothing
            return std::nullopt;
        }
        for (std::size_t i = 0; i < 3 - padding; ++i) {
            out += static_cast<char>(bits >> (16 - 8 * i));
        }
    }
    return out;
}

void read_redirect(const Value& value, std::optional<Redirect>& out) {
    Redirect& redirect = out.emplace();
    const std::size_t problems = value.scope().report.errors();
    if (!read_fields(value, kRedirect, redirect) || value.scope().report.errors() != problems) {
        return;
    }
    const bool derived = redirect.derive_port != Redirect::DerivePort::kNone;
    if (redirect.uri && redirect.prefix_rewrite) {
        value.error_at_key("found both uri and prefixRewrite; one of them is allowed");
    }
    if (redirect.port != 0 && derived) {
        value.error_at_key("found both port and derivePort; one of them is allowed");
    }
    if (!redirect.uri && !redirect.prefix_rewrite && !redirect.authority && !redirect.scheme && redirect.port == 0 &&
        !derived) {
        value.error_at_key(
            "found nothing to redirect to; at least one of uri, prefixRewrite, authority, port and scheme is needed");
    }
}

void read_direct_response(const Value& value, std::optional<DirectResponse>& out) {
    if (read_fields(value, kDirectResponse, out.emplace()) && !value.has("status")) {
        value.missing("status", "an HTTP status from 200 to 599");
    }
}

void read_rewrite(const Value& value, std::optional<Rewrite>& out) {
    Rewrite& rewrite = out.emplace();
    const std::size_t problems = value.scope().report.errors();
    if (!read_fields(value, kRewrite, rewrite) || value.scope().report.errors() != problems) {
        return;
    }
    if (rewrite.uri && rewrite.regex) {
        value.error_at_key("found both uri and uriRegexRewrite; one of them is allowed");
    }
    if (!rewrite.uri && !rewrite.regex && !rewrite.authority) {
        value.error_at_key("found nothing to rewrite; at least one of uri, uriRegexRewrite and authority is needed");
    }
}

}  // namespace sluice::config
