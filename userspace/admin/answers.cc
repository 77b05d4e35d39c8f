#include "admin/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "http/head.h"
#include "verify/words.h"

namespace sluice::admin {

namespace {

double milliseconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

Json fields_json(const verify::Fields& fields) {
    Json out = Json::array();
    for (const auto& [name, value] : fields) {
        out.push_back(Json::array({name, value}));
    }
    return out;
}

// What the client sent, or what the proxy says of the request by itself.
bool is_known(const std::pair<std::string, std::string>& field, const verify::Question& asked) {
    const std::string& name = field.first;
    return http::same_name(name, "host") || http::same_name(name, "x-forwarded-proto") ||
           name.starts_with("x-envoy-") || std::ranges::any_of(asked.headers, [&](const auto& sent) {
               return http::same_name(sent.first, name) && sent.second == field.second;
           });
}

void read_headers(const Json& list, verify::Fields& out) {
    for (const Json& pair : list) {
        out.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<std::string>());
    }
}

// The rule, or the element of its match, at its present place.
Json at_json(const verify::Answer& answer, const ViewContext& context) {
    const model::HttpRoute* route = answer.rule;
    if (route == nullptr || route->rule == nullptr || route->source == nullptr) {
        return nullptr;
    }
    const Where where =
        context.where ? context.where(*route->source) : Where{route->source->file, route->source->place.line};
    int line = route->rule->place.line;
    if (answer.element && route->rule->http->matches[*answer.element].place.line != 0) {
        line = route->rule->http->matches[*answer.element].place.line;
    }
    return fmt::format("{}:{}", where.file, line + where.line - route->source->place.line);
}

Json destinations_json(const verify::Answer& answer) {
    Json out = Json::array();
    for (const auto& [name, share] : answer.subsets) {
        Json row{{"destination", name}, {"share", share}};
        const auto upstream = std::ranges::find(answer.upstreams, name, &verify::Upstream::name);
        if (upstream != answer.upstreams.end() && !upstream->exists) {
            row["refused_as"] = "NC";
        }
        out.push_back(std::move(row));
    }
    return out;
}

}  // namespace

Result<verify::Question> read_question(const std::string& json) {
    const Json value = Json::parse(json, nullptr, false);
    if (!value.is_object()) {
        return fail("question: expected a JSON object");
    }
    verify::Question question;
    try {
        question.host = value.at("host").get<std::string>();
        const auto port = value.value("port", std::uint64_t{0});
        if (port > std::numeric_limits<std::uint16_t>::max()) {
            return fail("question: port: expected 1..65535, found " + std::to_string(port));
        }
        question.port = static_cast<std::uint16_t>(port);
        question.method = value.value("method", question.method);
        question.path = value.value("path", question.path);
        question.client_namespace = value.value("client", question.client_namespace);
        question.client_labels = value.value("labels", question.client_labels);
        read_headers(value.value("headers", Json::array()), question.headers);
    } catch (const Json::exception& error) {
        return fail(std::string("question: ") + error.what());
    }
    return question;
}

Json question_json(const verify::Question& question) {
    return {{"host", question.host},
            {"port", question.port},
            {"method", question.method},
            {"path", question.path},
            {"headers", fields_json(question.headers)},
            {"client", question.client_namespace},
            {"labels", question.client_labels}};
}

Json answer_json(const verify::Answer& answer, const ViewContext& context, const verify::Question* asked) {
    Json out{{"host", answer.service->host}, {"port", answer.service->port}};
    out["lane"] = model::lane_name(answer.lane);
    out["reasons"] = answer.lane_reasons;
    out["rule"] = answer.rule == nullptr ? Json() : where_json(answer.rule->source, context);
    out["at"] = at_json(answer, context);
    out["matched"] =
        answer.element ? Json(verify::match_text(answer.rule->rule->http->matches[*answer.element])) : Json();
    out["route"] = answer.route;
    out["destinations"] = destinations_json(answer);
    out["experiment"] = nullptr;
    if (!answer.experiment.empty()) {
        out["experiment"] = {{"name", answer.experiment}, {"arm", answer.arm}, {"bucket", answer.bucket.value_or(0)}};
    }
    out["status"] = answer.status == 0 ? Json() : Json(answer.status);
    out["location"] = answer.location.empty() ? Json() : Json(answer.location);
    out["timeout_ms"] = milliseconds(answer.timeout);
    out["retries"] = answer.retries;
    out["per_try_timeout_ms"] = milliseconds(answer.per_try_timeout);
    Json mirrors = Json::array();
    for (const verify::Mirror& mirror : answer.mirrors) {
        mirrors.push_back({{"destination", mirror.name}, {"share", mirror.share}});
    }
    out["mirrors"] = std::move(mirrors);
    out["target"] = answer.target;
    out["headers"] = fields_json(answer.headers);
    for (std::size_t i = 0; asked != nullptr && i < answer.headers.size(); ++i) {
        if (!is_known(answer.headers[i], *asked)) {
            out["headers"][i][1] = nullptr;
        }
    }
    return out;
}

}  // namespace sluice::admin
