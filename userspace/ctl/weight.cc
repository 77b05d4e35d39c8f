// `sluice weight`: new weights for a rule, in its file and in force.
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "ctl/changes.h"
#include "ctl/offline.h"
#include "model/weigh.h"
#include "source/directory.h"
#include "source/rule_edit.h"
#include "source/write_back.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::string service;
    std::vector<std::string> weights;
    std::string route;
    std::string message;
    bool dry_run = false;
};

Json number_json(const std::optional<std::uint32_t>& number) {
    return number ? Json(*number) : Json();
}

// The rule and its weights, then what any change tells.
void print_weighed(Session& session, const Applied& weighed) {
    const Json& body = weighed.body;
    if (session.format == Format::kTable && weighed.status == 200 && body.contains("rule")) {
        const Json& rule = body["rule"];
        const std::string name = rule.value("name", "");
        session.out << printable(fmt::format("{}:{}: rule {} of {}", rule.value("file", ""), rule.value("line", 0),
                                             name.empty() ? "without name" : name, rule.value("object", "")))
                    << '\n';
        render_table(session.out, body["weights"], session.colour);
        session.out << '\n';
    }
    print_applied(session, {}, weighed);
}

// The text of an object's document in its file.
Answer<std::string> document_of(const config::Object& object) {
    std::ifstream in(object.file, std::ios::binary);
    std::ostringstream bytes;
    bytes << in.rdbuf();
    const std::string text = std::move(bytes).str();
    std::vector<config::ObjectPtr> objects;
    Diagnostics ignored;
    config::parse(text, object.file, {}, objects, ignored);
    for (const config::ObjectPtr& found : objects) {
        if (found->key == object.key && found->digest == object.digest) {
            return source::document_text(text, *found);
        }
    }
    return std::unexpected(Failure{kNo, object.file + " was changed meanwhile; try again"});
}

// What the directory would say with the edited document; the errors, or nothing.
std::string judged(Session& session, model::Mesh& mesh, const config::Object& object, const std::string& text) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(text, object.file, {}, objects, diagnostics);
    if (diagnostics.has_errors() || objects.size() != 1) {
        return lines(diagnostics);
    }
    const std::vector<model::Change> change{{object.key, objects.front()}};
    auto delta = mesh.apply(change);
    if (!delta) {
        return lines(delta.error());
    }
    session.err << lines(delta->warnings);
    return {};
}

Answer<std::string> write(const std::string& path, const config::ObjectKey& key, const std::string& text) {
    auto directory = source::Directory::open(path);
    if (!directory) {
        return std::unexpected(Failure{kUsage, directory.error().text()});
    }
    const source::Scan scan = directory->scan(true);
    if (scan.diagnostics.has_errors()) {
        return std::unexpected(Failure{kNo, path + " was changed meanwhile; try again"});
    }
    directory->accept();
    auto writer = source::WriteBack::prepare(*directory, {{key, text, {}}});
    if (!writer) {
        return std::unexpected(Failure{kNo, writer.error().text()});
    }
    auto written = writer->commit();
    if (!written) {
        return std::unexpected(Failure{kNo, written.error().text()});
    }
    return source::action_name(written->front().action);
}

void offline(Session& session, const Asked& asked, const std::vector<model::Wish>& wishes) {
    auto mesh = sound_mesh(session);
    if (!mesh) {
        session.refuse(mesh.error());
        return;
    }
    const auto rule = model::weighed_rule(mesh->objects(), asked.service, asked.route, wishes);
    if (!rule) {
        session.refuse({kNo, rule.error().message});
        return;
    }
    const config::Object& object = *rule->virtual_service;
    const auto text = document_of(object);
    if (!text) {
        session.refuse(text.error());
        return;
    }
    std::vector<std::pair<std::size_t, std::uint32_t>> numbers;
    for (std::size_t i = 0; i < wishes.size(); ++i) {
        numbers.emplace_back(rule->destinations[i], wishes[i].weight);
    }
    const auto edited = source::set_weights(*text, rule->rule, numbers);
    if (!edited) {
        session.refuse({kNo, edited.error().message});
        return;
    }
    if (const std::string errors = judged(session, *mesh, object, *edited); !errors.empty()) {
        session.err << errors;
        session.refuse({kNo, "nothing was changed"});
        return;
    }
    const auto action = asked.dry_run ? Answer<std::string>(*edited == *text ? "unchanged" : "replaced")
                                      : write(session.config, object.key, *edited);
    if (!action) {
        session.refuse(action.error());
        return;
    }
    Json change{{"object", object.key.text()}, {"action", *action}, {"file", object.file}};
    if (asked.dry_run) {
        change["before"] = *text;
        change["after"] = *edited;
    }
    Json weights = Json::array();
    for (const model::Weighed& one : model::weighed(*rule, wishes)) {
        weights.push_back(
            {{"destination", one.name}, {"before", number_json(one.before)}, {"after", number_json(one.after)}});
    }
    print_weighed(session, {200,
                            {{"dry_run", asked.dry_run},
                             {"changes", Json::array({std::move(change)})},
                             {"rule",
                              {{"object", object.key.text()},
                               {"name", rule->parsed().name},
                               {"file", object.file},
                               {"line", rule->parsed().place.line}}},
                             {"weights", std::move(weights)}}});
}

void weight(Session& session, const Asked& asked) {
    std::string list;
    for (const std::string& one : asked.weights) {
        list += (list.empty() ? "" : ",") + one;
    }
    const auto wishes = model::read_wishes(list);
    if (!wishes) {
        session.refuse({kUsage, wishes.error().message});
        return;
    }
    if (session.offline()) {
        if (!asked.message.empty()) {
            session.refuse({kUsage, "-m goes into the history of an agent; with --config there is none"});
            return;
        }
        offline(session, asked, *wishes);
        return;
    }
    auto weighed = post(session, "/v1/weight",
                        {{"service", asked.service},
                         {"weights", list},
                         {"route", asked.route},
                         {"message", asked.message},
                         {"dry_run", asked.dry_run ? "1" : ""}},
                        "");
    if (!weighed) {
        session.refuse(weighed.error());
        return;
    }
    print_weighed(session, *weighed);
}

}  // namespace

void add_weight(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand(
        "weight", "Give destinations of a rule new weights, in its file and in force; every other byte stays");
    auto asked = std::make_shared<Asked>();
    verb->add_option("SERVICE", asked->service, "Host of the rule: full, its first labels, or its short name")
        ->required();
    verb->add_option("SUBSET=NUMBER", asked->weights,
                     "New weights by subset (by host where there is none); destinations that are not named keep theirs")
        ->required();
    verb->add_option("--route", asked->route, "The name of the rule, where several fit");
    verb->add_option("-m,--message", asked->message, "Why; kept in the history");
    verb->add_flag("--dry-run", asked->dry_run, "Only say what it would change");
    verb->footer(
        "With --config it edits the file itself, without an agent.\n\n"
        "Example:\n  sluice weight content-ranking-svc v45=75 v47=25 -m 'canary to 25%'");
    verb->callback([&session, asked] { weight(session, *asked); });
}

}  // namespace sluice::ctl
