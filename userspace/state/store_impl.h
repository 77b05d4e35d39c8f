// The inside of Store, for its files. Private to this room.
#pragma once

#include <mutex>
#include <optional>
#include <string_view>

#include "state/database.h"
#include "state/store.h"

namespace sluice::state {

// Statements of every change, prepared once.
struct Prepared {
    Statement find_document, put_document, erase_document;
    Statement find_text, add_text, add_change;
    Statement add_row, count_objects, prune, prune_one, totals, current;
};

struct Ready {
    Database database;
    Prepared statements;
};

struct Store::Impl {
    Impl(Ready opened, StoreOptions chosen) : ready(std::move(opened)), options(chosen) {}

    std::mutex mutex;  // everything below; held by every call
    Ready ready;
    const StoreOptions options;

    // All of these inside a transaction of the caller.
    Result<std::int64_t> add_history(const HistoryRow& row);
    Result<std::int64_t> text_id(std::string_view bytes);
    Result<bool> change(std::int64_t history, const ObjectChange& change);  // false: nothing differs
    Result<> prune(std::int64_t newest);
};

std::optional<config::Kind> kind_of(std::string_view name);
// Columns kind, ns, name from `column` on.
Result<config::ObjectKey> key_of(const Statement& statement, int column);

}  // namespace sluice::state
