#include "proxy/exposure_line.h"

namespace sluice::proxy {

namespace {

void append_duration_ms(std::string& out, std::uint64_t ns) {
    const std::uint64_t us = ns / 1000;
    append_number(out, us / 1000);
    const auto part = static_cast<unsigned>(us % 1000);
    out += '.';
    for (const unsigned digit : {part / 100, part / 10 % 10, part % 10}) {
        out += static_cast<char>('0' + digit);
    }
}

}  // namespace

void ExposureLine::write(const Record& record, std::int64_t started_unix_ns, std::string& out) {
    const Split& split = *record.split;
    const Assigned& assigned = *record.assigned;
    const auto text = [&out](std::string_view before, std::string_view value) {
        out += before;
        append_json_utf8(out, value);
    };
    const auto number = [&out](std::string_view before, std::uint64_t value) {
        out += before;
        append_number(out, value);
    };
    text(R"({"time":")", time_.text(started_unix_ns));
    text(R"(","experiment":")", split.experiment);
    text(R"(","namespace":")", split.ns);
    text(R"(","salt":")", split.salt());
    text(R"(","arm":")", split.arms[assigned.arm].name);
    text(R"(","subset":")", record.cluster != nullptr ? record.cluster->model().subset : split.arms[record.arm].subset);
    number(R"(","bucket":)", assigned.bucket);
    if (split.exposure && split.exposure->plain) {
        text(R"(,"key":")", assigned.key);
        out += R"(","hashed":false)";
    } else {
        out += R"(,"key":")";
        for (const std::uint8_t octet : assigned.digest) {
            out.append({kHexDigits[octet >> 4], kHexDigits[octet & 15]});
        }
        out += R"(","hashed":true)";
    }
    text(R"(,"request_id":")", record.request_id);
    number(R"(","status":)", static_cast<std::uint64_t>(record.status));
    out += R"(,"duration_ms":)";
    append_duration_ms(out, record.ended_ns - record.started_ns);
    number(R"(,"attempts":)", record.attempts);
    out += "}\n";
}

}  // namespace sluice::proxy
