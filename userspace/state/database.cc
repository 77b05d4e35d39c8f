#include "state/database.h"

#include "base/identity.h"

namespace sluice::state {

namespace {

// How long another process that reads or writes the database may make us wait (sqlite3, a backup).
constexpr int kBusyMilliseconds = 5000;

Error sqlite_error(sqlite3* database, int code, const std::string& what) {
    return Error{-(code & 0xff), what + ": " + (database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code))};
}

void digest_function(sqlite3_context* context, int, sqlite3_value** values) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(values[0]));
    const auto size = static_cast<std::size_t>(sqlite3_value_bytes(values[0]));
    sqlite3_result_int64(context, text_digest(text == nullptr ? std::string_view() : std::string_view(text, size)));
}

}  // namespace

std::int64_t text_digest(std::string_view text) {
    return static_cast<std::int64_t>(Identity::of(text).lo);
}

bool is_corrupt(const Error& error) {
    return error.code == -SQLITE_CORRUPT || error.code == -SQLITE_NOTADB;
}

Statement& Statement::bind(int index, std::int64_t value) {
    const int code = sqlite3_bind_int64(statement_.get(), index, value);
    bound_ = bound_ == SQLITE_OK ? code : bound_;
    return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
    // Never a null pointer: that would bind NULL.
    const int code = sqlite3_bind_text64(statement_.get(), index, text.data() != nullptr ? text.data() : "",
                                         text.size(), SQLITE_STATIC, SQLITE_UTF8);
    bound_ = bound_ == SQLITE_OK ? code : bound_;
    return *this;
}

Statement& Statement::bind_null(int index) {
    const int code = sqlite3_bind_null(statement_.get(), index);
    bound_ = bound_ == SQLITE_OK ? code : bound_;
    return *this;
}

Result<bool> Statement::step() {
    const int code = bound_ == SQLITE_OK ? sqlite3_step(statement_.get()) : bound_;
    if (code == SQLITE_ROW) {
        return true;
    }
    if (code == SQLITE_DONE) {
        return false;
    }
    return std::unexpected(sqlite_error(sqlite3_db_handle(statement_.get()), code, sqlite3_sql(statement_.get())));
}

Result<> Statement::run() {
    for (;;) {
        auto row = step();
        if (!row) {
            reset();
            return std::unexpected(std::move(row.error()));
        }
        if (!*row) {
            break;
        }
    }
    reset();
    return {};
}

void Statement::reset() {
    sqlite3_reset(statement_.get());
    sqlite3_clear_bindings(statement_.get());
    bound_ = SQLITE_OK;
}

std::string Statement::text(int column) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
    return text == nullptr
               ? std::string()
               : std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

Error Database::error(const std::string& what) const {
    return sqlite_error(database_.get(), sqlite3_errcode(database_.get()), what);
}

Result<Database> Database::open(const std::string& path) {
    sqlite3* raw = nullptr;
    const int code =
        sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    Database out;
    out.database_.reset(raw);
    if (code != SQLITE_OK) {
        return std::unexpected(sqlite_error(raw, code, "cannot open " + path));
    }
    sqlite3_extended_result_codes(raw, 0);
    sqlite3_busy_timeout(raw, kBusyMilliseconds);
    const int made = sqlite3_create_function_v2(raw, "digest", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr,
                                                digest_function, nullptr, nullptr, nullptr);
    if (made != SQLITE_OK) {
        return std::unexpected(sqlite_error(raw, made, "cannot open " + path));
    }
    return out;
}

Result<> Database::execute(const char* sql) {
    if (const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr); code != SQLITE_OK) {
        return std::unexpected(sqlite_error(database_.get(), code, sql));
    }
    return {};
}

Result<Statement> Database::prepare(std::string_view sql) const {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()), 0, &raw, nullptr);
    if (code != SQLITE_OK) {
        return std::unexpected(sqlite_error(database_.get(), code, std::string(sql)));
    }
    Statement out;
    out.statement_.reset(raw);
    return out;
}

Result<std::int64_t> Database::pragma(const std::string& name) const {
    auto statement = prepare("PRAGMA " + name);
    if (!statement) {
        return std::unexpected(statement.error());
    }
    auto row = statement->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    return *row ? statement->integer(0) : 0;
}

Result<> Database::check() const {
    auto statement = prepare("PRAGMA quick_check(1)");
    if (!statement) {
        return std::unexpected(statement.error());
    }
    auto row = statement->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    if (const std::string found = statement->text(0); found != "ok") {
        return std::unexpected(Error{-SQLITE_CORRUPT, found});
    }
    return {};
}

Result<Transaction> Transaction::begin(Database& database) {
    if (auto begun = database.execute("BEGIN IMMEDIATE"); !begun) {
        return std::unexpected(begun.error());
    }
    return Transaction(database);
}

Transaction::~Transaction() {
    if (database_ != nullptr) {
        (void)database_->execute("ROLLBACK");  // fails only when SQLite has rolled back itself
    }
}

Result<> Transaction::commit() {
    auto committed = database_->execute("COMMIT");
    if (committed) {
        database_ = nullptr;
    }
    return committed;
}

}  // namespace sluice::state
