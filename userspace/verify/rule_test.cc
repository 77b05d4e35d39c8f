#include "verify/rule_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "http/head.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

// Shares are compared as people round them: 33.3 for a third.
constexpr double kSameShare = 0.0005;

using Shares = std::vector<std::pair<std::string, double>>;

std::string time_text(std::chrono::nanoseconds time) {
    return time.count() == 0 ? "none" : duration_text(time);
}

std::string shares_text(const Shares& shares) {
    std::string text;
    for (const auto& [name, share] : shares) {
        text += (text.empty() ? "" : ", ") + name + " " + share_text(share);
    }
    return text.empty() ? "none" : text;
}

std::string mirrors_text(const std::vector<Mirror>& mirrors) {
    Shares shares;
    for (const Mirror& mirror : mirrors) {
        shares.emplace_back(mirror.name, mirror.share);
    }
    return shares_text(shares);
}

std::string conditions_text(const config::RetryConditions& on) {
    std::string text;
    for (std::size_t i = 0; i < on.on.size(); ++i) {
        text += on.on[i]
                    ? (text.empty() ? "" : ",") + std::string(config::retry_on_name(static_cast<config::RetryOn>(i)))
                    : "";
    }
    for (const std::uint16_t code : on.codes) {
        text += (text.empty() ? "" : ",") + std::to_string(code);
    }
    return text.empty() ? "nothing" : text;
}

std::string fault_text(const config::Fault& fault) {
    std::string text;
    if (fault.delay && fault.delay->share != 0) {
        text = fmt::format("delay {} of {}", time_text(fault.delay->duration), share_text(fault.delay->share));
    }
    if (fault.abort && fault.abort->share != 0) {
        text += fmt::format("{}abort {} of {}", text.empty() ? "" : ", ",
                            fault.abort->grpc_status ? fmt::format("gRPC {}", *fault.abort->grpc_status)
                                                     : std::to_string(fault.abort->status),
                            share_text(fault.abort->share));
    }
    return text.empty() ? "none" : text;
}

// Each is in the other with the same share.
bool same_shares(const Shares& expected, const Shares& found) {
    const auto share_of = [&](const std::string& name) {
        double sum = 0;
        for (const auto& [written, share] : expected) {
            sum += names_destination(written, name) ? share : 0;
        }
        return sum;
    };
    return std::ranges::all_of(
               found, [&](const auto& one) { return std::abs(share_of(one.first) - one.second) < kSameShare; }) &&
           std::ranges::all_of(expected, [&](const auto& one) {
               return one.second < kSameShare || std::ranges::any_of(found, [&](const auto& other) {
                          return names_destination(one.first, other.first);
                      });
           });
}

bool same_conditions(config::RetryConditions a, config::RetryConditions b) {
    std::ranges::sort(a.codes);
    std::ranges::sort(b.codes);
    return a.on == b.on && a.codes == b.codes;
}

// All values of a field.
std::vector<std::string> values_of(const Fields& fields, const std::string& name) {
    std::vector<std::string> values;
    for (const auto& [key, value] : fields) {
        if (http::same_name(key, name)) {
            values.push_back(value);
        }
    }
    return values;
}

std::string joined(const std::vector<std::string>& values) {
    std::string text;
    for (const std::string& value : values) {
        text += (text.empty() ? "" : " | ") + value;
    }
    return values.empty() ? "absent" : "\"" + text + "\"";
}

class Comparison {
  public:
    Comparison(const Expected& expected, const Answer& answer, std::vector<Mismatch>& out)
        : expected_(expected), answer_(answer), out_(out) {}

    void run();

  private:
    void differ(std::string field, std::string expected, std::string found) {
        out_.push_back({std::move(field), std::move(expected), std::move(found)});
    }
    void text(const char* field, const std::optional<std::string>& expected, const std::string& found) {
        if (expected && *expected != found) {
            differ(field, expected->empty() ? "none" : *expected, found.empty() ? "none" : found);
        }
    }
    void destinations();
    void policies();
    void retries();
    void fields(const std::string& where, const ExpectedFields& expected, Fields Upstream::*found);
    void experiment();
    std::string local_text() const;

    const Expected& expected_;
    const Answer& answer_;
    std::vector<Mismatch>& out_;
};

std::string Comparison::local_text() const {
    return answer_.status == 0        ? "it is forwarded"
           : answer_.rule == nullptr  ? fmt::format("{}: no rule matched", answer_.status)
           : answer_.location.empty() ? fmt::format("answered with {}", answer_.status)
                                      : fmt::format("redirected with {} to {}", answer_.status, answer_.location);
}

void Comparison::destinations() {
    if (expected_.subsets && !same_shares(*expected_.subsets, answer_.subsets)) {
        const bool one = expected_.subsets->size() == 1;
        const bool local = answer_.subsets.empty() && answer_.status != 0;
        differ(one ? "subset" : "subsets", one ? expected_.subsets->front().first : shares_text(*expected_.subsets),
               local ? local_text() : shares_text(answer_.subsets));
    }
    if (expected_.status && *expected_.status != answer_.status) {
        differ("status", std::to_string(*expected_.status), local_text());
    }
    if (expected_.lane && *expected_.lane != answer_.lane) {
        differ("lane", model::lane_name(*expected_.lane),
               model::lane_name(answer_.lane) +
                   (answer_.lane_reasons.empty() ? "" : ", because " + answer_.lane_reasons.front()));
    }
}

