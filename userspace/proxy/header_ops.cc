#include "proxy/header_ops.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "proxy/match.h"

namespace sluice::proxy {

namespace {

constexpr std::size_t kBlock = 4096;

// `text` in lower case equals `name`; text is a token, so no control octet can become a hyphen.
bool is(std::string_view text, std::string_view name) {
    for (std::size_t i = 0; i < name.size(); ++i) {
        if ((text[i] | 0x20) != name[i]) {
            return false;
        }
    }
    return true;
}

// What Envoy takes as orders for itself and lets nobody else give.
constexpr std::string_view kControls[] = {
    "retry-on",
    "internal",
    "ip-tags",
    "force-trace",
    "max-retries",
    "original-url",
    "retry-grpc-on",
    "attempt-count",
    "external-address",
    "upstream-alt-stat-name",
    "expected-rq-timeout-ms",
    "retriable-header-names",
    "retriable-status-codes",
    "upstream-rq-timeout-ms",
    "hedge-on-per-try-timeout",
    "upstream-rq-per-try-timeout-ms",
    "upstream-rq-timeout-alt-response",
};

FieldKind envoy_kind(std::string_view rest) {
    if (rest.size() == 21 && is(rest, "upstream-service-time")) {
        return FieldKind::kServiceTime;
    }
    const bool control = std::ranges::any_of(
        kControls, [&](std::string_view name) { return name.size() == rest.size() && is(rest, name); });
    return control ? FieldKind::kControl : FieldKind::kPass;
}

// Copies what mostly is a name or a value: up to 32 octets without a call, as two pieces that may overlap.
char* copy_short(std::string_view text, char* to) {
    const char* from = text.data();
    const std::size_t size = text.size();
    const auto twice = [&]<std::size_t kSize>(const std::array<char, kSize>&) {
        std::array<char, kSize> first, last;
        std::memcpy(&first, from, kSize);
        std::memcpy(&last, from + size - kSize, kSize);
        std::memcpy(to, &first, kSize);
        std::memcpy(to + size - kSize, &last, kSize);
    };
    if (size > 32) {
        std::memcpy(to, from, size);
    } else if (size >= 16) {
        twice(std::array<char, 16>());
    } else if (size >= 8) {
        twice(std::array<char, 8>());
    } else if (size >= 4) {
        twice(std::array<char, 4>());
    } else {
        for (std::size_t i = 0; i < size; ++i) {
            to[i] = from[i];
        }
    }
    return to + size;
}

// The next of a comma-separated list; moves `at`. Empty elements are skipped; false: no more.
bool next_token(std::string_view list, std::size_t& at, std::string_view& token) {
    while (at < list.size()) {
        const std::size_t end = std::min(list.find(',', at), list.size());
        token = list.substr(at, end - at);
        at = end + 1;
        while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) {
            token.remove_prefix(1);
        }
        while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) {
            token.remove_suffix(1);
        }
        if (!token.empty()) {
            return true;
        }
    }
    return false;
}

// Whether a Connection field's value names fields that are not of the connection anyway.
bool names_more(std::string_view value) {
    std::string_view token;
    for (std::size_t at = 0; next_token(value, at, token);) {
        if (!same_text(token, "close") && field_kind(token) != FieldKind::kHop) {
            return true;
        }
    }
    return false;
}

