// Rules, services and requests made by hand: what the tests of routing are written in.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/http_rule.h"
#include "proxy/routing.h"
#include "proxy/table.h"

namespace sluice::proxy::test {

using config::HttpMatch;
using config::HttpRule;
using config::StringMatch;
using Fields = std::vector<std::pair<std::string, std::string>>;

inline StringMatch exact(std::string text) {
    return {StringMatch::Kind::kExact, std::move(text), {}};
}
inline StringMatch prefix(std::string text) {
    return {StringMatch::Kind::kPrefix, std::move(text), {}};
}
inline StringMatch regex(std::string text) {
    return {StringMatch::Kind::kRegex, std::move(text), {}};
}
inline StringMatch present() {
    return {};
}
inline HttpMatch uri(StringMatch match) {
    HttpMatch made;
    made.uri = std::move(match);
    return made;
}
inline HttpMatch header(std::string name, StringMatch match) {
    HttpMatch made;
    made.headers.push_back({std::move(name), std::move(match)});
    return made;
}

inline Client client_in(std::string ns, config::Labels labels = {}) {
    Client client;
    client.scope = std::move(ns);
    client.labels = std::move(labels);
    client.workload = std::make_shared<const model::Workload>();
    client.address = *IpAddress::parse("10.1.2.3");
    return client;
}

// A request as it arrives. Its head views its own strings.
class Request {
  public:
    Request(std::string method, std::string target, Fields fields = {}, Client from = client_in("ml"),
            std::uint16_t port = 8080)
        : client(std::move(from)) {
        head.method = keep(std::move(method));
        head.target = keep(std::move(target));
        for (auto& [name, value] : fields) {
            head.fields.push_back({keep(std::move(name)), keep(std::move(value))});
            if (head.fields.back().name == "Host" || head.fields.back().name == "host") {
                head.authority = head.fields.back().value;
            }
        }
        split();
        normal = ask(head, client, port, path, asked);
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    http::RequestHead head;
    Client client;
    Asked asked;
    std::string path;
    bool normal = false;

  private:
    std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
    void split() {
        std::string_view rest = head.target;
        if (head.method == "CONNECT") {
            head.authority = rest;
            return;
        }
        if (const std::size_t colon = rest.find("://"); colon != std::string_view::npos) {
            head.scheme = rest.substr(0, colon);
            rest.remove_prefix(colon + 3);
            const std::size_t slash = std::min(rest.find('/'), rest.size());
            head.authority = rest.substr(0, slash);
            rest.remove_prefix(slash);
        }
        const std::size_t mark = rest.find('?');
        head.path = rest.substr(0, mark);
        if (mark != std::string_view::npos) {
            head.has_query = true;
            head.query = rest.substr(mark + 1);
            head.query = head.query.substr(0, head.query.find('#'));
        }
    }
    std::deque<std::string> texts_;
};

inline std::uint32_t number_of(const Identity& id) {
    return static_cast<std::uint32_t>(id.lo & 0xffff);
}
inline Table::Numbers numbers() {
    return {number_of, [](const model::ServicePortKey& key) {
                return static_cast<std::uint32_t>(std::hash<std::string>()(key.scope + "/" + key.host) & 0xffff);
            }};
}

inline std::shared_ptr<model::Cluster> make_cluster(const std::string& host, const std::string& subset) {
    auto cluster = std::make_shared<model::Cluster>();
    cluster->name = "outbound|8080|" + subset + "|" + host;
    cluster->host = host;
    cluster->subset = subset;
    cluster->port = 8080;
    cluster->id = Identity::of(cluster->name);
    return cluster;
}

// A subset (a cluster of its own) and its weight; "-": NC.
using Arm = std::pair<std::string, std::uint32_t>;

// One service port on the proxy lane under construction, its rules in the document ml/rules of rules.yaml.
class Service {
  public:
    explicit Service(std::string host = "ranker.ml.svc.cluster.local", std::string scope = "",
                     std::uint16_t port = 8080)
        : port_(std::make_shared<model::ServicePort>()), object_(std::make_shared<config::Object>()) {
        port_->host = std::move(host);
        port_->scope = std::move(scope);
        port_->port = port;
        port_->protocol = config::PortProtocol::kHttp;
        object_->key = {config::Kind::kVirtualService, "ml", "rules"};
        object_->file = "rules.yaml";
        object_->spec = config::VirtualService();
    }

