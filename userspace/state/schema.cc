#include "state/schema.h"

#include <array>

namespace sluice::state {

namespace {

// Step i brings version i to i + 1. A released step is never edited; changes are new steps.
constexpr std::array kSteps{
    // 1: one row a document in force; one row an attempt to change; the generation in force.
    "CREATE TABLE objects("
    " kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, bytes TEXT NOT NULL,"
    " PRIMARY KEY(kind, ns, name)) WITHOUT ROWID;"
    "CREATE TABLE history("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, generation INTEGER NOT NULL, time_ns INTEGER NOT NULL,"
    " uid INTEGER NOT NULL, pid INTEGER NOT NULL, user TEXT NOT NULL, source TEXT NOT NULL,"
    " summary TEXT NOT NULL, ok INTEGER NOT NULL, errors TEXT NOT NULL, message TEXT NOT NULL);"
    "CREATE TABLE current(one INTEGER PRIMARY KEY CHECK(one = 1), generation INTEGER NOT NULL);"
    "INSERT INTO current VALUES(1, 0);",
    // 2: texts once each, counted by whoever refers to them; the documents of every changed object, before and after.
    // A dropped row of history takes its changes along, and those the texts that nobody else needs. The counts stand in
    // a table of their own: a row of texts is long, and would be written anew.
    "CREATE TABLE texts(id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, bytes TEXT NOT NULL);"
    "CREATE INDEX texts_by_digest ON texts(digest);"
    "CREATE TABLE uses(text INTEGER PRIMARY KEY, count INTEGER NOT NULL);"
    "CREATE TABLE totals(one INTEGER PRIMARY KEY CHECK(one = 1), changes INTEGER NOT NULL, bytes INTEGER NOT NULL);"
    "INSERT INTO totals VALUES(1, 0, 0);"
    "CREATE TABLE documents("
    " kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, text INTEGER NOT NULL,"
    " PRIMARY KEY(kind, ns, name)) WITHOUT ROWID;"
    "CREATE TABLE changes("
    " history INTEGER NOT NULL, kind TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,"
    " before_file TEXT, before_text INTEGER, after_file TEXT, after_text INTEGER,"
    " PRIMARY KEY(history, kind, ns, name)) WITHOUT ROWID;"
    "CREATE INDEX changes_by_object ON changes(kind, ns, name, history);"
    "ALTER TABLE history ADD COLUMN file TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE history ADD COLUMN objects INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX history_by_generation ON history(generation);"
    "CREATE TRIGGER text_added AFTER INSERT ON texts BEGIN"
    " INSERT INTO uses VALUES(NEW.id, 0);"
    " UPDATE totals SET bytes = bytes + length(CAST(NEW.bytes AS BLOB)); END;"
    "CREATE TRIGGER text_dropped AFTER DELETE ON texts BEGIN"
    " DELETE FROM uses WHERE text = OLD.id;"
    " UPDATE totals SET bytes = bytes - length(CAST(OLD.bytes AS BLOB)); END;"
    "CREATE TRIGGER text_unused AFTER UPDATE ON uses WHEN NEW.count = 0 BEGIN"
    " DELETE FROM texts WHERE id = NEW.text; END;"
    "CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN"
    " UPDATE uses SET count = count + 1 WHERE text = NEW.text; END;"
    "CREATE TRIGGER document_changed AFTER UPDATE ON documents BEGIN"
    " UPDATE uses SET count = count + 1 WHERE text = NEW.text;"
    " UPDATE uses SET count = count - 1 WHERE text = OLD.text; END;"
    "CREATE TRIGGER document_dropped AFTER DELETE ON documents BEGIN"
    " UPDATE uses SET count = count - 1 WHERE text = OLD.text; END;"
    "CREATE TRIGGER change_added AFTER INSERT ON changes BEGIN"
    " UPDATE uses SET count = count + 1 WHERE text = NEW.before_text;"
    " UPDATE uses SET count = count + 1 WHERE text = NEW.after_text;"
    " UPDATE totals SET changes = changes + 1; END;"
    "CREATE TRIGGER change_dropped AFTER DELETE ON changes BEGIN"
    " UPDATE uses SET count = count - 1 WHERE text = OLD.before_text;"
    " UPDATE uses SET count = count - 1 WHERE text = OLD.after_text;"
    " UPDATE totals SET changes = changes - 1; END;"
    "CREATE TRIGGER history_dropped AFTER DELETE ON history BEGIN"
    " DELETE FROM changes WHERE history = OLD.id; END;"
    "INSERT INTO texts(digest, bytes) SELECT DISTINCT digest(bytes), bytes FROM objects;"
    "INSERT INTO documents SELECT kind, ns, name, file,"
    " (SELECT id FROM texts WHERE texts.digest = digest(objects.bytes) AND texts.bytes = objects.bytes) FROM objects;"
    "DROP TABLE objects;",
    // 3: canaries, by how lately each was saved; the steps of each, which go with it.
    "CREATE TABLE canaries("
    " ns TEXT NOT NULL, name TEXT NOT NULL, active INTEGER NOT NULL, saved INTEGER NOT NULL, state TEXT NOT NULL,"
    " PRIMARY KEY(ns, name)) WITHOUT ROWID;"
    "CREATE TABLE canary_steps("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL, name TEXT NOT NULL, time_ns INTEGER NOT NULL,"
    " came_from TEXT NOT NULL, went_to TEXT NOT NULL, stage INTEGER NOT NULL, weight INTEGER NOT NULL,"
    " who TEXT NOT NULL, reason TEXT NOT NULL);"
    "CREATE INDEX canary_steps_by_canary ON canary_steps(ns, name, id);"
    "CREATE TRIGGER canary_dropped AFTER DELETE ON canaries BEGIN"
    " DELETE FROM canary_steps WHERE ns = OLD.ns AND name = OLD.name; END;",
};

}  // namespace

Result<> migrate(Database& database) {
    auto version = database.pragma("user_version");
    if (!version) {
        return std::unexpected(version.error());
    }
    if (*version < 0 || *version > static_cast<std::int64_t>(kSteps.size())) {
        return fail("the state database has schema version " + std::to_string(*version) +
                    ", this release knows up to " + std::to_string(kSteps.size()) +
                    ": use the newer release, or another --state directory");
    }
    for (auto step = static_cast<std::size_t>(*version); step < kSteps.size(); ++step) {
        auto transaction = Transaction::begin(database);
        if (!transaction) {
            return std::unexpected(transaction.error());
        }
        const std::string next = "PRAGMA user_version=" + std::to_string(step + 1);
        for (const char* sql : {kSteps[step], next.c_str()}) {
            if (auto done = database.execute(sql); !done) {
                return done;
            }
        }
        if (auto committed = transaction->commit(); !committed) {
            return committed;
        }
    }
    return {};
}

}  // namespace sluice::state
