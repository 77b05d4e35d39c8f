// `sluice diff`: what an apply would change, and what changed between generations.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "config/parse.h"
#include "ctl/changes.h"
#include "ctl/offline.h"
#include "source/write_back.h"
#include "verify/effect.h"

namespace sluice::ctl {

namespace {

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
    auto delta = mesh->preview(changes);
    if (!delta) {
        return refusal(delta.error());
    }
    const verify::Effects effects = verify::effects(verify::changes_of(mesh->services(), *delta));
    return Applied{200,
                   {{"dry_run", true},
                    {"changes", std::move(rows)},
                    {"warnings", texts_of(delta->warnings, Severity::kWarning)},
                    {"effects", effects.text()},
                    {"notes", Json::array()}}};
}

// Numbers are generations, unless files have these names.
bool generations(const std::vector<std::string>& arguments) {
    return arguments.size() <= 2 && std::ranges::all_of(arguments, [](const std::string& text) {
               return text.find_first_not_of("0123456789") == std::string::npos && !std::filesystem::exists(text);
           });
}

void diff_generations(Session& session, const std::vector<std::string>& generations) {
    if (session.offline()) {
        session.refuse(needs_agent("diff GEN"));
        return;
    }
    auto found = ask(session, target("/v1/diff", {{"from", generations.front()},
                                                  {"to", generations.size() > 1 ? generations.back() : ""}}));
    if (!found) {
        session.refuse(found.error());
        return;
    }
    print_compared(session, *found);
}

void diff(Session& session, const std::vector<std::string>& files) {
    if (generations(files)) {
        diff_generations(session, files);
        return;
    }
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
    CLI::App* verb = app.add_subcommand(
        "diff", "What applying files would change, or what differs between generations: texts, and their effect");
    auto files = std::make_shared<std::vector<std::string>>();
    verb->add_option("FILE", *files,
                     "YAML files, - is the standard input; or GEN [GEN]: from one generation to another, or to what is "
                     "in force")
        ->required();
    verb->footer(
        "Exit code 0 when the comparison worked, whether anything differs or not; 1 when an apply would be refused, or "
        "a generation is not kept.\n\n"
        "Examples:\n  sluice diff canary-25.yaml\n  sluice --config rules/ diff canary-25.yaml\n  sluice diff 17\n"
        "  sluice diff 17 18");
    verb->callback([&session, files] { diff(session, *files); });
}

}  // namespace sluice::ctl
