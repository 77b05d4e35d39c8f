// Canaries as JSON. Pure. Key order is the column order of tables.
#pragma once

#include <chrono>
#include <string>

#include "admin/backend.h"
#include "rollout/controller.h"

namespace sluice::admin {

// {canary, namespace, service, route, champion, challenger, state, stage (from 1; 0: none or the mirror stage), stages,
// weight (percent of the challenger, in force), since, hold_s, hold_left_s (null: no hold runs), waits_for, reason,
// who, problem, held_by, in_force (the object is), changing (the rule is being written), minimum_requests, interval_s,
// gates: [{gate, kind, verdict, champion, challenger, bound, p, level, champion_sample, challenger_sample, text}],
// powers: [{gate, power, text}], steps: [{time, from, to, stage, weight, who, reason}], newest first}.
// Numbers of gates are in the gate's unit: shares, seconds, or the query's own.
Json canary_json(const rollout::View& view, std::chrono::system_clock::time_point now);

// One row of a listing: the scalars that say where it is.
Json canary_row(const Json& canary);

}  // namespace sluice::admin
