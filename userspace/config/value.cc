#include "config/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "config/names.h"
#include "config/path.h"
#include "config/scalar.h"

namespace sluice::config {

namespace {
std::string joined(std::span<const std::string_view> names) {
    std::string out;
    for (const std::string_view name : names) {
        out += (out.empty() ? "" : ", ") + std::string(name);
    }
    return out;
}
}  // namespace

std::string Value::path() const {
    std::string out = parent_ == nullptr ? "" : parent_->path();
    if (parent_ == nullptr && scope_->item >= 0) {
        append_step(out, "items", -1);
        append_step(out, {}, scope_->item);
    }
    if (index_ >= 0 || key_ != nullptr) {
        append_step(out, key(), index_);
    }
    return out;
}

Place Value::key_place() const {
    return key_ == nullptr ? place() : Place{static_cast<int>(key_->line), static_cast<int>(key_->column)};
}

void Value::error(std::string message) const {
    if (!node_->broken) {
        scope_->report.error(place(), path(), std::move(message));
    }
}

void Value::missing(std::string_view field, const char* allowed) const {
    std::string at = path();
    append_step(at, field, -1);
    scope_->report.error(key_place(), std::move(at), std::string("is required and missing; ") + allowed);
}

std::string Value::found() const {
    if (is_map()) {
        return is_empty() ? "an empty mapping" : "a mapping";
    }
    if (is_seq()) {
        return is_empty() ? "an empty list" : "a list";
    }
    if (!node_->plain) {
        return "the text " + quoted(text());
    }
    switch (classify(text())) {
        case Scalar::kNull:
            return "nothing (null)";
        case Scalar::kBool:
            return "the boolean " + std::string(text());
        case Scalar::kBoolWord:
            return "the YAML boolean " + std::string(text());
        case Scalar::kInteger:
        case Scalar::kOtherNumber:
            return "the number " + quoted(text()).substr(1, quoted(text()).size() - 2);
        case Scalar::kText:
            break;
    }
    return "the text " + quoted(text());
}

bool Value::is_null() const {
    return is_scalar() && node_->plain && classify(text()) == Scalar::kNull;
}

const Node* Value::field(std::string_view name) const {
    const Node* result = nullptr;
    if (is_map()) {
        each_field([&](const Value& value) {
            if (value.key() == name && !value.is_null()) {
                result = &value.node();
            }
        });
    }
    return result;
}

std::size_t Value::size() const {
    std::size_t count = 0;
    each_element([&](const Value&) { ++count; });
    return count;
}

bool Value::expect_map() const {
    if (!is_map()) {
        wrong("a mapping is needed");
    }
    return is_map();
}

bool Value::expect_seq() const {
    if (!is_seq()) {
        wrong("a list is needed");
    }
    return is_seq();
}

std::optional<std::string_view> Value::string() const {
    if (!is_scalar()) {
        wrong("a text is needed");
        return std::nullopt;
    }
    if (node_->plain) {
        const Scalar kind = classify(text());
        if (kind != Scalar::kText) {
            wrong(kind == Scalar::kNull ? "a text is needed" : "a text is needed: put it in quotes");
            return std::nullopt;
        }
    }
    return text();
}

std::optional<std::string_view> Value::nonempty() const {
    const auto result = string();
    if (result && result->empty()) {
        wrong("a text that is not empty is needed");
        return std::nullopt;
    }
    return result;
}

std::optional<std::int64_t> Value::integer(std::int64_t min, std::int64_t max) const {
    const std::string needed = "an integer from " + std::to_string(min) + " to " + std::to_string(max) + " is needed";
    if (!is_scalar() || !node_->plain) {
        wrong(is_scalar() && classify(text()) == Scalar::kInteger ? needed + ", without quotes" : needed);
        return std::nullopt;
    }
    if (classify(text()) != Scalar::kInteger) {
        wrong(classify(text()) == Scalar::kOtherNumber ? needed + ", written in plain decimal digits" : needed);
        return std::nullopt;
    }
    const auto value = parse_integer(text());
    if (!value || *value < min || *value > max) {
        wrong(needed);
        return std::nullopt;
    }
    return *value;
}

std::optional<double> Value::number(double min, double max) const {
    const std::string_view digits = text();
    double value = 0;
    const bool scalar = is_scalar() && node_->plain;
    const Scalar kind = scalar ? classify(digits) : Scalar::kText;
    bool good = kind == Scalar::kInteger || kind == Scalar::kOtherNumber;
    if (good) {
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        good = code == std::errc() && end == digits.data() + digits.size() && std::isfinite(value) && value >= min &&
               value <= max;
    }
    if (!good) {
        const auto shown = [](double number) {
            char buffer[32];
            return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, number).ptr);
        };
        wrong("a number from " + shown(min) + " to " + shown(max) + " is needed");
        return std::nullopt;
    }
    return value;
}

std::optional<bool> Value::boolean() const {
    if (is_scalar() && node_->plain && classify(text()) == Scalar::kBool) {
        return text()[0] == 't' || text()[0] == 'T';
    }
    wrong("true or false is needed");
    return std::nullopt;
}

std::optional<std::chrono::nanoseconds> Value::duration(bool zero_allowed) const {
    const Scalar kind = is_scalar() && node_->plain ? classify(text()) : Scalar::kText;
    if (kind == Scalar::kInteger || kind == Scalar::kOtherNumber) {
        wrong("a duration needs a unit after every number: h, m, s or ms");
        return std::nullopt;
    }
    const auto written = string();
    if (!written) {
        return std::nullopt;
    }
    const auto result = parse_duration(*written, zero_allowed);
    if (!result) {
        wrong(result.error());
        return std::nullopt;
    }
    return *result;
}

std::optional<IpAddress> Value::ip() const {
    const auto written = string();
    if (!written) {
        return std::nullopt;
    }
    const auto address = IpAddress::parse(*written);
    if (!address) {
        wrong("an IPv4 or IPv6 address is needed, without brackets, port, prefix length or zone");
        return std::nullopt;
    }
    const IpAddress& ip = *address;
    const std::size_t first = ip.is_v4() ? 12 : 0;
    const bool multicast = first == 12 ? (ip.bytes[12] & 0xf0) == 0xe0 : ip.bytes[0] == 0xff;
    if (multicast ||
        std::all_of(ip.bytes.begin() + first, ip.bytes.end(), [](std::uint8_t byte) { return byte == 0; })) {
        wrong("the address of a host is needed, not an unspecified or a multicast address");
        return std::nullopt;
    }
    return address;
}

std::optional<std::uint16_t> Value::port() const {
    const auto number = integer(1, 65535);
    return number ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
}

std::optional<std::uint32_t> Value::u32() const {
    const auto number = integer(0, 0xffffffff);
    return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

std::optional<std::size_t> Value::one_of(std::span<const std::string_view> names) const {
    const auto written = string();
    if (!written) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (*written == names[i]) {
            return i;
        }
    }
    const auto meant = closest(*written, names);
    wrong((meant ? "did you mean " + quoted(*meant) + "? " : "") + "allowed: " + joined(names));
    return std::nullopt;
}

void unknown_field(const Value& value, std::span<const std::string_view> allowed) {
    const auto meant = closest(value.key(), allowed);
    value.error_at_key("unknown field" + (meant ? "; did you mean " + quoted(*meant) + "?" : ";") +
                       " allowed here: " + joined(allowed));
}

void refused_field(const Value& value, const char* advice) {
    value.error_at_key(std::string("is a known ") + value.scope().vendor +
                       " field that is not supported yet: " + advice);
}

}  // namespace sluice::config
