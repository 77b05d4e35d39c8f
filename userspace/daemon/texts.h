// Small texts that loads and applies share.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "state/store.h"

namespace sluice::daemon {

std::vector<std::string> texts(const Diagnostics& diagnostics, Severity severity);
std::string lines(const std::vector<std::string>& texts);  // joined by line breaks

// The agent itself, and a peer of the admin socket with its user's name.
state::Actor own_actor();
state::Actor peer_actor(std::int64_t uid, std::int64_t pid);

// A row of the audit history, now; refused when there are errors.
state::HistoryRow history_row(std::uint64_t generation, state::Actor actor, state::ChangeSource source,
                              std::string summary, const std::vector<std::string>& errors, std::string message = {});

}  // namespace sluice::daemon
