#include <algorithm>

#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

// What ends or breaks an attribute of Set-Cookie.
bool in_set_cookie(std::string_view text) {
    return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c >= 0x7f || c == ';'; });
}

std::string check_cookie_token(std::string_view name) {
    return check_header_name(name, false).empty() ? "" : "the name is letters, digits and !#$%&'*+-.^_`|~";
}

struct Attribute {
    std::string name, value;
};

constexpr Field<Attribute> kAttribute[] = {
    {"name",
     [](const Value& value, Attribute& out) {
         out.name = value.nonempty().value_or("");
         const std::string problem = out.name.empty() ? "" : check_cookie_token(out.name);
         if (!problem.empty()) {
             value.wrong(problem);
         }
     }},
    {"value",
     [](const Value& value, Attribute& out) {
         out.value = value.string().value_or("");
         if (!in_set_cookie(out.value)) {
             value.wrong("an attribute's value is ASCII without control characters and ';'");
         }
     }},
};

constexpr Field<HashKey> kCookie[] = {
    {"name", read_cookie_name},
    {"path",
     [](const Value& value, HashKey& out) {
         out.path = value.string().value_or("");
         if (!in_set_cookie(out.path)) {
             value.wrong("a cookie's path is ASCII without control characters and ';'");
         }
     }},
    {"ttl", [](const Value& value, HashKey& out) { out.ttl = value.duration(true); }},
    {"attributes",
     [](const Value& list, HashKey& out) {
         read_list(list, kMostCompared, [&](const Value& value) {
             Attribute attribute;
             if (read_fields(value, kAttribute, attribute) && !value.has("name")) {
                 value.missing("name", "an attribute of Set-Cookie, such as SameSite");
             }
             out.attributes.emplace_back(std::move(attribute.name), std::move(attribute.value));
         });
     }},
};

}  // namespace

void read_header_key(const Value& value, HashKey& out) {
    out.kind = HashKey::Kind::kHeader;
    const auto name = value.nonempty();
    const std::string problem = name ? check_header_name(*name, false) : "";
    if (!problem.empty()) {
        value.wrong(problem);
    }
    out.name = lower_case(name.value_or(""));
}

void read_query_key(const Value& value, HashKey& out) {
    out.kind = HashKey::Kind::kQuery;
    out.name = value.nonempty().value_or("");
}

void read_cookie_name(const Value& value, HashKey& out) {
    out.name = value.nonempty().value_or("");
    const std::string problem = out.name.empty() ? "" : check_cookie_token(out.name);
    if (!problem.empty()) {
        value.wrong(problem);
    }
}

void read_cookie_key(const Value& value, HashKey& out) {
    out.kind = HashKey::Kind::kCookie;
    if (read_fields(value, kCookie, out) && !value.has("name")) {
        value.missing("name", "the cookie's name");
    }
}

}  // namespace sluice::config
