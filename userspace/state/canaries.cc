#include "state/canaries.h"

#include "state/store_impl.h"

namespace sluice::state {

namespace {

// What is in force changes by one transaction of few rows: statements are made anew each time.
Result<Statement> prepared(const Database& database, const char* sql, const std::string& ns, const std::string& name) {
    auto statement = database.prepare(sql);
    if (statement) {
        statement->bind(1, ns).bind(2, name);
    }
    return statement;
}

Result<> add_step(const Database& database, const CanaryRow& canary, const CanaryStep& step) {
    auto statement =
        prepared(database,
                 "INSERT INTO canary_steps(ns, name, time_ns, came_from, went_to, stage, weight, who, reason)"
                 " VALUES(?,?,?,?,?,?,?,?,?)",
                 canary.ns, canary.name);
    if (!statement) {
        return std::unexpected(statement.error());
    }
    const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(step.time.time_since_epoch());
    return statement->bind(3, since.count())
        .bind(4, step.from)
        .bind(5, step.to)
        .bind(6, static_cast<std::int64_t>(step.stage))
        .bind(7, std::int64_t{step.weight})
        .bind(8, step.who)
        .bind(9, step.reason)
        .run();
}

Result<> drop_oldest_steps(const Database& database, const CanaryRow& canary, std::size_t kept) {
    auto statement = prepared(database,
                              "DELETE FROM canary_steps WHERE ns=?1 AND name=?2 AND id <= (SELECT id FROM canary_steps"
                              " WHERE ns=?1 AND name=?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
                              canary.ns, canary.name);
    return statement ? statement->bind(3, static_cast<std::int64_t>(kept)).run() : std::unexpected(statement.error());
}

// Canaries that are over, beyond the newest `kept` of them. Their steps go with them (schema.cc).
Result<> drop_oldest_canaries(const Database& database, std::size_t kept) {
    auto statement = database.prepare(
        "DELETE FROM canaries WHERE active=0 AND saved <="
        " (SELECT saved FROM canaries WHERE active=0 ORDER BY saved DESC LIMIT 1 OFFSET ?)");
    return statement ? statement->bind(1, static_cast<std::int64_t>(kept)).run() : std::unexpected(statement.error());
}

}  // namespace

Result<> Store::save_canary(const CanaryRow& canary, std::span<const CanaryStep> steps) {
    const std::lock_guard lock(impl_->mutex);
    Database& database = impl_->ready.database;
    auto transaction = Transaction::begin(database);
    if (!transaction) {
        return std::unexpected(transaction.error());
    }
    auto put = prepared(database,
                        "INSERT INTO canaries(ns, name, active, saved, state)"
                        " VALUES(?,?,?,(SELECT coalesce(max(saved), 0) + 1 FROM canaries),?)"
                        " ON CONFLICT(ns, name) DO UPDATE SET active=excluded.active, saved=excluded.saved,"
                        " state=excluded.state",
                        canary.ns, canary.name);
    if (!put) {
        return std::unexpected(put.error());
    }
    if (auto done = put->bind(3, std::int64_t{canary.active}).bind(4, canary.state).run(); !done) {
        return done;
    }
    for (const CanaryStep& step : steps) {
        if (auto added = add_step(database, canary, step); !added) {
            return added;
        }
    }
    if (auto dropped = drop_oldest_steps(database, canary, impl_->options.canary_steps); !dropped) {
        return dropped;
    }
    if (auto dropped = drop_oldest_canaries(database, impl_->options.canaries); !dropped) {
        return dropped;
    }
    return transaction->commit();
}

Result<std::vector<CanaryRow>> Store::canaries() const {
    const std::lock_guard lock(impl_->mutex);
    auto statement = impl_->ready.database.prepare("SELECT ns, name, active, state FROM canaries ORDER BY ns, name");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    std::vector<CanaryRow> out;
    for (;;) {
        auto row = statement->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return out;
        }
        out.push_back({statement->text(0), statement->text(1), statement->integer(2) != 0, statement->text(3)});
    }
}

Result<std::vector<CanaryStep>> Store::canary_steps(const std::string& ns, const std::string& name,
                                                    std::size_t limit) const {
    const std::lock_guard lock(impl_->mutex);
    auto statement = prepared(impl_->ready.database,
                              "SELECT time_ns, came_from, went_to, stage, weight, who, reason FROM canary_steps"
                              " WHERE ns=? AND name=? ORDER BY id DESC LIMIT ?",
                              ns, name);
    if (!statement) {
        return std::unexpected(statement.error());
    }
    statement->bind(3, static_cast<std::int64_t>(limit));
    std::vector<CanaryStep> out;
    for (;;) {
        auto row = statement->step();
        if (!row) {
            return std::unexpected(row.error());
        }
        if (!*row) {
            return out;
        }
        const auto since = std::chrono::nanoseconds(statement->integer(0));
        out.push_back({std::chrono::system_clock::time_point(
                           std::chrono::duration_cast<std::chrono::system_clock::duration>(since)),
                       statement->text(1), statement->text(2), static_cast<std::size_t>(statement->integer(3)),
                       static_cast<std::uint32_t>(statement->integer(4)), statement->text(5), statement->text(6)});
    }
}

}  // namespace sluice::state
