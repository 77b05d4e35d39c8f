#include "state/store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <ctime>

#include "base/fd.h"
#include "state/schema.h"
#include "state/store_impl.h"

namespace sluice::state {

namespace {

std::string shortened(const std::string& text, std::size_t limit) {
    if (text.size() <= limit) {
        return text;
    }
    return text.substr(0, limit) + "\n… " + std::to_string(text.size() - limit) + " more bytes not kept";
}

Result<> make_directory(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno("cannot create the state directory " + directory);
    }
    return {};
}

// SQLite makes the file with the umask; the history names users, so only the owner reads it.
Result<> make_private(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) {
        return fail_errno("cannot open the state database " + path);
    }
    return {};
}

Result<Prepared> prepare_all(const Database& database) {
    Prepared out;
    const std::pair<Statement*, const char*> all[]{
        {&out.find_document, "SELECT file, text FROM documents WHERE kind=? AND ns=? AND name=?"},
        {&out.put_document,
         "INSERT INTO documents(kind, ns, name, file, text) VALUES(?1,?2,?3,?4,?5)"
         " ON CONFLICT(kind, ns, name) DO UPDATE SET file=?4, text=?5"},
        {&out.erase_document, "DELETE FROM documents WHERE kind=? AND ns=? AND name=?"},
        {&out.find_text, "SELECT id FROM texts WHERE digest=? AND bytes=?"},
        {&out.add_text, "INSERT INTO texts(digest, bytes) VALUES(?,?)"},
        {&out.add_change,
         "INSERT INTO changes(history, kind, ns, name, before_file, before_text, after_file, after_text)"
         " VALUES(?,?,?,?,?,?,?,?)"},
        {&out.add_row,
         "INSERT INTO history(generation, time_ns, uid, pid, user, source, summary, ok, errors, message, file)"
         " VALUES(?,?,?,?,?,?,?,?,?,?,?)"},
        {&out.prune, "DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?"},
        {&out.prune_one, "DELETE FROM history WHERE id = (SELECT min(id) FROM history) AND id < ?"},
        {&out.totals, "SELECT changes, bytes FROM totals"},
        {&out.count_objects, "UPDATE history SET objects=? WHERE id=?"},
        {&out.current, "UPDATE current SET generation=?"}};
    for (const auto& [statement, sql] : all) {
        auto prepared = database.prepare(sql);
        if (!prepared) {
            return std::unexpected(prepared.error());
        }
        *statement = std::move(*prepared);
    }
    return out;
}

Result<Ready> open_sound(const std::string& path) {
    if (auto made = make_private(path); !made) {
        return std::unexpected(made.error());
    }
    auto database = Database::open(path);
    if (!database) {
        return std::unexpected(database.error());
    }
    for (const char* sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA cache_size=-512",
                            "PRAGMA journal_size_limit=4194304"}) {
        if (auto done = database->execute(sql); !done) {
            return std::unexpected(done.error());
        }
    }
    if (auto sound = database->check(); !sound) {
        return std::unexpected(sound.error());
    }
    if (auto migrated = migrate(*database); !migrated) {
        return std::unexpected(migrated.error());
    }
    auto statements = prepare_all(*database);
    if (!statements) {
        return std::unexpected(statements.error());
    }
    return Ready{std::move(*database), std::move(*statements)};
}

// Renames the database and its WAL files. Nothing of them is deleted: somebody may want to look. The WAL goes first: a
// new database must never find the old one's.
Result<std::string> move_aside(const std::string& path) {
    const std::string base = path + ".corrupt-" + std::to_string(::time(nullptr));
    std::string aside = base;
    for (int number = 2; ::access(aside.c_str(), F_OK) == 0; ++number) {
        aside = base + "-" + std::to_string(number);
    }
    for (const char* suffix : {"-wal", "-shm", ""}) {
        if (::rename((path + suffix).c_str(), (aside + suffix).c_str()) != 0 && errno != ENOENT) {
            return fail_errno("cannot move the corrupt state database " + path + suffix + " aside");
        }
    }
    return aside;
}

}  // namespace

