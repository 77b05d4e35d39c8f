// Services, routes, subsets, endpoints and experiments as rows, from the agent or from a directory.
#pragma once

#include <string>

#include "admin/backend.h"
#include "ctl/session.h"
#include "model/mesh.h"

namespace sluice::ctl {

// `what` is the plural as in the admin API's path; `host` empty: all.
Answer<Json> list_rows(Session& session, const std::string& what, const std::string& host);

// The same rows from a mesh, as the agent makes them.
Json mesh_rows(const model::Mesh& mesh, admin::List what, const std::string& host);

}  // namespace sluice::ctl
