// `sluice hosts`: lines for /etc/hosts, so that names lead to virtual addresses where no DNS does.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "ctl/lists.h"

namespace sluice::ctl {

namespace {

struct Host {
    std::string address, name;
};

// Each address with each host once, in the order of the rows. The client's view of a host stands in for what all see.
std::vector<Host> hosts_of(const Json& rows, const std::string& client) {
    std::set<std::string> own;
    for (const Json& row : rows) {
        if (!client.empty() && row.value("scope", "") == client) {
            own.insert(row.value("host", ""));
        }
    }
    std::vector<Host> out;
    std::set<std::pair<std::string, std::string>> seen;
    for (const Json& row : rows) {
        const std::string name = row.value("host", ""), scope = row.value("scope", "");
        if (name.starts_with("*") || scope != (own.contains(name) ? client : "*")) {
            continue;
        }
        std::istringstream addresses(row.value("addresses", ""));
        for (std::string address; addresses >> address;) {
            if (seen.emplace(address, name).second) {
                out.push_back({address, name});
            }
        }
    }
    return out;
}

// Kubernetes' short forms. The bare name belongs to the client's namespace, or to the only service of that name.
std::vector<std::string> names_of(const std::string& host, const std::string& client,
                                  const std::map<std::string, int>& bare) {
    static constexpr std::string_view kSuffix = ".svc.cluster.local";
    std::vector<std::string> out{host};
    const std::size_t dot = host.find('.');
    if (!host.ends_with(kSuffix) || dot == std::string::npos || dot + kSuffix.size() >= host.size()) {
        return out;
    }
    const std::string with_namespace = host.substr(0, host.size() - kSuffix.size());
    const std::string name = host.substr(0, dot);
    out.push_back(with_namespace + ".svc");
    out.push_back(with_namespace);
    if (client.empty() ? bare.at(name) == 1 : with_namespace.substr(dot + 1) == client) {
        out.push_back(name);
    }
    return out;
}

void hosts(Session& session, const std::string& client) {
    auto rows = list_rows(session, "services", "");
    if (!rows) {
        session.refuse(rows.error());
        return;
    }
    const std::vector<Host> found = hosts_of(*rows, client);
    std::map<std::string, std::set<std::string>> by_bare;
    for (const Host& host : found) {
        by_bare[host.name.substr(0, host.name.find('.'))].insert(host.name);
    }
    std::map<std::string, int> bare;
    for (const auto& [name, full] : by_bare) {
        bare[name] = static_cast<int>(full.size());
    }
    Json out = Json::array();
    for (const Host& host : found) {
        out.push_back({{"address", host.address}, {"names", names_of(host.name, client, bare)}});
    }
    if (session.format != Format::kTable) {
        session.print(out);
        return;
    }
    for (const Json& line : out) {
        session.out << fmt::format("{:<15}", line["address"].get<std::string>());
        for (const Json& name : line["names"]) {
            session.out << ' ' << printable(name.get<std::string>());
        }
        session.out << '\n';
    }
}

}  // namespace

void add_hosts(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand("hosts", "Lines for /etc/hosts: virtual addresses with their names");
    auto client = std::make_shared<std::string>();
    verb->add_option("--client", *client,
                     "Namespace whose services have bare names; default: names that only one service has");
    verb->footer("Example:\n  sluice --config rules/ hosts | sudo tee -a /etc/hosts");
    verb->callback([&session, client] { hosts(session, *client); });
}

}  // namespace sluice::ctl
