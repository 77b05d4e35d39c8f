// `sluice diff`: what an apply would change.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "config/parse.h"
#include "ctl/changes.h"
#include "ctl/offline.h"
#include "source/write_back.h"

namespace sluice::ctl {

namespace {

std::string weights(const model::ServicePort& service) {
    std::string out;
    for (const model::Destination& destination : service.route->destinations) {
        const std::string name = destination.cluster && !destination.cluster->subset.empty()
                                     ? destination.cluster->subset
                                     : destination.text;
        out += (out.empty() ? "" : " ") + name + "=" + std::to_string(destination.weight);
    }
    return out;
}

using Services = std::map<model::ServicePortKey, model::ServicePortPtr>;

Json effects(const Services& before, const model::Delta& delta) {
    Json notes = Json::array();
    const auto name = [](const std::string& host, std::uint16_t port, const std::string& scope) {
        return fmt::format("{}:{}{}", host, port, scope.empty() ? "" : " for clients of " + scope);
    };
    for (const model::ServicePortPtr& service : delta.changed) {
        const std::string who = name(service->host, service->port, service->scope), now = weights(*service);
        const auto old = before.find({service->scope, service->host, service->port});
        if (old == before.end()) {
            notes.push_back(who + ": new: " + now);
        } else if (const std::string then = weights(*old->second); then != now) {
            notes.push_back(who + ": weights " + then + " -> " + now);
        } else {
            notes.push_back(who + ": policy or endpoints change, weights stay " + now);
        }
    }
    for (const model::ServicePortKey& key : delta.removed) {
        notes.push_back(name(key.host, key.port, key.scope) + ": removed");
    }
    return notes;
}

Json present_text(const config::Object& object) {
    std::ostringstream bytes;
    bytes << std::ifstream(object.file, std::ios::binary).rdbuf();
    const std::string text = std::move(bytes).str();
    return object.end <= text.size() ? Json(source::document_text(text, object)) : Json();
}

Json texts_of(const Diagnostics& diagnostics, Severity severity) {
    Json out = Json::array();
    for (const Diagnostic& one : diagnostics.items) {
        if (one.severity == severity) {
            out.push_back(one.text());
        }
    }
    return out;
}

Applied refusal(const Diagnostics& diagnostics) {
    return {
        422,
        {{"errors", texts_of(diagnostics, Severity::kError)}, {"warnings", texts_of(diagnostics, Severity::kWarning)}}};
}

// The same answer as the agent's to a dry run.
Answer<Applied> diff_offline(Session& session, const Documents& documents) {
    auto mesh = sound_mesh(session);
    if (!mesh) {
        return std::unexpected(mesh.error());
    }
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(documents.body, documents.name, {}, objects, diagnostics);
    if (diagnostics.has_errors()) {
        return refusal(diagnostics);
    }
    Json rows = Json::array();
    std::vector<model::Change> changes;
    for (const config::ObjectPtr& object : objects) {
        const auto present = mesh->objects().find(object->key);
        const bool exists = present != mesh->objects().end();
        const std::string after = source::document_text(documents.body, *object);
        const Json before = exists ? present_text(*present->second) : Json();
        const bool same = exists && before == after;
        rows.push_back({{"object", object->key.text()},
                        {"action", same     ? "unchanged"
                                   : exists ? "replaced"
                                            : "created"},
                        {"file", exists ? present->second->file : ""},
                        {"before", before},
                        {"after", after}});
        if (!same) {
            changes.push_back({object->key, object});
        }
    }
    const Services before = mesh->services();
    auto delta = mesh->apply(changes);
    if (!delta) {
        return refusal(delta.error());
    }
    return Applied{200,
                   {{"dry_run", true},
                    {"changes", std::move(rows)},
                    {"warnings", texts_of(delta->warnings, Severity::kWarning)},
                    {"notes", effects(before, *delta)}}};
}

void diff(Session& session, const std::vector<std::string>& files) {
    auto documents = read_documents(files, std::cin);
    if (!documents) {
        session.refuse(documents.error());
        return;
    }
    auto answer = session.offline()
                      ? diff_offline(session, *documents)
                      : post_apply(session, {{"file", documents->name}, {"dry_run", "1"}}, documents->body);
    if (!answer) {
        session.refuse(answer.error());
        return;
    }
    print_applied(session, *documents, *answer);
}

}  // namespace

void add_diff(CLI::App& app, Session& session) {
    CLI::App* verb =
        app.add_subcommand("diff", "What applying the files would change: texts, and the effect on weights");
    auto files = std::make_shared<std::vector<std::string>>();
    verb->add_option("FILE", *files, "YAML files; - is the standard input")->required();
    verb->footer(
        "Exit code 0 when the comparison worked, whether anything differs or not; 1 when an apply would be refused.\n\n"
        "Examples:\n  sluice diff canary-25.yaml\n  sluice --config rules/ diff canary-25.yaml");
    verb->callback([&session, files] { diff(session, *files); });
}

}  // namespace sluice::ctl
