#include "state/store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <ctime>

#include "base/fd.h"
#include "state/database.h"
#include "state/schema.h"

namespace sluice::state {

namespace {

constexpr std::array kKinds{config::Kind::kVirtualService, config::Kind::kDestinationRule, config::Kind::kServiceEntry,
                            config::Kind::kWorkloadEntry,  config::Kind::kService,         config::Kind::kEndpointSlice,
                            config::Kind::kExperiment};

std::optional<config::Kind> kind_of(std::string_view name) {
    for (const config::Kind kind : kKinds) {
        if (name == config::kind_name(kind)) {
            return kind;
        }
    }
    return std::nullopt;
}

ChangeSource source_of(std::string_view name) {
    return name == "apply" ? ChangeSource::kApply : name == "start" ? ChangeSource::kStart : ChangeSource::kDirectory;
}

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

struct Prepared {
    Statement put, erase, history, prune, current;
};

Result<Prepared> prepare_all(const Database& database) {
    auto put = database.prepare("INSERT OR REPLACE INTO objects(kind, ns, name, file, bytes) VALUES(?,?,?,?,?)");
    auto erase = database.prepare("DELETE FROM objects WHERE kind=? AND ns=? AND name=?");
    auto history = database.prepare(
        "INSERT INTO history(generation, time_ns, uid, pid, user, source, summary, ok, errors, message)"
        " VALUES(?,?,?,?,?,?,?,?,?,?)");
    auto prune = database.prepare("DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?");
    auto current = database.prepare("UPDATE current SET generation=?");
    for (auto* statement : {&put, &erase, &history, &prune, &current}) {
        if (!*statement) {
            return std::unexpected(statement->error());
        }
    }
    return Prepared{std::move(*put), std::move(*erase), std::move(*history), std::move(*prune), std::move(*current)};
}

struct Ready {
    Database database;
    Prepared statements;
};

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

struct Store::Impl {
    Ready ready;
    StoreOptions options;

    Result<> add_history(const HistoryRow& row);
};

const char* source_name(ChangeSource source) {
    switch (source) {
        case ChangeSource::kDirectory:
            return "directory";
        case ChangeSource::kApply:
            return "apply";
        case ChangeSource::kStart:
            return "start";
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
    return Opened{Store(std::make_unique<Impl>(Impl{std::move(*ready), options})), std::move(recovered)};
}

Result<> Store::Impl::add_history(const HistoryRow& row) {
    const std::string summary = shortened(row.summary, options.history_text);
    const std::string errors = shortened(row.errors, options.history_text);
    const std::string message = shortened(row.message, options.history_text);
    const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(row.time.time_since_epoch());
    auto added = ready.statements.history.bind(1, static_cast<std::int64_t>(row.generation))
                     .bind(2, since.count())
                     .bind(3, row.actor.uid)
                     .bind(4, row.actor.pid)
                     .bind(5, row.actor.user)
                     .bind(6, std::string_view(source_name(row.source)))
                     .bind(7, summary)
                     .bind(8, std::int64_t{row.ok})
                     .bind(9, errors)
                     .bind(10, message)
                     .run();
    if (!added) {
        return added;
    }
    return ready.statements.prune.bind(1, static_cast<std::int64_t>(options.history_rows)).run();
}

Result<> Store::record(std::span<const ObjectChange> changes, const HistoryRow& row) {
    Prepared& statements = impl_->ready.statements;
    auto transaction = Transaction::begin(impl_->ready.database);
    if (!transaction) {
        return std::unexpected(transaction.error());
    }
    for (const ObjectChange& change : changes) {
        Statement& statement = change.bytes ? statements.put : statements.erase;
        statement.bind(1, std::string_view(config::kind_name(change.key.kind)))
            .bind(2, change.key.ns)
            .bind(3, change.key.name);
        if (change.bytes) {
            statement.bind(4, change.file).bind(5, *change.bytes);
        }
        if (auto done = statement.run(); !done) {
            return done;
        }
    }
    if (auto done = statements.current.bind(1, static_cast<std::int64_t>(row.generation)).run(); !done) {
        return done;
    }
    if (auto done = impl_->add_history(row); !done) {
        return done;
    }
    return transaction->commit();
}

Result<> Store::record_refused(const HistoryRow& row) {
    auto transaction = Transaction::begin(impl_->ready.database);
    if (!transaction) {
        return std::unexpected(transaction.error());
    }
    if (auto done = impl_->add_history(row); !done) {
        return done;
    }
    return transaction->commit();
}

Result<std::uint64_t> Store::generation() const {
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
    auto statement =
        impl_->ready.database.prepare("SELECT kind, ns, name, file, bytes FROM objects ORDER BY kind, ns, name");
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
        const auto kind = kind_of(statement->text(0));
        if (!kind) {
            return fail("the state database holds an object of unknown kind " + statement->text(0));
        }
        StoredObject object{{*kind, statement->text(1), statement->text(2)}, statement->text(3), statement->text(4)};
        if (auto taken = each(object); !taken) {
            return taken;
        }
    }
}

Result<std::vector<HistoryRow>> Store::history(std::size_t limit) const {
    auto statement = impl_->ready.database.prepare(
        "SELECT id, generation, time_ns, uid, pid, user, source, summary, ok, errors, message FROM history"
        " ORDER BY id DESC LIMIT ?");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(1, static_cast<std::int64_t>(limit));
    std::vector<HistoryRow> rows;
    for (;;) {
        auto more = statement->step();
        if (!more) {
            return std::unexpected(more.error());
        }
        if (!*more) {
            return rows;
        }
        HistoryRow row;
        row.id = statement->integer(0);
        row.generation = static_cast<std::uint64_t>(statement->integer(1));
        row.time =
            std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(
                std::chrono::nanoseconds(statement->integer(2))));
        row.actor = {statement->integer(3), statement->integer(4), statement->text(5)};
        row.source = source_of(statement->text(6));
        row.summary = statement->text(7);
        row.ok = statement->integer(8) != 0;
        row.errors = statement->text(9);
        row.message = statement->text(10);
        rows.push_back(std::move(row));
    }
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

}  // namespace sluice::state
