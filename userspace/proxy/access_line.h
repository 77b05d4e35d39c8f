// Lines of the access log: Istio's default format, as text or as JSON. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/log_text.h"
#include "proxy/record.h"

namespace sluice::proxy {

enum class LogFormat : std::uint8_t { kText, kJson };

// Reused from line to line, so that none allocates in steady state. Not thread-safe.
class AccessLine {
  public:
    explicit AccessLine(LogFormat format) : format_(format) {}

    // Appends the line of a request, with its newline. `started_unix_ns`: record.started_ns by the wall clock.
    //
    // Operators without a value are `-` in text and null in JSON; there numbers are numbers, but upstream_service_time,
    // a header, is text, as Envoy writes it. The path is the client's own, before any rewrite. Octets of peers cannot
    // leave their field: in text what would end it (quote, backslash, control octets) is \xHH, as nginx writes it,
    // where Envoy writes it as it came; in JSON it is escaped, and octets that are not ASCII are taken for Latin-1.
    void write(const Record& record, std::int64_t started_unix_ns, std::string& out);

  private:
    struct Values;
    Values values(const Record& record, std::int64_t started_unix_ns);
    static void write_text(const Values& values, std::string& out);
    static void write_json(const Values& values, std::string& out);

    LogFormat format_;
    TimeText time_;
    std::string flags_, agent_, for_;  // what is put together for one line
    std::string details_, failure_;
};

}  // namespace sluice::proxy