    // Adds a rule; edit it until port() is called.
    HttpRule& rule(std::vector<Arm> arms, std::string name = "", std::vector<HttpMatch> matches = {}) {
        auto http = std::make_shared<HttpRule>();
        http->matches = std::move(matches);
        model::HttpRoute route;
        for (const auto& [subset, weight] : arms) {
            route.destinations.push_back({subset == "-" ? nullptr : cluster(subset), weight, subset});
        }
        for (std::uint32_t i = 0; i < http->matches.size(); ++i) {
            route.matches.push_back(i);
        }
        route.name = name;
        routes_.push_back(std::move(route));
        rules_.push_back(http);
        return *http;
    }
    // The plain service behind rules (or alone): HttpRoute::rule is null.
    void plain() {
        model::HttpRoute route;
        route.destinations.push_back({cluster(""), 100, ""});
        route.name = "default";
        routes_.push_back(std::move(route));
        rules_.push_back(nullptr);
    }
    model::HttpRoute& last() { return routes_.back(); }
    std::shared_ptr<model::Cluster> cluster(const std::string& subset) {
        auto& made = clusters_[subset];
        return made != nullptr ? made : made = make_cluster(port_->host, subset);
    }
    void address(const std::string& text) { port_->addresses.push_back(*IpAddress::parse(text)); }

    model::ServicePortPtr port() {
        auto& service = std::get<config::VirtualService>(object_->spec);
        service.http.resize(rules_.size());
        auto route = std::make_shared<model::Route>();
        route->lane = model::Lane::kProxy;
        for (std::size_t i = 0; i < rules_.size(); ++i) {
            model::HttpRoute each = routes_[i];
            if (rules_[i] != nullptr) {
                service.http[i].http = rules_[i];
                service.http[i].place = {static_cast<int>(10 * (i + 1)), 5};
                each.rule = &service.http[i];
                each.source = object_;
            }
            route->http.push_back(std::move(each));
        }
        port_->route = route;
        return port_;
    }

  private:
    std::shared_ptr<model::ServicePort> port_;
    std::shared_ptr<config::Object> object_;
    std::vector<model::HttpRoute> routes_;
    std::vector<std::shared_ptr<HttpRule>> rules_;
    std::map<std::string, std::shared_ptr<model::Cluster>> clusters_;
};

using Services = std::map<model::ServicePortKey, model::ServicePortPtr>;

inline Services listed(const std::vector<model::ServicePortPtr>& ports) {
    Services services;
    for (const model::ServicePortPtr& port : ports) {
        services.emplace(model::ServicePortKey{port->scope, port->host, port->port}, port);
    }
    return services;
}

inline TablePtr build(const std::vector<model::ServicePortPtr>& ports, const Table* previous = nullptr) {
    Result<TablePtr> table = Table::build(previous, listed(ports), numbers());
    EXPECT_TRUE(table.has_value()) << table.error().text();
    return table.value_or(nullptr);
}

// A table with one service, and what it makes of requests.
struct World {
    explicit World(Service& service) : table(build({service.port()})), host(table->hosts().front().get()) {}

    // The name of the rule that matches; "NR".
    std::string rule(const Request& request) const {
        const Rule* found = host->match(request.asked);
        return found != nullptr ? found->name : "NR";
    }
    Context context(const Request& request) const {
        Context context;
        context.asked = &request.asked;
        context.host = host;
        context.rule = host->match(request.asked);
        return context;
    }
    std::string written(const Request& request, std::size_t destination = 0) const {
        Context made = context(request);
        made.destination = destination;
        std::string out;
        write_request(made, request.head, http::Framing::kNone, 0, out);
        return out;
    }

    TablePtr table;
    const VirtualHost* host;
};

// The first line of a head.
inline std::string first_line(const std::string& text) {
    return text.substr(0, text.find("\r\n"));
}
// All values of a field, joined by "|"; "-": there is none. Names compared as written.
inline std::string field(const std::string& text, const std::string& name) {
    std::string values;
    bool found = false;
    for (std::size_t at = text.find("\r\n"); at != std::string::npos && text.compare(at, 4, "\r\n\r\n") != 0;) {
        const std::size_t begin = at + 2;
        at = text.find("\r\n", begin);
        const std::string line = text.substr(begin, at - begin);
        if (line.starts_with(name + ": ")) {
            values += (found ? "|" : "") + line.substr(name.size() + 2);
            found = true;
        }
    }
    return found ? values : "-";
}

}  // namespace sluice::proxy::test
