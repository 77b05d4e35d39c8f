#include "daemon/client_paths.h"

#include <sys/stat.h>

namespace sluice::daemon {

std::optional<std::uint64_t> cgroup_id(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
        return std::nullopt;
    }
    return info.st_ino;
}

void ClientPaths::set_clients(std::vector<model::Client> clients) {
    clients_ = std::move(clients);
    ids_.clear();
    fresh_ = true;
}

std::optional<ClientPaths::Resolved> ClientPaths::resolve() {
    std::vector<std::pair<std::uint64_t, std::size_t>> ids;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
        const std::string& path = clients_[i].cgroup;
        if (auto id = cgroup_id(path.starts_with('/') ? path : mount_ + "/" + path)) {
            ids.emplace_back(*id, i);
        }
    }
    if (!fresh_ && ids == ids_) {
        return std::nullopt;
    }
    fresh_ = false;
    ids_ = std::move(ids);
    Resolved out;
    for (auto [id, client] : ids_) {
        out.emplace_back(id, clients_[client]);
    }
    return out;
}

}  // namespace sluice::daemon
