#include "proxy/table.h"

#include <unordered_map>
#include <utility>

#include "proxy/table_index.h"
#include "proxy/table_rule.h"

namespace sluice::proxy {

namespace {

using Clusters = std::unordered_map<Identity, ClusterPtr, IdentityHash>;
using HostPtr = std::shared_ptr<const VirtualHost>;

template <typename Visit>
void for_each_cluster(const VirtualHost& host, const Visit& visit) {
    for (const Rule& rule : host.rules) {
        for (const Destination& destination : rule.destinations) {
            visit(destination.cluster);
        }
        for (const auto& [cluster, share] : rule.mirrors) {
            visit(cluster);
        }
    }
}

model::ServicePortKey key_of(const model::ServicePort& port) {
    return {port.scope, port.host, port.port};
}

Result<HostPtr> compile_host(const model::ServicePortPtr& port, std::uint32_t number, const ClusterOf& cluster_of) {
    Result<std::vector<Rule>> rules = compile_rules(*port, cluster_of);
    if (!rules) {
        return std::unexpected(rules.error());
    }
    auto host = std::make_shared<VirtualHost>();
    host->port = port;
    host->service = number;
    host->rules = std::move(*rules);
    return host;
}

// Requests to services of the direct lane may come in too, by a listener or by Host: all that have HTTP rules.
bool has_rules(const model::ServicePort& port) {
    return port.route != nullptr && !port.route->http.empty();
}

}  // namespace

struct Table::Impl {
    std::vector<HostPtr> hosts;
    std::unordered_map<const model::ServicePort*, HostPtr> compiled;
    Clusters clusters;
    HostIndex index;

    // Takes a host of the table before, if its records are still the same.
    bool reuse(const Impl& previous, const model::ServicePortPtr& port, const Numbers& numbers) {
        const auto it = previous.compiled.find(port.get());
        if (it == previous.compiled.end() || it->second->service != numbers.service(key_of(*port))) {
            return false;
        }
        bool same = true;
        for_each_cluster(*it->second, [&](const ClusterPtr& cluster) {
            same = same && (cluster == nullptr || cluster->number() == numbers.cluster(cluster->model().id));
        });
        if (same) {
            take(it->second);
        }
        return same;
    }

    void take(HostPtr host) {
        for_each_cluster(*host, [&](const ClusterPtr& cluster) {
            if (cluster != nullptr) {
                clusters.insert_or_assign(cluster->model().id, cluster);
            }
        });
        compiled.emplace(host->port.get(), host);
        hosts.push_back(std::move(host));
    }

    // The object of the same value, or a new one that goes on with the old one's counts.
    ClusterPtr cluster(const Impl* previous, const model::ClusterPtr& model, const Numbers& numbers) {
        if (model == nullptr) {
            return nullptr;
        }
        const Cluster* before = nullptr;
        const std::uint32_t number = numbers.cluster(model->id);
        for (const Impl* impl : {static_cast<const Impl*>(this), previous}) {
            const auto it = impl != nullptr ? impl->clusters.find(model->id) : Clusters::const_iterator();
            if (impl == nullptr || it == impl->clusters.end()) {
                continue;
            }
            if (it->second->shared_model() == model && it->second->number() == number) {
                return it->second;
            }
            before = before == nullptr ? it->second.get() : before;
        }
        const ClusterPtr made = std::make_shared<Cluster>(model, number, before);
        clusters.insert_or_assign(model->id, made);
        return made;
    }
};

Table::Table(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Table::~Table() = default;

std::vector<std::string> Table::check(std::span<const model::ServicePortPtr> services) {
    std::vector<std::string> errors;
    const ClusterOf cluster_of = [](const model::ClusterPtr& model) -> ClusterPtr {
        return model != nullptr ? std::make_shared<Cluster>(model, SL_NONE, nullptr) : nullptr;
    };
    for (const model::ServicePortPtr& port : services) {
        if (has_rules(*port)) {
            if (Result<std::vector<Rule>> rules = compile_rules(*port, cluster_of); !rules) {
                errors.push_back(rules.error().text());
            }
        }
    }
    return errors;
}

Result<std::shared_ptr<const Table>> Table::build(
    const Table* previous, const std::map<model::ServicePortKey, model::ServicePortPtr>& services,
    const Numbers& numbers) {
    auto impl = std::make_unique<Impl>();
    const Impl* before = previous != nullptr ? previous->impl_.get() : nullptr;
    std::vector<model::ServicePortPtr> changed;
    for (const auto& [key, port] : services) {
        if (has_rules(*port) && (before == nullptr || !impl->reuse(*before, port, numbers))) {
            changed.push_back(port);
        }
    }
    const ClusterOf cluster_of = [&](const model::ClusterPtr& model) { return impl->cluster(before, model, numbers); };
    for (const model::ServicePortPtr& port : changed) {
        Result<HostPtr> host = compile_host(port, numbers.service(key_of(*port)), cluster_of);
        if (!host) {
            return std::unexpected(host.error());
        }
        impl->take(std::move(*host));
    }
    for (const HostPtr& host : impl->hosts) {
        impl->index.add(*host);
    }
    return std::make_shared<const Table>(std::move(impl));
}

const VirtualHost* Table::find(std::string_view scope, std::string_view host, std::uint16_t port) const {
    return impl_->index.find(scope, host, port);
}

const VirtualHost* Table::find(const Client& client, const VirtualHost* dialled, std::uint16_t port,
                               std::string_view authority) const {
    const HostName host(authority);
    const VirtualHost* found = host.name.empty() ? nullptr : impl_->index.find(client.scope, host.name, port);
    return found != nullptr ? found : dialled;
}

std::span<const std::shared_ptr<const VirtualHost>> Table::hosts() const {
    return impl_->hosts;
}

const Rule* VirtualHost::match(const Asked& asked) const {
    bool stranger = true;
    for (const Rule& rule : rules) {
        const Rule::Compiled& compiled = *rule.compiled;
        if (compiled.only_strangers) {
            return stranger ? &rule : nullptr;
        }
        if (!compiled.match) {
            return &rule;
        }
        if (compiled.match->fits(*asked.client)) {
            stranger = false;
            if (compiled.match->matches(asked)) {
                return &rule;
            }
        }
    }
    return nullptr;
}

}  // namespace sluice::proxy
