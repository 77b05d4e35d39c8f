// The canary's part of a VirtualService document: what it says, and how it becomes what the machine wants. Pure; every
// byte that is not the canary's stays.
#pragma once

#include <string>

#include "base/result.h"
#include "config/objects.h"
#include "rollout/machine.h"

namespace sluice::rollout {

// What the rule that `canary` moves says of its versions. Errors: no such rule in the document, or it cannot be read.
Result<Part> part_of(const config::Object& canary, const std::string& document);

// Whether a canary can begin on this document; the error says why not.
Result<> startable(const config::Object& canary, const std::string& document);

// The document that says what `wanted` says, and the one without the canary that it was made of.
struct Edited {
    std::string former;
    std::string text;
};
// `present`: the document as it is. While nobody else changed it since the canary wrote it (`written`), it is made of
// `former`, so an abort brings back `former` byte for byte. Else the canary's part is taken out of `present` first: the
// weights that `former` had, no copies, no internal rule; what others wrote stays.
Result<Edited> edited(const config::Object& canary, const std::string& former, const std::string& written,
                      const std::string& present, const Wanted& wanted);

// The same document, but for line breaks at its end, which writing it into a file may add.
bool same_text(const std::string& a, const std::string& b);

// "v45 90, v47 10": for messages.
std::string part_text(const config::Canary& canary, const Part& part);
// What changed from one to the other, in words.
std::string difference_text(const config::Canary& canary, const Part& was, const Part& is);

}  // namespace sluice::rollout
