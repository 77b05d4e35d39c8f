// A rules directory without an agent.
#pragma once

#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "ctl/session.h"
#include "model/mesh.h"

namespace sluice::ctl {

// What a directory says: the mesh of all sound objects, and everything there is to complain about.
struct Offline {
    model::Mesh mesh;
    Diagnostics diagnostics;
    std::size_t files = 0;
    std::size_t objects = 0;
    bool references_checked = true;  // not when documents are missing because of their errors
};
// `client_namespaces`: those that questions come from, beside the clients that the directory names.
Answer<Offline> read_directory(const std::string& path, bool references_warn,
                               std::vector<std::string> client_namespaces = {});

// The same for verbs that need a sound directory: errors are a failure that prints all of them.
Answer<model::Mesh> sound_mesh(Session& session, std::vector<std::string> client_namespaces = {});

// One line a diagnostic.
std::string lines(const Diagnostics& diagnostics);

}  // namespace sluice::ctl
