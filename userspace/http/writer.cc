#include "http/writer.h"

#include <array>
#include <charconv>

namespace sluice::http {

namespace {

// RFC 9110, 5.6.2.
constexpr std::array<bool, 256> kToken = [] {
    std::array<bool, 256> token{};
    for (const char octet : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")) {
        token[static_cast<unsigned char>(octet)] = true;
    }
    return token;
}();

void write_number(std::string& out, std::uint64_t number, int base) {
    char digits[24];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number, base);
    out.append(digits, end);
}

}  // namespace

bool field_name_ok(std::string_view name) {
    for (const char octet : name) {
        if (!kToken[static_cast<unsigned char>(octet)]) {
            return false;
        }
    }
    return !name.empty();
}

bool field_value_ok(std::string_view value) {
    for (const char octet : value) {
        if ((static_cast<unsigned char>(octet) < 0x20 && octet != '\t') || octet == 0x7f) {
            return false;
        }
    }
    return true;
}

void write_request_line(std::string& out, std::string_view method, std::string_view target) {
    out.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
}

void write_status_line(std::string& out, int status, std::string_view reason) {
    out.append("HTTP/1.1 ");
    write_number(out, static_cast<std::uint64_t>(status), 10);
    out.append(" ").append(reason.empty() ? std::string_view(reason_phrase(status)) : reason).append("\r\n");
}

void write_field(std::string& out, std::string_view name, std::uint64_t value) {
    out.append(name).append(": ");
    write_number(out, value, 10);
    out.append("\r\n");
}

void write_chunk_begin(std::string& out, std::size_t size) {
    write_number(out, size, 16);
    out.append("\r\n");
}

void write_last_chunk(std::string& out, const std::vector<Field>& trailers) {
    out.append("0\r\n");
    for (const Field& field : trailers) {
        write_field(out, field.name, field.value);
    }
    out.append("\r\n");
}

const char* reason_phrase(int status) {
    struct Phrase {
        int status;
        const char* text;
    };
    // IANA's registry.
    static constexpr Phrase kPhrases[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {102, "Processing"},
        {103, "Early Hints"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {207, "Multi-Status"},
        {208, "Already Reported"},
        {226, "IM Used"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {305, "Use Proxy"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {506, "Variant Also Negotiates"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {510, "Not Extended"},
        {511, "Network Authentication Required"},
    };
    for (const Phrase& phrase : kPhrases) {
        if (phrase.status == status) {
            return phrase.text;
        }
    }
    return "";
}

bool is_hop_by_hop(std::string_view name) {
    switch (name.size()) {
        case 2:
            return same_name(name, "te");
        case 7:
            return same_name(name, "upgrade");
        case 10:
            return same_name(name, "connection") || same_name(name, "keep-alive");
        case 16:
            return same_name(name, "proxy-connection");
        case 17:
            return same_name(name, "transfer-encoding");
        default:
            return false;
    }
}

}  // namespace sluice::http
