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
