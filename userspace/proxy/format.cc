#include "proxy/format.h"

#include <charconv>
#include <optional>

#include "proxy/header_ops.h"
#include "proxy/match.h"
#include "proxy/table.h"

namespace sluice::proxy {

namespace {

struct Known {
    std::string_view name;
    std::uint8_t op;
};

std::optional<std::size_t> number(std::string_view text) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    }
    return result;
}

// A field or pseudo field of the request, appended. False: there is none.
bool append_request_field(const std::string& name, const Subject& subject, std::string& out) {
    const Asked& asked = *subject.asked;
    if (name == ":path") {
        out.append(asked.path);
        if (asked.has_query) {
            out.append("?").append(asked.query);
        }
        return true;
    }
    if (name == ":authority" || name == "host" || name == ":method" || name == ":scheme") {
        out.append(name == ":method" ? asked.head->method : name == ":scheme" ? asked.scheme : asked.authority);
        return true;
    }
    if (!subject.response) {
        const std::string_view* value = subject.lines->find(name);
        out.append(value != nullptr ? *value : std::string_view());
        return value != nullptr;
    }
    for (const http::Field& field : asked.head->fields) {
        if (same_text(field.name, name)) {
            out.append(field.value);
            return true;
        }
    }
    return false;
}

bool append_response_field(const std::string& name, const Subject& subject, std::string& out) {
    const std::string_view* value = subject.response ? subject.lines->find(name) : nullptr;
    if (value != nullptr) {
        out.append(*value);
    }
    return value != nullptr;
}

}  // namespace

Result<Format::Piece> Format::parse_operator(std::string_view text, bool response) {
    Piece piece;
    const std::size_t open = text.find('(');
    if (open != std::string_view::npos) {
        const std::size_t close = text.find(')', open);
        const std::string_view name = text.substr(0, open);
        const bool request = name == "REQ";
        if (close == std::string_view::npos || (!request && !(response && name == "RESP"))) {
            return fail("the operator %" + std::string(text) + "% is not supported");
        }
        piece.op = request ? Operator::kRequestField : Operator::kResponseField;
        const std::string_view fields = text.substr(open + 1, close - open - 1);
        const std::size_t mark = fields.find('?');
        piece.text = lower(fields.substr(0, mark));
        piece.alternative = mark == std::string_view::npos ? "" : lower(fields.substr(mark + 1));
        const std::string_view rest = text.substr(close + 1);
        const std::optional<std::size_t> max = rest.starts_with(':') ? number(rest.substr(1)) : std::nullopt;
        if (piece.text.empty() || (!rest.empty() && !max)) {
            return fail("%" + std::string(text) + "% has no field or no number behind the colon");
        }
        piece.max = max.value_or(std::string::npos);
        return piece;
    }
    const struct {
        std::string_view name;
        Operator op;
        bool of_answers;
    } known[] = {{"PROTOCOL", Operator::kProtocol, false},
                 {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Operator::kClientAddress, false},
                 {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Operator::kClientAddress, false},
                 {"DOWNSTREAM_LOCAL_PORT", Operator::kPort, false},
                 {"UPSTREAM_CLUSTER", Operator::kCluster, false},
                 {"ROUTE_NAME", Operator::kRouteName, false},
                 {"RESPONSE_CODE", Operator::kStatus, true}};
    for (const auto& entry : known) {
        if (entry.name == text && (response || !entry.of_answers)) {
            piece.op = entry.op;
            return piece;
        }
    }
    return fail("the operator %" + std::string(text) + "% is not supported");
}

Result<Format> Format::make(std::string_view text, bool response) {
    Format format;
    std::string plain;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] != '%') {
            plain += text[at++];
            continue;
        }
        const std::size_t end = text.find('%', at + 1);
        if (end == std::string_view::npos) {
            return fail("a '%' without an operator; %% means one percent");
        }
        if (end == at + 1) {
            plain += '%';
        } else {
            Result<Piece> piece = parse_operator(text.substr(at + 1, end - at - 1), response);
            if (!piece) {
                return std::unexpected(piece.error());
            }
            if (!plain.empty()) {
                format.pieces_.push_back({Operator::kText, std::move(plain), {}, std::string::npos});
                plain.clear();
            }
            format.pieces_.push_back(std::move(*piece));
        }
        at = end + 1;
    }
    if (format.pieces_.empty()) {
        format.text_ = std::move(plain);
    } else if (!plain.empty()) {
        format.pieces_.push_back({Operator::kText, std::move(plain), {}, std::string::npos});
    }
    return format;
}

void Format::append_piece(const Piece& piece, const Subject& subject, std::string& out) {
    switch (piece.op) {
        case Operator::kText:
            out.append(piece.text);
            break;
        case Operator::kRequestField:
            if (!append_request_field(piece.text, subject, out) && !piece.alternative.empty()) {
                append_request_field(piece.alternative, subject, out);
            }
            break;
        case Operator::kResponseField:
            if (!append_response_field(piece.text, subject, out) && !piece.alternative.empty()) {
                append_response_field(piece.alternative, subject, out);
            }
            break;
        case Operator::kProtocol:
            out.append(subject.asked->head->minor == 0 ? "HTTP/1.0" : "HTTP/1.1");
            break;
        case Operator::kClientAddress:
            out.append(subject.asked->client->address.text());
            break;
        case Operator::kPort:
        case Operator::kStatus: {
            char digits[16];
            const int value = piece.op == Operator::kPort ? subject.asked->port : subject.status;
            out.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
            break;
        }
        case Operator::kCluster:
            if (subject.rule != nullptr && subject.destination < subject.rule->destinations.size() &&
                subject.rule->destinations[subject.destination].cluster != nullptr) {
                out.append(subject.rule->destinations[subject.destination].cluster->model().name);
            }
            break;
        case Operator::kRouteName:
            out.append(subject.rule != nullptr ? subject.rule->name : std::string());
            break;
    }
}

bool Format::append(const Subject& subject, std::string& out) const {
    if (pieces_.empty()) {
        out.append(text_);
        return !text_.empty();
    }
    const std::size_t begin = out.size();
    for (const Piece& piece : pieces_) {
        const std::size_t start = out.size();
        append_piece(piece, subject, out);
        if (piece.max < out.size() - start) {
            out.resize(start + piece.max);
        }
    }
    return out.size() > begin;
}

}  // namespace sluice::proxy