std::optional<config::Kind> kind_of(std::string_view name) {
    for (const config::Kind kind : kKinds) {
        if (name == config::kind_name(kind)) {
            return kind;
        }
    }
    return std::nullopt;
}

Result<config::ObjectKey> key_of(const Statement& statement, int column) {
    const auto kind = kind_of(statement.text(column));
    if (!kind) {
        return fail("the state database holds an object of unknown kind " + statement.text(column));
    }
    return config::ObjectKey{*kind, statement.text(column + 1), statement.text(column + 2)};
}

const char* source_name(ChangeSource source) {
    switch (source) {
        case ChangeSource::kDirectory:
            return "directory";
        case ChangeSource::kApply:
            return "apply";
        case ChangeSource::kStart:
            return "start";
        case ChangeSource::kCanary:
            return "canary";
        case ChangeSource::kWeight:
            return "weight";
        case ChangeSource::kRollback:
            return "rollback";
    }
    return "directory";
}

Result<Store::Opened> Store::open(const std::string& directory, StoreOptions options) {
    if (auto made = make_directory(directory); !made) {
        return std::unexpected(made.error());
    }
    const std::string path = directory + "/state.db";
    auto ready = open_sound(path);
    std::optional<Error> recovered;
    if (!ready && is_corrupt(ready.error())) {
        auto aside = move_aside(path);
        if (!aside) {
            return std::unexpected(aside.error());
        }
        recovered = Error{0, "the state database was corrupt (" + ready.error().message + "); it is now " + *aside +
                                 ", a new one was begun"};
        ready = open_sound(path);
    }
    if (!ready) {
        return std::unexpected(
            Error{0, ready.error().code > 0 ? ready.error().text() : path + ": " + ready.error().message});
    }
    return Opened{Store(std::make_unique<Impl>(std::move(*ready), options)), std::move(recovered)};
}

Result<std::int64_t> Store::Impl::add_history(const HistoryRow& row) {
    const std::string summary = shortened(row.summary, options.history_text);
    const std::string errors = shortened(row.errors, options.history_text);
    const std::string message = shortened(row.message, options.history_text);
    const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(row.time.time_since_epoch());
    auto added = ready.statements.add_row.bind(1, static_cast<std::int64_t>(row.generation))
                     .bind(2, since.count())
                     .bind(3, row.actor.uid)
                     .bind(4, row.actor.pid)
                     .bind(5, row.actor.user)
                     .bind(6, std::string_view(source_name(row.source)))
                     .bind(7, summary)
                     .bind(8, std::int64_t{row.ok})
                     .bind(9, errors)
                     .bind(10, message)
                     .bind(11, row.file)
                     .run();
    if (!added) {
        return std::unexpected(added.error());
    }
    return ready.database.last_id();
}

Result<std::int64_t> Store::Impl::text_id(std::string_view bytes) {
    const std::int64_t digest = text_digest(bytes);
    Statement& find = ready.statements.find_text;
    auto found = find.bind(1, digest).bind(2, bytes).step();
    if (!found) {
        find.reset();
        return std::unexpected(found.error());
    }
    const std::int64_t id = *found ? find.integer(0) : 0;
    find.reset();
    if (*found) {
        return id;
    }
    if (auto added = ready.statements.add_text.bind(1, digest).bind(2, bytes).run(); !added) {
        return std::unexpected(added.error());
    }
    return ready.database.last_id();
}

