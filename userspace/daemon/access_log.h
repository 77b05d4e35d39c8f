// The logs' part of the command line.
#pragma once

#include <CLI/CLI.hpp>

#include "proxy/access_log.h"
#include "proxy/exposure_log.h"

namespace sluice::daemon {

// --access-log, --access-log-format, --access-log-sample: they fill `out` when the line is parsed.
void add_access_log_options(CLI::App& app, proxy::AccessLogOptions& out);
// --exposure-log, likewise.
void add_exposure_log_option(CLI::App& app, proxy::ExposureLogOptions& out);

}  // namespace sluice::daemon
