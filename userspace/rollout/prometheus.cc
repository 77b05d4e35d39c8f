#include "rollout/prometheus.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "rollout/http_client.h"

namespace sluice::rollout {

namespace {

using Json = nlohmann::json;
using Values = std::vector<PromqlValue>;

constexpr std::size_t kGetMax = 4096;   // octets of a query that fits a URL everywhere; longer ones are posted
constexpr double kCountMax = 1e15;      // more is no count
constexpr std::size_t kShownMax = 200;  // octets of an answer that an error shows
constexpr std::chrono::seconds kMetricsTimeout{10};

// "1.5", "NaN", "+Inf": as Prometheus writes numbers.
std::optional<double> number(std::string_view text) {
    if (text.starts_with('+')) {
        text.remove_prefix(1);
    }
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::string text_of(const Json& value) {
    return value.is_string() ? value.get<std::string>() : std::string();
}

// [time, "value"]
std::optional<double> sample(const Json& value) {
    return value.is_array() && value.size() == 2 && value[1].is_string()
               ? number(value[1].get_ref<const std::string&>())
               : std::nullopt;
}

// False: it is no element of an answer.
bool add_element(const Json& element, Values& out) {
    const auto value = element.is_object() && element.contains("value") ? sample(element["value"]) : std::nullopt;
    if (!value) {
        return false;
    }
    if (std::isnan(*value)) {
        return true;
    }
    PromqlValue& made = out.emplace_back();
    made.value = *value;
    if (const auto labels = element.find("metric"); labels != element.end() && labels->is_object()) {
        for (const auto& [name, label] : labels->items()) {
            made.labels[name] = text_of(label);
        }
    }
    return true;
}

std::string label_of(const PromqlValue& value, const std::string& name) {
    const auto found = value.labels.find(name);
    return found == value.labels.end() ? std::string() : found->second;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
        text.replace(at, what.size(), with);
    }
    return text;
}

// The text of a PromQL string, without its quotes.
std::string quoted(const std::string& text) {
    return replaced(replaced(text, "\\", "\\\\"), "\"", "\\\"");
}

std::string shown(std::string_view text) {
    std::string out(text.substr(0, kShownMax));
    std::ranges::replace_if(
        out, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
    return out;
}

// As config::Gate says of several elements; empty: none has it.
std::optional<double> one_value(const Values& values, const config::Gate& gate, const std::string& version) {
    const bool smallest = gate.min && !gate.max && !gate.regression;
    std::optional<double> out;
    for (const PromqlValue& value : values) {
        if (version.empty() || label_of(value, gate.version_label) == version) {
            out = !out ? value.value : smallest ? std::min(*out, value.value) : std::max(*out, value.value);
        }
    }
    return out;
}

void say(std::string& problem, const std::string& more) {
    problem += (problem.empty() ? "" : "; ") + more;
}

}  // namespace

Result<Values> parse_promql_answer(std::string_view body) {
    const Json answer = Json::parse(body, nullptr, false);
    if (!answer.is_object()) {
        return fail("the answer is no JSON object: '" + shown(body) + "'");
    }
    if (const auto status = answer.find("status"); status == answer.end() || *status != "success") {
        const std::string said = answer.contains("error") ? text_of(answer["error"]) : std::string();
        return fail(said.empty() ? "the answer has no status \"success\"" : shown(said));
    }
    const auto data = answer.find("data");
    if (data == answer.end() || !data->is_object() || !data->contains("result")) {
        return fail("the answer has no data.result");
    }
    const std::string type = data->contains("resultType") ? text_of((*data)["resultType"]) : std::string();
    const Json& result = (*data)["result"];
    Values out;
    if (type == "scalar") {
        if (!add_element(Json{{"value", result}}, out)) {
            return fail("the scalar has no value");
        }
        return out;
    }
    if (type != "vector" || !result.is_array()) {
        return fail("the result is a '" + shown(type) + "'; a query must give an instant vector or a scalar");
    }
    for (const Json& element : result) {
        if (!add_element(element, out)) {
            return fail("an element of the result has no value");
        }
    }
    return out;
}

Prometheus::Prometheus(std::string url, std::stop_token stop) : url_(std::move(url)), stop_(std::move(stop)) {
    while (url_.ends_with('/')) {
        url_.pop_back();
    }
}

Result<Values> Prometheus::query(const std::string& promql, std::chrono::nanoseconds timeout) const {
    HttpRequest request{
        .url = url_ + "/api/v1/query", .body = "query=" + url_encoded(promql), .type = {}, .timeout = timeout};
    if (request.body.size() <= kGetMax) {
        request.url += "?" + std::exchange(request.body, "");
    } else {
        request.type = "application/x-www-form-urlencoded";
    }
    const auto reply = ask_http(request, stop_);
    if (!reply) {
        return fail("Prometheus at " + reply.error().text());
    }
    auto values = parse_promql_answer(reply->body);
    if (!values) {
        return fail("Prometheus at " + url_ + " (status " + std::to_string(reply->status) +
                    "): " + values.error().text());
    }
    return values;
}

Seen::Asked ask_query(const Prometheus& server, const config::Gate& gate, const VersionNames& versions) {
    Seen::Asked asked;
    const bool by_version = gate.query.find("{{version}}") != std::string::npos;
    const bool two = by_version || !gate.champion_query.empty();
    const auto ask = [&](const std::string& query, const std::string& version) -> std::optional<Values> {
        auto values = server.query(replaced(query, "{{version}}", quoted(version)), gate.timeout);
        if (!values) {
            say(asked.problem, values.error().text());
            return std::nullopt;
        }
        return std::move(*values);
    };
    const auto take = [&](const std::optional<Values>& values, const char* who, const std::string& version) {
        const auto value = values ? one_value(*values, gate, two ? std::string() : version) : std::nullopt;
        if (values && !value) {
            say(asked.problem, std::string("the query has no value of the ") + who + " " + version);
        }
        return value;
    };
    const auto answer = ask(gate.query, versions.challenger);
    asked.challenger = take(answer, "challenger", versions.challenger);
    if (gate.regression) {
        const auto other =
            two ? ask(gate.champion_query.empty() ? gate.query : gate.champion_query, versions.champion) : answer;
        asked.champion = take(other, "champion", versions.champion);
    }
    return asked;
}

std::optional<Errors> errors_of(const Values& values, const std::string& label, const std::string& version) {
    struct Sums {
        double requests = 0, failed = 0;
        double rate() const { return requests > 0 ? failed / requests : 0; }
    };
    std::map<std::string, Sums> by_reporter;
    for (const PromqlValue& value : values) {
        if (label_of(value, label) != version) {
            continue;
        }
        Sums& sums = by_reporter[label_of(value, "reporter")];
        sums.requests += value.value;
        const std::string code = label_of(value, "response_code");
        const bool given_up = label_of(value, "response_flags").find("DC") != std::string::npos;
        sums.failed += code.starts_with('5') || (code == "0" && !given_up) ? value.value : 0;
    }
    const auto worst = std::ranges::max_element(
        by_reporter, {}, [](const auto& one) { return std::pair(one.second.rate(), one.second.requests); });
    if (worst == by_reporter.end() || !(worst->second.requests >= 0) || !(worst->second.requests < kCountMax)) {
        return std::nullopt;
    }
    // increase() extrapolates, so its values are no whole numbers.
    const auto whole = static_cast<std::uint64_t>(std::llround(worst->second.requests));
    const auto failed = static_cast<std::uint64_t>(std::llround(std::clamp(worst->second.failed, 0.0, kCountMax)));
    return Errors{whole, std::min(whole, failed)};
}

std::optional<Durations> durations_of(const Values& values, const std::string& label, const std::string& version,
                                      double unit) {
    std::map<double, double> cumulative;
    for (const PromqlValue& value : values) {
        const auto bound = number(label_of(value, "le"));
        if (label_of(value, label) == version && bound && !std::isnan(*bound) && value.value >= 0 &&
            value.value < kCountMax) {
            cumulative[*bound] += value.value;
        }
    }
    if (cumulative.size() < 2 || !std::isinf(cumulative.rbegin()->first)) {
        return std::nullopt;
    }
    std::vector<double> bounds;
    std::vector<std::uint64_t> counts;
    std::uint64_t before = 0;
    for (const auto& [bound, count] : cumulative) {
        const auto up_to = std::max(before, static_cast<std::uint64_t>(std::llround(count)));
        bounds.push_back(bound / unit);
        counts.push_back(up_to - before);
        before = up_to;
    }
    return Durations::buckets(std::move(bounds), std::move(counts));
}

FromMetrics ask_metrics(const Prometheus& server, const std::string& service, const VersionNames& versions,
                        const std::string& challenger_subset, bool mirror, std::chrono::milliseconds window) {
    FromMetrics out;
    const std::string range = "[" + std::to_string(std::max<std::int64_t>(window.count(), 1)) + "ms]";
    const std::string istio = "{destination_service=\"" + quoted(service) + "\"";
    const std::string copies = "{service=\"" + quoted(service) + "\",subset=\"" + quoted(challenger_subset) + "\"}";
    const auto ask = [&](const std::string& query) {
        if (!out.problem.empty()) {
            return Values();  // what does not answer one query would only use up the time of the others
        }
        auto values = server.query(query, kMetricsTimeout);
        if (!values) {
            say(out.problem, values.error().text());
        }
        return values ? std::move(*values) : Values();
    };
    const Values requests =
        ask("sum by (reporter, destination_version, response_code, response_flags) "
            "(increase(istio_requests_total" +
            istio + "}" + range + "))");
    const Values buckets = ask("sum by (destination_version, le) (increase(istio_request_duration_milliseconds_bucket" +
                               istio + ",reporter=\"source\",response_code!=\"0\"}" + range + "))");
    constexpr double kMilliseconds = 1000;
    const std::string version = "destination_version";
    out.champion_errors = errors_of(requests, version, versions.champion);
    out.champion_durations = durations_of(buckets, version, versions.champion, kMilliseconds);
    if (mirror) {
        out.challenger_errors = errors_of(ask("sum by (subset, response_code, response_flags) "
                                              "(increase(sluice_mirror_requests_total" +
                                              copies + range + "))"),
                                          "subset", challenger_subset);
        out.challenger_durations = durations_of(
            ask("sum by (subset, le) (increase(sluice_mirror_duration_seconds_bucket" + copies + range + "))"),
            "subset", challenger_subset, 1);
    } else {
        out.challenger_errors = errors_of(requests, version, versions.challenger);
        out.challenger_durations = durations_of(buckets, version, versions.challenger, kMilliseconds);
    }
    return out;
}

}  // namespace sluice::rollout
