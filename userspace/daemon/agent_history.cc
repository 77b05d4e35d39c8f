// Changes and their history, as the admin API tells them.
#include <fmt/format.h>

#include "daemon/agent.h"
#include "daemon/answers.h"
#include "daemon/texts.h"

namespace sluice::daemon {

using admin::Json;

namespace {

int http_status(ApplyReport::Outcome outcome) {
    switch (outcome) {
        case ApplyReport::Outcome::kDone:
            return 200;
        case ApplyReport::Outcome::kInvalid:
            return 422;
        case ApplyReport::Outcome::kConflict:
            return 409;
        case ApplyReport::Outcome::kFailed:
            return 503;
    }
    return 500;
}

Json text_json(const std::optional<std::string>& text) {
    return text ? Json(*text) : Json();
}

Json changes_json(const std::vector<AppliedChange>& changes) {
    Json out = Json::array();
    for (const AppliedChange& change : changes) {
        Json row{{"object", change.object}, {"action", change.action}, {"file", change.file}};
        if (change.before || change.after) {
            row["before"] = text_json(change.before);
            row["after"] = text_json(change.after);
        }
        out.push_back(std::move(row));
    }
    return out;
}

Json version_json(const std::optional<state::Version>& version) {
    return version ? Json{{"file", version->file}, {"text", version->bytes}} : Json();
}

Json versions_json(const std::vector<state::ObjectVersions>& versions) {
    Json out = Json::array();
    for (const state::ObjectVersions& object : versions) {
        out.push_back({{"object", object.key.text()},
                       {"action", object.before && object.after ? "changed"
                                  : object.after                ? "created"
                                                                : "deleted"},
                       {"before", version_json(object.before)},
                       {"after", version_json(object.after)}});
    }
    return out;
}

// Bytes that are no UTF-8 are replaced.
std::string quoted(const std::string& text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Written at once: ten thousand entries as JSON values would take several times as long.
void write_entry(const state::HistoryRow& row, std::string& out) {
    fmt::format_to(std::back_inserter(out),
                   R"({{"id":{},"generation":{},"time":"{}","actor":{},"source":"{}","file":{},"summary":{},)"
                   R"("result":"{}","errors":{},"message":{},"objects":{},"uid":{},"pid":{}}})",
                   row.id, row.generation, time_text(row.time), quoted(row.actor.user), state::source_name(row.source),
                   quoted(row.file), quoted(row.summary), row.ok ? "in force" : "refused", quoted(row.errors),
                   quoted(row.message), row.objects, row.actor.uid, row.actor.pid);
}

// "KIND/NAMESPACE/NAME".
Result<config::ObjectKey> key_of(const std::string& text) {
    const std::size_t first = text.find('/'), last = text.rfind('/');
    const std::string kind = text.substr(0, first);
    for (const config::Kind known : state::kKinds) {
        if (first != last && last + 1 < text.size() && kind == config::kind_name(known)) {
            return config::ObjectKey{known, text.substr(first + 1, last - first - 1), text.substr(last + 1)};
        }
    }
    return std::unexpected(
        Error{EINVAL,
              "object: expected KIND/NAMESPACE/NAME, such as VirtualService/ml-serving/ranking, found '" + text + "'"});
}

}  // namespace

admin::Answer apply_answer(const ApplyReport& report, bool dry_run) {
    Json body;
    if (report.outcome == ApplyReport::Outcome::kDone) {
        body = {
            {"generation", report.generation}, {"dry_run", dry_run},        {"changes", changes_json(report.changes)},
            {"warnings", report.warnings},     {"effects", report.effects}, {"notes", report.notes}};
    } else {
        body = {{"error", report.errors.empty() ? "refused" : report.errors.front()},
                {"errors", report.errors},
                {"warnings", report.warnings},
                {"generation", report.generation}};
    }
    admin::Answer answer = admin::json_answer(body);
    answer.status = http_status(report.outcome);
    return answer;
}

Result<std::string> Agent::history(const admin::HistoryQuery& query) {
    state::HistoryQuery wanted{.limit = query.limit,
                               .before = query.before,
                               .id = query.entry,
                               .generation = query.generation,
                               .since = query.since,
                               .refused = query.refused};
    if (!query.object.empty()) {
        auto key = key_of(query.object);
        if (!key) {
            return std::unexpected(key.error());
        }
        wanted.object = std::move(*key);
    }
    auto rows = controller_.history(wanted);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    std::string out = "[";
    for (const state::HistoryRow& row : *rows) {
        out += out.size() > 1 ? "," : "";
        write_entry(row, out);
        if (query.objects) {
            auto versions = controller_.versions(row.id);
            if (!versions) {
                return std::unexpected(versions.error());
            }
            out.back() = ',';
            out +=
                R"("changes":)" + versions_json(*versions).dump(-1, ' ', false, Json::error_handler_t::replace) + "}";
        }
    }
    reply_bytes_ += out.size();
    return out + "]\n";
}

admin::Answer Agent::apply(const admin::ApplyRequest& request) {
    ApplyReport report = controller_.apply(request);
    if (!request.dry_run) {
        changed_();
    }
    return apply_answer(report, request.dry_run);
}

admin::Answer Agent::rollback(const admin::RollbackRequest& request) {
    ApplyReport report = controller_.rollback(request);
    if (!request.dry_run) {
        changed_();
    }
    return apply_answer(report, request.dry_run);
}

admin::Answer Agent::compare(const admin::CompareQuery& query) {
    return apply_answer(controller_.compare(query), true);
}

}  // namespace sluice::daemon
