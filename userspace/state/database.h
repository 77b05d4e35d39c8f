// SQLite, owned: connections, statements, transactions. Private to this room.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::state {

// One prepared statement. Values are bound from 1, columns read from 0. Not thread-safe.
class Statement {
  public:
    Statement& bind(int index, std::int64_t value);
    Statement& bind(int index, std::string_view text);  // kept until the next reset
    Statement& bind_null(int index);
    // true: a row is there; false: done.
    Result<bool> step();
    // Runs to the end and makes it ready for the next bindings.
    Result<> run();
    void reset();

    std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
    std::string text(int column) const;
    bool null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

  private:
    friend class Database;
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
    };
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    int bound_ = SQLITE_OK;  // first error of a bind
};

// Code of errors that mean the file is not a sound database; Error::code has SQLite's primary result code negated, so
// that it never reads as an errno.
bool is_corrupt(const Error& error);

// By which equal texts are found, in SQL: digest(text).
std::int64_t text_digest(std::string_view text);

class Database {
  public:
    static Result<Database> open(const std::string& path);

    Result<> execute(const char* sql);
    Result<Statement> prepare(std::string_view sql) const;
    Result<std::int64_t> pragma(const std::string& name) const;
    Result<> check() const;  // PRAGMA quick_check

    Error error(const std::string& what) const;
    int changed_rows() const { return sqlite3_changes(database_.get()); }  // of the last statement
    std::int64_t last_id() const { return sqlite3_last_insert_rowid(database_.get()); }

  private:
    struct Close {
        void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
    };
    std::unique_ptr<sqlite3, Close> database_;
};

// Rolls back unless committed.
class Transaction {
  public:
    static Result<Transaction> begin(Database& database);
    Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    Result<> commit();

  private:
    explicit Transaction(Database& database) : database_(&database) {}
    Database* database_;
};

}  // namespace sluice::state
