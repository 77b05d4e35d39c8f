// What an apply did or would do, for people.
#pragma once

#include <string>

#include "ctl/agent.h"
#include "ctl/documents.h"

namespace sluice::ctl {

// The agent's answer printed; its refusal on stderr, every diagnostic with the file and line that the user knows.
void print_applied(Session& session, const Documents& documents, const Applied& applied);

// What differs between two generations: texts, then effects.
void print_compared(Session& session, const Json& body);

// Unified diff of two texts with three lines of context; empty when they are equal.
std::string unified_diff(const std::string& before, const std::string& after);

}  // namespace sluice::ctl
