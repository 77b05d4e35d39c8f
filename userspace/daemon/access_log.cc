#include "daemon/access_log.h"

#include <charconv>
#include <string>

namespace sluice::daemon {

// A share as 0, 1 or 0.25; "nan" is none.
static std::string check_share(const std::string& text) {
    double share = -1;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), share);
    const bool good = error == std::errc() && stop == text.data() + text.size() && share >= 0 && share <= 1;
    return good ? "" : "'" + text + "': expected a number from 0 to 1";
}

void add_access_log_options(CLI::App& app, proxy::AccessLogOptions& out) {
    app.add_option_function<std::string>(
           "--access-log", [&out](const std::string& path) { out.path = path == "none" ? "" : path; },
           "PATH: a line a request of the proxy lane; '-': standard output; SIGHUP opens it anew")
        ->default_str("none");
    app.add_option_function<std::string>(
           "--access-log-format",
           [&out](const std::string& format) {
               out.format = format == "json" ? proxy::LogFormat::kJson : proxy::LogFormat::kText;
           },
           "Istio's default format, or the same as JSON")
        ->check(CLI::IsMember({"text", "json"}))
        ->default_str("text");
    app.add_option("--access-log-sample", out.sample,
                   "part of the requests that is logged; what failed (no answer, 5xx, a response flag) is in any case")
        ->check(CLI::Validator(check_share, "0..1"))
        ->default_str("1");
}

void add_exposure_log_option(CLI::App& app, proxy::ExposureLogOptions& out) {
    app.add_option_function<std::string>(
           "--exposure-log", [&out](const std::string& path) { out.path = path == "none" ? "" : path; },
           "PATH: a JSON line a request that an Experiment with `exposure` assigned; '-': standard output; SIGHUP "
           "opens "
           "it anew")
        ->default_str("none");
}

}  // namespace sluice::daemon