void Comparison::retries() {
    const ExpectedRetries& retries = *expected_.retries;
    if (retries.attempts && *retries.attempts != answer_.retries) {
        differ("retries.attempts", std::to_string(*retries.attempts), std::to_string(answer_.retries));
    }
    if (retries.per_try_timeout && *retries.per_try_timeout != answer_.per_try_timeout) {
        differ("retries.perTryTimeout", time_text(*retries.per_try_timeout), time_text(answer_.per_try_timeout));
    }
    if (retries.on && !same_conditions(*retries.on, answer_.retry_on)) {
        differ("retries.retryOn", conditions_text(*retries.on), conditions_text(answer_.retry_on));
    }
}

void Comparison::policies() {
    if (expected_.timeout && *expected_.timeout != answer_.timeout) {
        differ("timeout", time_text(*expected_.timeout), time_text(answer_.timeout));
    }
    if (expected_.retries) {
        retries();
    }
    if (expected_.mirrors) {
        Shares wanted, found;
        for (const Mirror& mirror : *expected_.mirrors) {
            wanted.emplace_back(mirror.name, mirror.share);
        }
        for (const Mirror& mirror : answer_.mirrors) {
            found.emplace_back(mirror.name, mirror.share);
        }
        if (wanted.size() != found.size() || !same_shares(wanted, found)) {
            differ("mirrors", mirrors_text(*expected_.mirrors), mirrors_text(answer_.mirrors));
        }
    }
    if (expected_.fault) {
        const model::HttpRoute* rule = answer_.rule;
        const bool has =
            rule != nullptr && rule->rule != nullptr && rule->rule->http != nullptr && rule->rule->http->fault;
        const std::string wanted = fault_text(*expected_.fault);
        const std::string found = has ? fault_text(*rule->rule->http->fault) : "none";
        if (wanted != found) {
            differ("fault", wanted, found);
        }
    }
}

// What is expected holds for every destination that may get the request.
void Comparison::fields(const std::string& where, const ExpectedFields& expected, Fields Upstream::*found) {
    if (expected.empty()) {
        return;
    }
    if (answer_.upstreams.empty()) {
        differ(where, "a request that is forwarded", local_text());
        return;
    }
    for (const Upstream& upstream : answer_.upstreams) {
        const std::string who = answer_.upstreams.size() > 1 ? " (" + upstream.name + ")" : "";
        const auto differ_here = [&](const char* how, const std::string& name, std::string wanted,
                                     const std::vector<std::string>& values) {
            differ(where + "." + how + "." + name + who, std::move(wanted), joined(values));
        };
        for (const auto& [name, value] : expected.set) {
            const std::vector<std::string> wanted = values_of(expected.set, name);
            const std::vector<std::string> values = values_of(upstream.*found, name);
            if (wanted != values && wanted.front() == value) {
                differ_here("set", name, joined(wanted), values);
            }
        }
        for (const auto& [name, value] : expected.add) {
            const std::vector<std::string> values = values_of(upstream.*found, name);
            if (std::ranges::find(values, value) == values.end()) {
                differ_here("add", name, "among others \"" + value + "\"", values);
            }
        }
        for (const std::string& name : expected.remove) {
            if (const std::vector<std::string> values = values_of(upstream.*found, name); !values.empty()) {
                differ_here("remove", name, "absent", values);
            }
        }
    }
}

void Comparison::experiment() {
    const ExpectedExperiment& wanted = *expected_.experiment;
    if (!wanted.name && !wanted.arm && !wanted.bucket) {
        text("experiment", std::string(), answer_.experiment);
        return;
    }
    text("experiment.name", wanted.name, answer_.experiment);
    text("experiment.arm", wanted.arm, answer_.arm);
    if (wanted.bucket && wanted.bucket != answer_.bucket) {
        differ("experiment.bucket", std::to_string(*wanted.bucket),
               answer_.bucket ? std::to_string(*answer_.bucket) : "none");
    }
}

void Comparison::run() {
    if (expected_.service && !names_destination(*expected_.service, answer_.service->host)) {
        differ("service", *expected_.service, answer_.service->host);
    }
    text("route", expected_.route, answer_.route);
    destinations();
    policies();
    text("target", expected_.target, answer_.target);
    text("location", expected_.location, answer_.location);
    fields("headers.request", expected_.request, &Upstream::headers);
    fields("headers.response", expected_.response, &Upstream::response_headers);
    if (expected_.experiment) {
        experiment();
    }
}

std::string place_of(const Answer& answer) {
    const model::HttpRoute* rule = answer.rule;
    if (rule == nullptr || rule->rule == nullptr || rule->source == nullptr) {
        return "";
    }
    config::Place place = rule->rule->place;
    if (answer.element && rule->rule->http->matches[*answer.element].place.line != 0) {
        place = rule->rule->http->matches[*answer.element].place;
    }
    return rule->source->file + ":" + std::to_string(place.line);
}

}  // namespace

bool names_destination(std::string_view written, std::string_view name) {
    return name == written || (name.size() > written.size() && !written.empty() && name.starts_with(written) &&
                               name[written.size()] == '.');
}

Verdict run_rule_test(const Oracle& oracle, const RuleTest& test) {
    Verdict verdict;
    verdict.test = &test;
    Result<Answer> answer = oracle.ask(test.request);
    if (!answer) {
        verdict.refusal = answer.error().text();
        if (!test.expect.error) {
            verdict.mismatches.push_back({"", "an answer", verdict.refusal});
        } else if (verdict.refusal.find(*test.expect.error) == std::string::npos) {
            verdict.mismatches.push_back({"error", *test.expect.error, verdict.refusal});
        }
        return verdict;
    }
    if (test.expect.error) {
        verdict.mismatches.push_back({"error", *test.expect.error, "it is answered"});
    }
    Comparison(test.expect, *answer, verdict.mismatches).run();
    verdict.decided = place_of(*answer);
    verdict.answer = std::move(*answer);
    return verdict;
}

}  // namespace sluice::verify