Result<bool> Store::Impl::change(std::int64_t history, const ObjectChange& change) {
    const std::string_view kind = config::kind_name(change.key.kind);
    Statement& find = ready.statements.find_document;
    auto found = find.bind(1, kind).bind(2, change.key.ns).bind(3, change.key.name).step();
    if (!found) {
        find.reset();
        return std::unexpected(found.error());
    }
    const bool existed = *found;
    const std::string file = existed ? find.text(0) : std::string();
    const std::int64_t text = existed ? find.integer(1) : 0;
    find.reset();
    std::int64_t now = 0;
    if (change.bytes) {
        auto id = text_id(*change.bytes);
        if (!id) {
            return std::unexpected(id.error());
        }
        now = *id;
    }
    if (change.bytes ? existed && text == now && file == change.file : !existed) {
        return false;
    }
    // The change first: whoever lets go of a text last takes it away.
    Statement& add = ready.statements.add_change;
    add.bind(1, history).bind(2, kind).bind(3, change.key.ns).bind(4, change.key.name);
    existed ? add.bind(5, file).bind(6, text) : add.bind_null(5).bind_null(6);
    change.bytes ? add.bind(7, change.file).bind(8, now) : add.bind_null(7).bind_null(8);
    if (auto added = add.run(); !added) {
        return std::unexpected(added.error());
    }
    Statement& put = change.bytes ? ready.statements.put_document : ready.statements.erase_document;
    put.bind(1, kind).bind(2, change.key.ns).bind(3, change.key.name);
    if (change.bytes) {
        put.bind(4, change.file).bind(5, now);
    }
    if (auto done = put.run(); !done) {
        return std::unexpected(done.error());
    }
    return true;
}

// Drops the oldest rows until the bounds hold; the newest stays.
Result<> Store::Impl::prune(std::int64_t newest) {
    if (auto done = ready.statements.prune.bind(1, static_cast<std::int64_t>(options.history_rows)).run(); !done) {
        return done;
    }
    for (std::int64_t left = -1;;) {
        Statement& totals = ready.statements.totals;
        auto row = totals.step();
        const std::int64_t changes = row && *row ? totals.integer(0) : 0;
        const std::int64_t bytes = row && *row ? totals.integer(1) : 0;
        totals.reset();
        if (!row) {
            return std::unexpected(row.error());
        }
        const bool fits = changes <= static_cast<std::int64_t>(options.history_objects) &&
                          bytes <= static_cast<std::int64_t>(options.history_bytes);
        if (fits || left == 0) {
            return {};
        }
        if (auto done = ready.statements.prune_one.bind(1, newest).run(); !done) {
            return done;
        }
        left = ready.database.changed_rows();
    }
}

Result<std::int64_t> Store::record(std::span<const ObjectChange> changes, const HistoryRow& row) {
    std::lock_guard lock(impl_->mutex);
    auto transaction = Transaction::begin(impl_->ready.database);
    if (!transaction) {
        return std::unexpected(transaction.error());
    }
    auto id = impl_->add_history(row);
    if (!id) {
        return id;
    }
    std::int64_t changed = 0;
    for (const ObjectChange& change : changes) {
        auto differs = impl_->change(*id, change);
        if (!differs) {
            return std::unexpected(differs.error());
        }
        changed += *differs ? 1 : 0;
    }
    Prepared& statements = impl_->ready.statements;
    if (auto done = statements.count_objects.bind(1, changed).bind(2, *id).run(); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = statements.current.bind(1, static_cast<std::int64_t>(row.generation)).run(); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = impl_->prune(*id); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = transaction->commit(); !done) {
        return std::unexpected(done.error());
    }
    return id;
}

Result<std::int64_t> Store::record_refused(const HistoryRow& row) {
    std::lock_guard lock(impl_->mutex);
    auto transaction = Transaction::begin(impl_->ready.database);
    if (!transaction) {
        return std::unexpected(transaction.error());
    }
    auto id = impl_->add_history(row);
    if (!id) {
        return id;
    }
    if (auto done = impl_->prune(*id); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = transaction->commit(); !done) {
        return std::unexpected(done.error());
    }
    return id;
}

Result<std::uint64_t> Store::generation() const {
    std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare("SELECT generation FROM current");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    auto row = statement->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    return *row ? static_cast<std::uint64_t>(statement->integer(0)) : 0;
}

Result<> Store::load(const std::function<Result<>(const StoredObject&)>& each) const {
    std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare(
        "SELECT kind, ns, name, file, bytes FROM documents JOIN texts ON texts.id = documents.text"
        " ORDER BY kind, ns, name");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    for (;;) {
        auto row = statement->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return {};
        }
        auto key = key_of(*statement, 0);
        if (!key) {
            return std::unexpected(key.error());
        }
        if (auto taken = each({std::move(*key), statement->text(3), statement->text(4)}); !taken) {
            return taken;
        }
    }
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

}  // namespace sluice::state