bool named(const http::Head& head, std::string_view name) {
    for (const http::Field& field : head.fields) {
        if (field_kind(field.name) != FieldKind::kConnection) {
            continue;
        }
        std::string_view token;
        for (std::size_t at = 0; next_token(field.value, at, token);) {
            if (same_text(token, name)) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace

std::string_view Arena::keep(std::string_view text) {
    while (block_ < blocks_.size() && blocks_[block_].size - used_ < text.size()) {
        ++block_;
        used_ = 0;
    }
    if (block_ == blocks_.size()) {
        const std::size_t size = std::max(kBlock, text.size());
        blocks_.push_back({std::make_unique<char[]>(size), size});
        used_ = 0;
    }
    char* at = blocks_[block_].text.get() + used_;
    std::copy(text.begin(), text.end(), at);
    used_ += text.size();
    return {at, text.size()};
}

std::string_view Arena::keep(std::uint64_t number) {
    char digits[20];
    const char* end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    return keep(std::string_view(digits, end - digits));
}

void Arena::clear() {
    block_ = 0;
    used_ = 0;
}

Lines& Lines::scratch() {
    thread_local Lines lines;
    lines.lines_.clear();
    lines.arena.clear();
    return lines;
}

void Lines::set(std::string_view name, std::string_view value) {
    const auto same = [&](const http::Field& line) { return same_text(line.name, name); };
    const auto first = std::ranges::find_if(lines_, same);
    if (first == lines_.end()) {
        add(name, value);
        return;
    }
    first->value = value;
    lines_.erase(std::remove_if(first + 1, lines_.end(), same), lines_.end());
}

void Lines::remove(std::string_view name) {
    std::erase_if(lines_, [&](const http::Field& line) { return same_text(line.name, name); });
}

const std::string_view* Lines::find(std::string_view name) const {
    const auto it = std::ranges::find_if(lines_, [&](const http::Field& line) { return same_text(line.name, name); });
    return it == lines_.end() ? nullptr : &it->value;
}

void Lines::write(std::string& out) const {
    std::size_t size = out.size() + 2;
    for (const http::Field& line : lines_) {
        size += line.name.size() + line.value.size() + 4;
    }
    const std::size_t before = out.size();
    if (out.capacity() < size) {
        out.reserve(std::max(size, 2 * out.capacity()));
    }
    out.resize_and_overwrite(size, [&](char* to, std::size_t) {
        char* at = to + before;
        const auto put = [&at](std::string_view part) { at = copy_short(part, at); };
        for (const http::Field& line : lines_) {
            put(line.name);
            std::memcpy(at, ": ", 2);
            at += 2;
            put(line.value);
            std::memcpy(at, "\r\n", 2);
            at += 2;
        }
        std::memcpy(at, "\r\n", 2);
        return size;
    });
}

FieldKind field_kind(std::string_view name) {
    switch (name.size()) {
        case 2:
            return is(name, "te") ? FieldKind::kHop : FieldKind::kPass;
        case 4:
            return is(name, "host") ? FieldKind::kHost : is(name, "date") ? FieldKind::kDate : FieldKind::kPass;
        case 6:
            return is(name, "expect") ? FieldKind::kExpect : is(name, "server") ? FieldKind::kServer : FieldKind::kPass;
        case 7:
            return is(name, "upgrade") ? FieldKind::kHop : FieldKind::kPass;
        case 10:
            return is(name, "connection")   ? FieldKind::kConnection
                   : is(name, "keep-alive") ? FieldKind::kHop
                                            : FieldKind::kPass;
        case 12:
            return is(name, "x-request-id") ? FieldKind::kRequestId : FieldKind::kPass;
        case 14:
            if (is(name, "content-length")) {
                return FieldKind::kLength;
            }
            break;
        case 16:
            if (is(name, "proxy-connection")) {
                return FieldKind::kHop;
            }
            break;
        case 17:
            if (is(name, "x-forwarded-proto")) {
                return FieldKind::kForwardedProto;
            }
            if (is(name, "transfer-encoding")) {
                return FieldKind::kHop;
            }
            break;
        default:
            break;
    }
    return name.size() > 8 && is(name, "x-envoy-") ? envoy_kind(name.substr(8)) : FieldKind::kPass;
}

void pass_fields(const http::Head& head, FieldKinds dropped, Lines& lines, FieldKinds& seen) {
    dropped |= kind_bit(FieldKind::kHop) | kind_bit(FieldKind::kConnection) | kind_bit(FieldKind::kLength);
    bool more = false;
    seen = 0;
    for (const http::Field& field : head.fields) {
        const FieldKind kind = field_kind(field.name);
        seen |= kind_bit(kind);
        if ((dropped & kind_bit(kind)) == 0) {
            lines.add(field.name, field.value);
        } else if (kind == FieldKind::kConnection) {
            more = more || names_more(field.value);
        }
    }
    if (!more) {
        return;
    }
    for (const http::Field& field : head.fields) {
        if ((dropped & kind_bit(field_kind(field.name))) == 0 && named(head, field.name)) {
            lines.remove(field.name);
            seen &= ~kind_bit(field_kind(field.name)) | kind_bit(FieldKind::kPass);
        }
    }
}

Result<> HeaderPlan::append(std::initializer_list<const config::HeaderOps*> operations, bool response) {
    Block block;
    for (const config::HeaderOps* ops : operations) {
        block.remove.insert(block.remove.end(), ops->remove.begin(), ops->remove.end());
        for (const auto& [from, to] : {std::pair(&ops->set, &block.set), std::pair(&ops->add, &block.add)}) {
            for (const auto& [name, value] : *from) {
                if (name == "host" && !response) {
                    continue;
                }
                Result<Format> format = Format::make(value, response);
                if (!format) {
                    return std::unexpected(std::move(format).error().within(name));
                }
                to->emplace_back(name, std::move(*format));
            }
        }
    }
    if (!block.remove.empty() || !block.set.empty() || !block.add.empty()) {
        blocks_.push_back(std::move(block));
    }
    return {};
}

void HeaderPlan::apply(Lines& lines, const Subject& subject) const {
    // Values are made before the first of them is written, so that none sees another's.
    thread_local std::vector<std::pair<const std::string*, std::string_view>> made;
    for (const Block& block : blocks_) {
        for (const std::string& name : block.remove) {
            lines.remove(name);
        }
        made.clear();
        for (const auto* list : {&block.set, &block.add}) {
            for (const auto& [name, format] : *list) {
                std::string_view value;
                if (format.literal() != nullptr) {
                    value = *format.literal();
                } else {
                    lines.text.clear();
                    format.append(subject, lines.text);
                    value = lines.arena.keep(lines.text);
                }
                made.emplace_back(&name, value);
            }
        }
        for (std::size_t i = 0; i < made.size(); ++i) {
            const auto& [name, value] = made[i];
            if (value.empty()) {
                continue;
            }
            if (i < block.set.size()) {
                lines.set(*name, value);
            } else {
                lines.add(*name, value);
            }
        }
    }
}

}  // namespace sluice::proxy
