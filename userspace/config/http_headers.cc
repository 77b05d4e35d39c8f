// What a rule does to the headers of requests and answers.
#include <algorithm>
#include <array>

#include "config/http.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr std::size_t kLongestValue = 16 << 10;  // Envoy's

struct Reader {
    HeaderOps& out;
    bool request;
    bool of_destination;
};

// What is wrong with `name` (in lower case), or an empty text.
std::string check_name(std::string_view name, const Reader& reader, bool remove) {
    // How a message is framed and what one connection agrees on is the proxy's own.
    static constexpr std::array<std::string_view, 6> kOwn{"connection", "content-length",   "keep-alive",
                                                          "upgrade",    "proxy-connection", "transfer-encoding"};
    const bool authority_allowed = reader.request && !remove && !reader.of_destination;
    if (name == ":authority" && authority_allowed) {
        return {};
    }
    if (name.starts_with(':')) {
        return authority_allowed ? "of what begins with ':' only :authority can be changed"
                                 : "what begins with ':' cannot be changed here";
    }
    if (name == "host" && (remove || !reader.request)) {
        return remove ? "the Host header cannot be removed" : "an answer has no Host header";
    }
    if (std::ranges::find(kOwn, name) != kOwn.end()) {
        return "this header belongs to one connection or says where a message ends: the proxy writes it itself";
    }
    return check_header_name(name, false);
}

// ---- values and the operators in them
struct Operator {
    std::string_view name;
    bool of_header;       // (NAME) or (NAME?OTHER) follows, then perhaps :LENGTH
    bool of_answer_only;  // not known when a request is sent
};
constexpr std::array<Operator, 9> kOperators{{
    {"REQ", true, false},
    {"RESP", true, true},
    {"PROTOCOL", false, false},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", false, false},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", false, false},
    {"DOWNSTREAM_LOCAL_PORT", false, false},
    {"UPSTREAM_CLUSTER", false, false},
    {"ROUTE_NAME", false, false},
    {"RESPONSE_CODE", false, true},
}};

// The text of an operator between its '%', from the end of its name: "(x-id):10". Whether it is right.
bool check_arguments(const Operator& known, std::string_view text) {
    if (!known.of_header || !text.starts_with('(')) {
        return !known.of_header && text.empty();
    }
    const std::size_t end = text.find(')');
    if (end == std::string_view::npos) {
        return false;
    }
    const std::string_view names = text.substr(1, end - 1);
    const std::size_t other = names.find('?');
    const std::string_view length = text.substr(end + 1);
    const bool good_length =
        length.empty() || (length[0] == ':' && length.size() > 1 && length.size() < 7 &&
                           std::ranges::all_of(length.substr(1), [](char c) { return c >= '0' && c <= '9'; }));
    return good_length && check_header_name(names.substr(0, other), true).empty() &&
           (other == std::string_view::npos || check_header_name(names.substr(other + 1), true).empty());
}

std::string check_operator(std::string_view text, bool request) {
    const std::string_view name = text.substr(0, text.find('('));
    const auto known = std::ranges::find(kOperators, name, &Operator::name);
    if (known == kOperators.end()) {
        std::string allowed;
        for (const Operator& each : kOperators) {
            allowed += ", %" + std::string(each.name) + (each.of_header ? "(NAME)%" : "%");
        }
        return "the operator %" + std::string(name) + "% is unknown or not supported yet; allowed: %%" + allowed;
    }
    if (known->of_answer_only && request) {
        return "%" + std::string(name) + "% is not known before the answer; it is allowed in headers.response";
    }
    return check_arguments(*known, text.substr(name.size()))
               ? ""
               : (known->of_header ? "written as %" + std::string(name) + "(NAME)%, %" + std::string(name) +
                                         "(NAME?OTHER)% or %" + std::string(name) + "(NAME):LENGTH%"
                                   : "written as %" + std::string(name) + "%");
}

std::string check_value(std::string_view text, bool request) {
    if (text.size() > kLongestValue) {
        return "a header value has at most " + std::to_string(kLongestValue) + " characters";
    }
    if (std::ranges::any_of(text, [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; })) {
        return "a header value has no control characters";
    }
    for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at)) {
        const std::size_t end = text.find('%', at + 1);
        if (end == std::string_view::npos) {
            return "a '%' stands around an operator, as in %REQ(x-id)%, or is doubled: %%";
        }
        std::string problem = end == at + 1 ? "" : check_operator(text.substr(at + 1, end - at - 1), request);
        if (!problem.empty()) {
            return problem;
        }
        at = end + 1;
    }
    return {};
}

void read_values(const Value& map, const Reader& reader, std::vector<std::pair<std::string, std::string>>& out) {
    if (!map.expect_map()) {
        return;
    }
    map.each_field([&](const Value& value) {
        std::string name = lower_case(value.key());
        std::string problem = check_name(name, reader, false);
        if (!problem.empty()) {
            value.error_at_key(std::move(problem));
        }
        const auto text = value.string();
        problem = text ? check_value(*text, reader.request) : "";
        if (!problem.empty()) {
            value.wrong(problem);
        }
        out.emplace_back(name == ":authority" ? "host" : std::move(name), text.value_or(""));
    });
    std::vector<std::string_view> names;
    std::ranges::transform(out, std::back_inserter(names),
                           [](const auto& pair) { return std::string_view(pair.first); });
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice != names.end()) {
        map.error_at_key("found " + quoted(*twice) + " twice; header names are the same in any case");
    }
}

constexpr Field<Reader> kOperations[] = {
    {"set", [](const Value& value, Reader& reader) { read_values(value, reader, reader.out.set); }},
    {"add", [](const Value& value, Reader& reader) { read_values(value, reader, reader.out.add); }},
    {"remove",
     [](const Value& list, Reader& reader) {
         read_list(list, [&](const Value& value) {
             const auto written = value.string();
             if (!written) {
                 return;
             }
             std::string name = lower_case(*written);
             const std::string problem = check_name(name, reader, true);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             reader.out.remove.push_back(std::move(name));
         });
     }},
};

struct Both {
    HeaderOperations& out;
    bool of_destination;
};

constexpr Field<Both> kHeaders[] = {
    {"request",
     [](const Value& value, Both& both) {
         Reader reader{both.out.request, true, both.of_destination};
         read_fields(value, kOperations, reader);
     }},
    {"response",
     [](const Value& value, Both& both) {
         Reader reader{both.out.response, false, both.of_destination};
         read_fields(value, kOperations, reader);
     }},
};

}  // namespace

void read_header_operations(const Value& value, bool of_destination, HeaderOperations& out) {
    Both both{out, of_destination};
    read_fields(value, kHeaders, both);
}

}  // namespace sluice::config
