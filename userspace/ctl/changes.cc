#include "ctl/changes.h"

#include <fmt/format.h>

namespace sluice::ctl {

namespace {

Json translated(const Documents& documents, const Json& texts) {
    Json out = Json::array();
    for (const Json& text : texts) {
        out.push_back(text.is_string() ? Json(documents.translated(text.get<std::string>())) : text);
    }
    return out;
}

void print_refusal(Session& session, const Json& body, const std::string& hint) {
    const Json errors = body.value("errors", Json::array());
    for (const Json& error : errors) {
        session.err << cell(error, "") << '\n';
    }
    session.refuse({kNo, errors.empty() ? body.value("error", "the agent refused") : "nothing was changed" + hint});
}

// The objects without their texts, then each text's difference.
void print_changes(Session& session, const Json& changes) {
    Json rows = Json::array();
    for (Json row : changes) {
        row.erase("before");
        row.erase("after");
        rows.push_back(std::move(row));
    }
    if (!rows.empty()) {
        render_table(session.out, rows, session.colour);
    }
    for (const Json& change : changes) {
        const Json before = change.value("before", Json()), after = change.value("after", Json());
        const std::string difference = unified_diff(before.is_string() ? before.get<std::string>() : "",
                                                    after.is_string() ? after.get<std::string>() : "");
        if (!difference.empty()) {
            session.out << '\n' << printable(change.value("object", "")) << '\n' << difference;
        }
    }
}

void print_effects(Session& session, const Json& body, bool with_texts) {
    const Json effects = body.value("effects", Json::array());
    session.out << (effects.empty() || !with_texts ? "" : "\nEffect:\n");
    for (const Json& effect : effects) {
        session.out << (with_texts ? "  " : "") << cell(effect, "") << '\n';
    }
    for (const Json& note : body.value("notes", Json::array())) {
        session.out << cell(note, "") << '\n';
    }
}

}  // namespace

void print_compared(Session& session, const Json& body) {
    if (session.format != Format::kTable) {
        session.print(body);
        return;
    }
    print_changes(session, body.value("changes", Json::array()));
    print_effects(session, body, true);
}

void print_applied(Session& session, const Documents& documents, const Applied& applied) {
    Json body = applied.body;
    for (const char* name : {"errors", "warnings"}) {
        if (body.is_object() && body.contains(name)) {
            body[name] = translated(documents, body[name]);
        }
    }
    const bool done = applied.status == 200 && body.is_object();
    if (session.format != Format::kTable) {
        session.print(body);
        session.code = done ? kDone : kNo;
        return;
    }
    if (!done) {
        print_refusal(session, body.is_object() ? body : Json::object(),
                      applied.status == 409 ? "; the rules directory was changed at the same time: try again" : "");
        return;
    }
    for (const Json& warning : body.value("warnings", Json::array())) {
        session.err << cell(warning, "") << '\n';
    }
    print_changes(session, body.value("changes", Json::array()));
    print_effects(session, body, body.value("dry_run", false));
    if (body.contains("generation")) {
        const bool dry = body.value("dry_run", false);
        session.out << fmt::format("{}generation {} is in force\n", dry ? "nothing was changed; " : "",
                                   body["generation"].dump());
    }
}

}  // namespace sluice::ctl
