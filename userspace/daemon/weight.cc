// New weights for a rule: found, edited in its document, put in force.
#include <fmt/format.h>

#include "daemon/agent.h"
#include "daemon/answers.h"
#include "daemon/texts.h"
#include "source/rule_edit.h"

namespace sluice::daemon {

using admin::Json;

namespace {

constexpr int kTries = 5;

std::vector<std::pair<std::size_t, std::uint32_t>> numbered(const model::WeighedRule& rule,
                                                            const std::vector<model::Wish>& wishes) {
    std::vector<std::pair<std::size_t, std::uint32_t>> out;
    for (std::size_t i = 0; i < wishes.size(); ++i) {
        out.emplace_back(rule.destinations[i], wishes[i].weight);
    }
    return out;
}

// One error a line.
void refuse(Controller::WeightReport& report, ApplyReport::Outcome outcome, const std::string& why) {
    report.apply.outcome = outcome;
    report.apply.errors.clear();
    for (std::size_t begin = 0; begin <= why.size();) {
        const std::size_t end = std::min(why.find('\n', begin), why.size());
        report.apply.errors.push_back(why.substr(begin, end - begin));
        begin = end + 1;
    }
}

Json number_json(const std::optional<std::uint32_t>& number) {
    return number ? Json(*number) : Json();
}

}  // namespace

// One try; false: the document was changed meanwhile.
bool Controller::weigh(const admin::WeightRequest& request, const std::vector<model::Wish>& wishes,
                       WeightReport& report) {
    using Outcome = ApplyReport::Outcome;
    config::ObjectKey key;
    int first_line = 1;
    std::vector<std::string> canaries;
    {
        Gate::Read lock(gate_);
        report.apply.generation = publisher_.generation();
        const auto found = model::weighed_rule(mesh_.objects(), request.service, request.route, wishes);
        if (!found) {
            refuse(report, Outcome::kInvalid, found.error().message);
            return true;
        }
        key = found->virtual_service->key;
        canaries = model::canaries_of(mesh_.objects(), *found);
        if (const auto location = directory_ ? directory_->locate(key) : std::nullopt) {
            report.file = location->file;
            first_line = location->line;
        }
    }
    const auto text = document(key);
    if (!text) {
        refuse(report, Outcome::kFailed, text.error().text());
        return true;
    }
    // The file may be newer than what is in force.
    const auto rule = model::weighed_rule({{key, text->object}}, request.service, request.route, wishes);
    if (!rule) {
        refuse(report, Outcome::kInvalid, rule.error().message);
        return true;
    }
    report.object = key.text();
    report.rule = rule->parsed().name;
    report.line = first_line + rule->parsed().place.line - 1;
    report.weights = model::weighed(*rule, wishes);
    const auto edited = source::set_weights(text->text, rule->rule, numbered(*rule, wishes));
    if (!edited) {
        refuse(report, Outcome::kFailed, edited.error().message);
        return true;
    }
    ReplaceReport replaced = replace(
        {.key = key,
         .expected = text->text,
         .request = {.documents = *edited, .file = "weight", .message = request.message, .dry_run = request.dry_run},
         .actor = peer_actor(request.peer.uid, request.peer.pid),
         .source = state::ChangeSource::kWeight});
    report.apply = std::move(replaced.apply);
    for (const std::string& canary : canaries) {
        report.apply.notes.push_back(fmt::format("{} moves this rule; if it is running, it pauses now", canary));
    }
    return !replaced.moved;
}

Controller::WeightReport Controller::weight(const admin::WeightRequest& request) {
    WeightReport report;
    const auto wishes = model::read_wishes(request.weights);
    if (!wishes) {
        refuse(report, ApplyReport::Outcome::kInvalid, wishes.error().message);
        return report;
    }
    for (int tries = 0; tries < kTries; ++tries) {
        report = {};
        if (weigh(request, *wishes, report)) {
            break;
        }
    }
    return report;
}

admin::Answer Agent::weight(const admin::WeightRequest& request) {
    const Controller::WeightReport report = controller_.weight(request);
    if (!request.dry_run) {
        changed_();
    }
    admin::Answer answer = apply_answer(report.apply, request.dry_run);
    if (report.object.empty()) {
        return answer;
    }
    Json body = Json::parse(answer.body);
    body["rule"] = {{"object", report.object}, {"name", report.rule}, {"file", report.file}, {"line", report.line}};
    body["weights"] = Json::array();
    for (const model::Weighed& one : report.weights) {
        body["weights"].push_back(
            {{"destination", one.name}, {"before", number_json(one.before)}, {"after", number_json(one.after)}});
    }
    const int status = answer.status;
    answer = admin::json_answer(body);
    answer.status = status;
    return answer;
}

}  // namespace sluice::daemon
