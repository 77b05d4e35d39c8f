// The tables, by schema version (PRAGMA user_version). Private to this room.
#pragma once

#include "base/result.h"
#include "state/database.h"

namespace sluice::state {

// Brings the database to the newest version, one transaction a step. A version from the future is an error.
Result<> migrate(Database& database);

}  // namespace sluice::state
