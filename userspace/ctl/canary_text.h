// Canaries for people. Pure; of the agent's JSON (admin/canaries.h).
#pragma once

#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "ctl/render.h"

namespace sluice::ctl {

// "stage 2 of 5, 10% to v47": where it is.
std::string canary_place(const Json& canary);

// All that `sluice canary status` says of one.
void render_canary(std::ostream& out, const Json& canary, bool colour);

// The steps of a canary as they come, one line each.
class CanarySteps {
  public:
    // The first answer: what is past is not told, but for the last step.
    explicit CanarySteps(const Json& canary);
    // Those that came since, oldest first.
    std::vector<Json> since(const Json& canary);
    // "TIME  stage 2/5  10%  why (who)"
    static std::string line(const Json& canary, const Json& step);

  private:
    std::set<std::string> known_;
};

}  // namespace sluice::ctl
