#include "admin/explain_rules.h"

#include <fmt/format.h>

#include <utility>

#include "admin/shares.h"
#include "model/experiment.h"

namespace sluice::admin {

namespace {

Json does_json(const model::HttpRoute& rule) {
    Json out = Json::array();
    bool headers = false;
    for (const verify::Deed& deed : verify::deeds(rule)) {
        // Everybody on the machine may ask: values of header fields may be secret.
        if (!deed.headers) {
            out.push_back(deed.text);
        } else if (!std::exchange(headers, true)) {
            out.push_back("changes header fields");
        }
    }
    return out;
}

Json destinations_json(const model::HttpRoute& rule) {
    std::uint64_t sum = 0;
    for (const model::Destination& destination : rule.destinations) {
        sum += destination.weight;
    }
    Json out = Json::array();
    for (const model::Destination& destination : rule.destinations) {
        Json row{{"destination", destination.text}};
        row["subset"] = destination.cluster ? Json(destination.cluster->subset) : Json(nullptr);
        row["weight"] = destination.weight;
        row["share"] = share(destination.weight, sum);
        if (!destination.cluster) {
            row["refused_as"] = "NC";
        }
        out.push_back(std::move(row));
    }
    return out;
}

Json at_json(const model::HttpRoute& rule, const ViewContext& context) {
    if (rule.rule == nullptr || rule.source == nullptr) {
        return nullptr;
    }
    // The document may have moved in its file since it was read.
    const int moved = context.where ? context.where(*rule.source).line - rule.source->place.line : 0;
    const std::string file = context.where ? context.where(*rule.source).file : rule.source->file;
    return fmt::format("{}:{}", file, rule.rule->place.line + moved);
}

// Of an experiment with arms of its own: who has a key goes by these, not by the weights of the destinations.
Json arms_json(const model::HttpRoute& rule) {
    if (rule.experiment == nullptr || rule.experiment->arms.empty()) {
        return nullptr;
    }
    const std::vector<model::ExperimentArm> arms = model::arms_of(rule);
    std::uint64_t sum = 0;
    for (const model::ExperimentArm& arm : arms) {
        sum += arm.weight;
    }
    Json out = Json::array();
    for (const model::ExperimentArm& arm : arms) {
        out.push_back({{"arm", arm.name}, {"subset", arm.subset}, {"share", share(arm.weight, sum)}});
    }
    return out;
}

}  // namespace

std::vector<std::string> when_texts(const model::HttpRoute& rule) {
    std::vector<std::string> out;
    for (const std::uint32_t i : rule.matches) {
        out.push_back(match_text(rule.rule->http->matches[i]));
    }
    return out.empty() ? std::vector<std::string>{"every request"} : out;
}

Json rules_json(const model::ServicePort& service, const ViewContext& context) {
    Json out = Json::array();
    for (const model::HttpRoute& rule : service.route->http) {
        Json row{{"name", rule.name}, {"when", when_texts(rule)}};
        row["only_for"] = rule.rule == nullptr && !rule.catch_all ? Json("clients whose labels no rule before asks for")
                                                                  : Json(nullptr);
        row["destinations"] = destinations_json(rule);
        row["does"] = does_json(rule);
        row["experiment"] = where_json(rule.experiment_source, context);
        row["arms"] = arms_json(rule);
        row["at"] = at_json(rule, context);
        out.push_back(std::move(row));
    }
    return out;
}

}  // namespace sluice::admin
