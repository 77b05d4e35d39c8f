#include "ctl/lists.h"

#include <map>

#include "admin/experiments.h"
#include "admin/views.h"
#include "ctl/agent.h"
#include "ctl/offline.h"

namespace sluice::ctl {

Json mesh_rows(const model::Mesh& mesh, admin::List what, const std::string& host) {
    Json out = Json::array();
    for (const auto& [key, service] : mesh.services()) {
        if (host.empty() || admin::means(host, *service)) {
            for (Json& row : admin::rows(what, *service, {})) {
                out.push_back(std::move(row));
            }
        }
    }
    return out;
}

Answer<Json> list_rows(Session& session, const std::string& what, const std::string& host) {
    static const std::map<std::string, admin::List> kLists{{"services", admin::List::kServices},
                                                           {"routes", admin::List::kRoutes},
                                                           {"subsets", admin::List::kSubsets},
                                                           {"endpoints", admin::List::kEndpoints}};
    if (!session.offline()) {
        return ask(session, target("/v1/" + what, {{"host", host}}));
    }
    auto mesh = sound_mesh(session);
    if (!mesh) {
        return std::unexpected(mesh.error());
    }
    if (what == "experiments") {
        return admin::experiment_rows(mesh->services(), host, {});
    }
    return mesh_rows(*mesh, kLists.at(what), host);
}

}  // namespace sluice::ctl
