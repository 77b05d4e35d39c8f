// libbpf's words about a failure go into the Error, not to stderr.
#pragma once

#include <string>

#include "base/result.h"

namespace sluice::bpf {

// Collects what libbpf prints in this thread while it lives; libbpf is silent elsewhere once the first was made.
class LibbpfLog {
  public:
    LibbpfLog();
    ~LibbpfLog();
    LibbpfLog(const LibbpfLog&) = delete;
    LibbpfLog& operator=(const LibbpfLog&) = delete;

    // The error with the last lines that libbpf wrote.
    std::unexpected<Error> fail(int code, const std::string& what) const;

  private:
    std::string* before_;
    std::string text_;
};

}  // namespace sluice::bpf
