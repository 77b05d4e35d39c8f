#include "http/strict.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "http/writer.h"

namespace sluice::http {

namespace {

constexpr bool is_digit(char octet) {
    return octet >= '0' && octet <= '9';
}

// "HTTP/1.0" and "HTTP/1.1" are spoken; other well-formed versions have a name of their own.
Refusal check_version(std::string_view text, int& minor) {
    if (text.size() != 8 || !text.starts_with("HTTP/") || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7])) {
        return Refusal::kMalformed;
    }
    minor = text[7] - '0';
    return text[5] == '1' && minor <= 1 ? Refusal::kNone : Refusal::kBadVersion;
}

constexpr std::array<bool, 256> kHostOctet = [] {
    std::array<bool, 256> host{};
    for (const char octet : std::string_view("-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")) {
        host[static_cast<unsigned char>(octet)] = true;
    }
    return host;
}();

// Labels of at least one octet; a final dot is allowed.
bool name_ok(std::string_view name) {
    char before = '.';
    for (const char octet : name) {
        if (octet == '.' ? before == '.' : !kHostOctet[static_cast<unsigned char>(octet)]) {
            return false;
        }
        before = octet;
    }
    return !name.empty();
}

bool ipv6_ok(std::string_view address) {
    char text[INET6_ADDRSTRLEN];
    in6_addr parsed;
    if (address.size() >= sizeof text) {
        return false;
    }
    std::memcpy(text, address.data(), address.size());
    text[address.size()] = '\0';
    return inet_pton(AF_INET6, text, &parsed) == 1;
}

}  // namespace

std::size_t find_control(std::string_view octets, std::size_t from) {
#ifdef __SSE2__
    const __m128i highest = _mm_set1_epi8(0x1f);
    const __m128i del = _mm_set1_epi8(0x7f);
    const __m128i tab = _mm_set1_epi8('\t');
    for (; octets.size() - from >= 16; from += 16) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(octets.data() + from));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, highest), block);
        const __m128i control = _mm_andnot_si128(_mm_cmpeq_epi8(block, tab), low);
        const int found = _mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(block, del)));
        if (found != 0) {
            return from + static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(found)));
        }
    }
#endif
    for (; from < octets.size(); ++from) {
        const auto octet = static_cast<unsigned char>(octets[from]);
        if ((octet < 0x20 && octet != '\t') || octet == 0x7f) {
            break;
        }
    }
    return from;
}

Refusal check_request_line(std::string_view line, FirstLine& parts) {
    parts.first_end = line.find(' ');
    if (parts.first_end == std::string_view::npos || !field_name_ok(line.substr(0, parts.first_end))) {
        return Refusal::kMalformed;
    }
    const std::size_t begin = parts.first_end + 1;
    parts.second_end = line.find(' ', begin);
    if (parts.second_end == std::string_view::npos) {
        return Refusal::kBadVersion;  // HTTP/0.9
    }
    if (parts.second_end == begin) {
        return Refusal::kMalformed;
    }
    return check_version(line.substr(parts.second_end + 1), parts.minor);
}

Refusal check_status_line(std::string_view line, FirstLine& parts) {
    parts.first_end = 8;
    parts.second_end = 12;
    const Refusal version = check_version(line.substr(0, 8), parts.minor);
    if (version != Refusal::kNone) {
        return version;
    }
    if (line.size() < 12 || line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
        (line.size() > 12 && line[12] != ' ')) {
        return Refusal::kMalformed;
    }
    parts.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    parts.third_begin = line.size() > 12 ? 13 : 12;
    parts.third_end = line.size();
    return parts.status < 100 ? Refusal::kMalformed : Refusal::kNone;
}

Host check_host(std::string_view text) {
    std::size_t end = 0;
    if (text.starts_with('[')) {
        end = text.find(']');
        if (end == std::string_view::npos || !ipv6_ok(text.substr(1, end - 1))) {
            return Host::kBad;
        }
        ++end;
    } else {
        end = std::min(text.find(':'), text.size());
        if (!name_ok(text.substr(0, end))) {
            return Host::kBad;
        }
    }
    if (end == text.size()) {
        return Host::kWithoutPort;
    }
    unsigned port = 0;
    for (const char octet : text.substr(end + 1)) {
        port = port * 10 + static_cast<unsigned>(octet - '0');
        if (!is_digit(octet) || port > 65535) {
            return Host::kBad;
        }
    }
    return text[end] == ':' && port != 0 ? Host::kWithPort : Host::kBad;
}

}  // namespace sluice::http
