// The text of documents, as the state database keeps it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/mesh.h"
#include "state/store.h"

namespace sluice::daemon {

// Calls `each` with the text of every object that was parsed from a file, reading each file once. An object whose file
// cannot be read or is shorter now is left out: the next scan brings it.
void for_each_text(std::span<const config::ObjectPtr> objects,
                   const std::function<void(const config::Object&, std::string text)>& each);

// Changes that a scan found, with their texts.
std::vector<state::ObjectChange> stored_changes(std::span<const model::Change> changes);

// How the stored documents differ from `objects`, which are in force.
struct Difference {
    std::vector<state::ObjectChange> changes;
    std::string summary;
};
Result<Difference> differences(const state::Store& store,
                               const std::map<config::ObjectKey, config::ObjectPtr>& objects);

// "created VirtualService ml/ranking" a line, at most 100; the rest is counted. `existed` tells whether an object was
// there.
std::string summary(std::span<const state::ObjectChange> changes,
                    const std::function<bool(const config::ObjectKey&)>& existed);

}  // namespace sluice::daemon
