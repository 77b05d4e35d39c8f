// `sluice explain SERVICE --request …`: what one request gets.
#include <fmt/format.h>

#include "admin/answers.h"
#include "ctl/agent.h"
#include "ctl/explain_parts.h"
#include "ctl/offline.h"
#include "verify/answer.h"

namespace sluice::ctl {

namespace {

// "NAME=VALUE", or a header as curl takes it, "NAME: VALUE".
Answer<std::pair<std::string, std::string>> parse_pair(const std::string& text, bool header) {
    const std::size_t equals = text.find('='), colon = header ? text.find(':') : std::string::npos;
    const std::size_t at = std::min(equals, colon);
    if (at == 0 || at == std::string::npos) {
        return std::unexpected(
            Failure{kUsage, "'" + text + "': expected NAME=VALUE" + (header ? " or 'NAME: VALUE'" : "")});
    }
    std::size_t value = at + 1;
    while (at == colon && value < text.size() && text[value] == ' ') {
        ++value;
    }
    return std::pair(text.substr(0, at), text.substr(value));
}

Answer<verify::Question> question_of(const admin::ExplainQuery& service, const RequestAsked& asked) {
    verify::Question question;
    question.host = service.host;
    question.port = service.port;
    if (!service.client.empty()) {
        question.client_namespace = service.client;
    }
    if (!asked.request.empty()) {
        const std::size_t blank = asked.request.find(' ');
        if (blank == std::string::npos) {
            return std::unexpected(Failure{kUsage, "'" + asked.request + "': expected 'METHOD PATH', such as 'GET /'"});
        }
        question.method = asked.request.substr(0, blank);
        question.path = asked.request.substr(blank + 1);
    }
    for (const std::string& header : asked.headers) {
        auto pair = parse_pair(header, true);
        if (!pair) {
            return std::unexpected(pair.error());
        }
        question.headers.push_back(std::move(*pair));
    }
    for (const std::string& label : asked.labels) {
        auto pair = parse_pair(label, false);
        if (!pair) {
            return std::unexpected(pair.error());
        }
        question.client_labels.insert(std::move(*pair));
    }
    return question;
}

Answer<Json> answer_offline(Session& session, const verify::Question& question) {
    auto mesh = sound_mesh(session, {question.client_namespace});
    if (!mesh) {
        return std::unexpected(mesh.error());
    }
    const Result<verify::Oracle> oracle = verify::Oracle::make(*mesh);
    if (!oracle) {
        return std::unexpected(Failure{kNo, oracle.error().text()});
    }
    const Result<verify::Answer> answer = oracle->ask(question);
    if (!answer) {
        return std::unexpected(Failure{kNo, answer.error().text()});
    }
    return admin::answer_json(*answer, {});
}

std::string percent(const Json& share) {
    return fmt::format("{:.6g}%", 100 * share.get<double>());
}

std::string time_text(const Json& ms) {
    const double value = ms.get<double>();
    return value < 1000 ? fmt::format("{:g}ms", value) : fmt::format("{:g}s", value / 1000);
}

std::string shares_text(const Json& rows) {
    std::string text;
    for (const Json& row : rows) {
        text += fmt::format("{}{} {}{}", text.empty() ? "" : ", ", row.value("destination", ""), percent(row["share"]),
                            row.contains("refused_as") ? " (refused: " + row.value("refused_as", "") + ")" : "");
    }
    return text;
}

// The rule, or why there is none.
std::string rule_text(const Json& found) {
    if (!found["at"].is_string()) {
        return found["status"].is_number() ? "none matches" : "none: the plain service";
    }
    const std::string route = found.value("route", "");
    return fmt::format("{}{}  ({})", found["at"].get<std::string>(), route.empty() ? "" : "  " + route,
                       found["rule"].value("object", ""));
}

void print_answer(Session& session, const verify::Question& question, const Json& found) {
    const auto line = [&](const char* name, const std::string& text) {
        session.out << printable(fmt::format("  {:<12}{}", name, text)) << '\n';
    };
    session.out << printable(fmt::format("{} {} to {}:{}, from namespace {}", question.method, question.path,
                                         found.value("host", ""), found.value("port", 0), question.client_namespace))
                << '\n';
    line("rule", rule_text(found));
    if (found["matched"].is_string()) {
        line("matched", found["matched"].get<std::string>());
    }
    line("lane", found.value("lane", ""));
    if (const Json& experiment = found["experiment"]; experiment.is_object()) {
        line("experiment", fmt::format("{}: bucket {}, arm {}", experiment.value("name", ""),
                                       experiment.value("bucket", 0), experiment.value("arm", "")));
    }
    if (found["status"].is_number()) {
        line("answered", fmt::format("{} by the mesh{}", found["status"].get<int>(),
                                     found["location"].is_string() ? ": " + found["location"].get<std::string>() : ""));
    } else {
        line("goes to", shares_text(found["destinations"]));
    }
    if (found["timeout_ms"].get<double>() > 0) {
        line("time-out", time_text(found["timeout_ms"]));
    }
    if (found["retries"].get<int>() > 0) {
        const bool each = found["per_try_timeout_ms"].get<double>() > 0;
        line("retries", std::to_string(found["retries"].get<int>()) +
                            (each ? ", each try " + time_text(found["per_try_timeout_ms"]) : ""));
    }
    if (!found["mirrors"].empty()) {
        line("mirrored", shares_text(found["mirrors"]));
    }
    if (!found["headers"].empty()) {
        line("sent as", found.value("target", ""));
    }
    for (const Json& field : found["headers"]) {
        line("", field.at(0).get<std::string>() + ": " +
                     (field.at(1).is_string() ? field.at(1).get<std::string>() : "(by the rule; the agent hides it)"));
    }
}

}  // namespace

void explain_request(Session& session, const admin::ExplainQuery& service, const RequestAsked& asked) {
    const auto question = question_of(service, asked);
    if (!question) {
        session.refuse(question.error());
        return;
    }
    const auto found = session.offline()
                           ? answer_offline(session, *question)
                           : ask(session, target("/v1/answer", {{"question", admin::question_json(*question).dump()}}));
    if (!found) {
        session.refuse(found.error());
    } else if (session.format == Format::kTable) {
        print_answer(session, *question, *found);
    } else {
        session.print(*found);
    }
}

}  // namespace sluice::ctl
