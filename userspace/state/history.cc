// What the history can be asked.
#include "state/store_impl.h"

namespace sluice::state {

namespace {

constexpr const char* kColumns =
    "SELECT id, generation, time_ns, uid, pid, user, source, summary, ok, errors, message, file, objects FROM history";

ChangeSource source_of(std::string_view name) {
    for (const ChangeSource source : {ChangeSource::kApply, ChangeSource::kStart, ChangeSource::kCanary,
                                      ChangeSource::kWeight, ChangeSource::kRollback}) {
        if (name == source_name(source)) {
            return source;
        }
    }
    return ChangeSource::kDirectory;
}

std::int64_t nanoseconds(std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

HistoryRow read_row(const Statement& statement) {
    HistoryRow row;
    row.id = statement.integer(0);
    row.generation = static_cast<std::uint64_t>(statement.integer(1));
    row.time = std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(
        std::chrono::nanoseconds(statement.integer(2))));
    row.actor = {statement.integer(3), statement.integer(4), statement.text(5)};
    row.source = source_of(statement.text(6));
    row.summary = statement.text(7);
    row.ok = statement.integer(8) != 0;
    row.errors = statement.text(9);
    row.message = statement.text(10);
    row.file = statement.text(11);
    row.objects = static_cast<std::size_t>(statement.integer(12));
    return row;
}

// Columns file, bytes from `column` on; NULL: it did not exist.
std::optional<Version> read_version(const Statement& statement, int column) {
    if (statement.null(column)) {
        return std::nullopt;
    }
    return Version{statement.text(column), statement.text(column + 1)};
}

// Every row of a statement through `read`.
template <typename T, typename Read>
Result<std::vector<T>> read_all(Statement& statement, const Read& read) {
    std::vector<T> out;
    for (;;) {
        auto row = statement.step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return out;
        }
        Result<T> value = read(statement);
        if (!value) {
            return std::unexpected(value.error());
        }
        out.push_back(std::move(*value));
    }
}

// Columns kind, ns, name, file and bytes before, file and bytes after.
Result<ObjectVersions> read_versions(const Statement& statement) {
    auto key = key_of(statement, 0);
    if (!key) {
        return std::unexpected(key.error());
    }
    return ObjectVersions{std::move(*key), read_version(statement, 3), read_version(statement, 5)};
}

std::string conditions(const HistoryQuery& query) {
    std::string sql = " WHERE time_ns >= ?1";
    sql += query.before > 0 ? " AND id < ?2" : "";
    sql += query.id > 0 ? " AND id = ?3" : "";
    sql += query.generation ? " AND ok = 1 AND generation = ?4" : "";
    sql += query.object ? " AND id IN (SELECT history FROM changes WHERE kind = ?5 AND ns = ?6 AND name = ?7)" : "";
    sql += query.refused ? " AND ok = 0" : "";
    return sql;
}

}  // namespace

Result<std::vector<HistoryRow>> Store::history(const HistoryQuery& query) const {
    std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare(kColumns + conditions(query) + " ORDER BY id DESC LIMIT ?8");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, query.since ? nanoseconds(*query.since) : std::numeric_limits<std::int64_t>::min());
    if (query.before > 0) {
        statement->bind(2, query.before);
    }
    if (query.id > 0) {
        statement->bind(3, query.id);
    }
    if (query.generation) {
        statement->bind(4, static_cast<std::int64_t>(*query.generation));
    }
    if (query.object) {
        statement->bind(5, std::string_view(config::kind_name(query.object->kind)))
            .bind(6, query.object->ns)
            .bind(7, query.object->name);
    }
    statement->bind(8, query.generation ? 1 : static_cast<std::int64_t>(query.limit));
    return read_all<HistoryRow>(*statement, [](const Statement& row) -> Result<HistoryRow> { return read_row(row); });
}

Result<std::vector<ObjectVersions>> Store::versions(std::int64_t id) const {
    std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare(
        "SELECT kind, ns, name, before_file, b.bytes, after_file, a.bytes FROM changes"
        " LEFT JOIN texts b ON b.id = before_text LEFT JOIN texts a ON a.id = after_text"
        " WHERE history = ? ORDER BY kind, ns, name");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, id);
    return read_all<ObjectVersions>(*statement, read_versions);
}

// What an object was after a row is what the first later change of it found. (With min(), SQLite takes the other
// columns from the row that has the minimum.)
Result<std::vector<ObjectVersions>> Store::since(std::int64_t id) const {
    std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare(
        "WITH first AS MATERIALIZED (SELECT kind, ns, name, before_file, before_text, min(history) FROM changes"
        "  WHERE history > ? GROUP BY kind, ns, name)"
        "SELECT first.kind, first.ns, first.name, before_file, b.bytes, d.file, a.bytes FROM first"
        " LEFT JOIN documents d ON d.kind = first.kind AND d.ns = first.ns AND d.name = first.name"
        " LEFT JOIN texts b ON b.id = before_text LEFT JOIN texts a ON a.id = d.text"
        " WHERE before_text IS NOT d.text OR before_file IS NOT d.file"
        " ORDER BY first.kind, first.ns, first.name");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, id);
    return read_all<ObjectVersions>(*statement, read_versions);
}

Result<std::size_t> Store::documents() const {
    std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare("SELECT count(*) FROM documents");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    auto row = statement->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    return static_cast<std::size_t>(statement->integer(0));
}

Result<std::optional<Store::Kept>> Store::kept() const {
    std::lock_guard lock(impl_->mutex);
    std::optional<Kept> out;
    for (const char* order : {" WHERE ok = 1 ORDER BY id LIMIT 1", " WHERE ok = 1 ORDER BY id DESC LIMIT 1"}) {
        auto statement = impl_->ready.database.prepare(std::string(kColumns) + order);
        if (!statement) {
            return std::unexpected(statement.error());
        }
        auto row = statement->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return std::optional<Kept>();
        }
        if (out) {
            out->newest = read_row(*statement);
        } else {
            out.emplace(Kept{read_row(*statement), {}});
        }
    }
    return out;
}

}  // namespace sluice::state
