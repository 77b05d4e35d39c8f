// Small texts that loads and applies share.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "state/store.h"

namespace sluice::daemon {

std::vector<std::string> texts(const Diagnostics& diagnostics, Severity severity);
std::string lines(const std::vector<std::string>& texts);  // joined by line breaks

// RFC 3339, in UTC; empty for no time.
std::string time_text(std::chrono::system_clock::time_point time);

// The agent itself, and a peer of the admin socket with its user's name.
state::Actor own_actor();
state::Actor peer_actor(std::int64_t uid, std::int64_t pid);
// The owner of all these files; the agent itself where they have none in common, or none is there any more.
state::Actor owner_actor(const std::vector<std::string>& files);

// A row of the audit history, now; refused when there are errors.
state::HistoryRow history_row(std::uint64_t generation, state::Actor actor, state::ChangeSource source,
                              std::string summary, const std::vector<std::string>& errors, std::string message = {});

}  // namespace sluice::daemon
