// Lines of the exposure log. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "proxy/log_text.h"
#include "proxy/record.h"

namespace sluice::proxy {

// Reused from line to line, so that none allocates in steady state. Not thread-safe.
class ExposureLine {
  public:
    // Appends a JSON object and a newline, of a request that was assigned (record.assigned):
    //
    //   time         when its first octet came, UTC, milliseconds
    //   experiment, namespace    of the Experiment; salt: what was hashed behind the key
    //   arm, bucket  that the key was assigned to
    //   subset       that answered: the arm's, unless another one stood in for it; "": a whole service
    //   key, hashed  false: the key as it was sent (UTF-8, else taken for Latin-1); true: the hex digits of
    //                MD5("KEY:SALT")
    //   request_id, status (0: nothing was answered), duration_ms, attempts
    void write(const Record& record, std::int64_t started_unix_ns, std::string& out);

  private:
    TimeText time_;
};

}  // namespace sluice::proxy
