// Any sequence of changes leaves exactly what one load of the final objects makes, and a refused change leaves nothing.
#include <algorithm>
#include <random>

#include "build.h"

namespace sluice::model::test {
namespace {

void describe(std::string& out, const Cluster& c) {
    out += "    " + c.name + " " + std::to_string(c.id.hi) + " lb " + std::to_string(c.load_balancer) + " max " +
           std::to_string(c.max_connections) +
           (c.outlier ? " outlier " + std::to_string(c.outlier->max_ejection_percent) : "") +
           (c.limit_node ? " node" : "") + (c.http ? " http" : "") + (c.answers ? " answers" : "") + " drain " +
           config::drain_name(c.drain) + "\n";
    for (const Endpoint& e : c.endpoints) {
        out += "      " + endpoint_text(e.address, e.port) + " " + e.workload->name + "/" + e.workload->version +
               (e.accepts_new ? "" : " closed") + "\n";
    }
}

std::string describe(const ServicePort& s) {
    std::string out = s.scope + " " + s.host + ":" + std::to_string(s.port) + " " + s.service_namespace + " " +
                      config::protocol_name(s.protocol) + "\n";
    for (const IpAddress& address : s.addresses) {
        out += "  " + address.text() + "\n";
    }
    out += "  lane " + std::to_string(int(s.route->lane)) + (s.route->spill ? " spill" : "") + " split " +
           std::to_string(int(s.route->split)) + " drain " + config::drain_name(s.route->drain) + "\n";
    const auto destinations = [&](const std::vector<Destination>& list) {
        for (const Destination& d : list) {
            out += "   " + std::to_string(d.weight) + (d.cluster ? "\n" : " NC\n");
            if (d.cluster) {
                describe(out, *d.cluster);
            }
        }
    };
    destinations(s.route->destinations);
    for (const HttpRoute& rule : s.route->http) {
        // Rules are told apart by their documents, each of which has lines of its own here.
        out += "  rule " + std::to_string(rule.rule != nullptr ? rule.rule->place.line : 0) + " elements";
        for (const std::uint32_t i : rule.matches) {
            out += " " + std::to_string(i);
        }
        out += (rule.catch_all ? " all" : "") + std::string(rule.experiment != nullptr ? " experiment " : "") +
               (rule.experiment != nullptr ? std::to_string(rule.experiment->place.line) : "") + "\n";
        destinations(rule.destinations);
        out += "   mirrors\n";
        destinations(rule.mirrors);
    }
    return out + s.route->no_fallback;
}

// What only people read must be as fresh as the rest.
std::string provenance(const ServicePort& s) {
    std::string out =
        "  " + (s.route->source ? s.route->source->key.text() + std::to_string(s.route->source->place.line) : "plain");
    for (const std::string& reason : s.route->lane_reasons) {
        out += "  " + reason + "\n";
    }
    for (const Destination& d : s.route->destinations) {
        for (const auto& source : d.cluster ? d.cluster->sources : std::vector<ObjectPtr>()) {
            out += "    from " + source->key.text() + std::to_string(source->place.line) + "\n";
        }
    }
    return out;
}

std::map<ServicePortKey, std::string> contents(const Mesh& mesh, bool with_provenance) {
    std::map<ServicePortKey, std::string> out;
    for (const auto& [key, service] : mesh.services()) {
        out[key] = describe(*service) + (with_provenance ? provenance(*service) : "");
    }
    return out;
}

// Draws documents from a small world, so that they meet often.
class World {
  public:
    // `requests`: with rules of the proxy lane.
    World(unsigned seed, bool requests) : random_(seed), requests_(requests) {}
    unsigned draw(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }
    bool one_in(unsigned n) { return draw(n) == 0; }

    Change change() {
        const Draft draft = document();
        return one_in(4) ? drop(draft) : put(draft);
    }

  private:
    std::string ns() { return std::string(1, char('a' + draw(3))); }
    std::string host() {
        static const char* const kHosts[] = {"s.a.svc.cluster.local", "t.b.svc.cluster.local", "s", "t", "u.example"};
        return kHosts[draw(5)];
    }
    config::Labels labels() {
        config::Labels out{{"app", one_in(2) ? "x" : "y"}};
        if (one_in(2)) {
            out["version"] = one_in(2) ? "v1" : "v2";
        }
        return out;
    }
    std::string address() { return "127.0.1." + std::to_string(1 + draw(12)); }
    template <typename T>
    T common(T draft) {
        if (one_in(3)) {
            std::vector<std::string> to;
            while (!one_in(3)) {
                to.push_back(ns());
            }
            draft.export_to(std::move(to));
        }
        if (one_in(3)) {
            draft.created("2026-01-0" + std::to_string(1 + draw(3)) + "T00:00:00Z");
        }
        if (one_in(6)) {
            draft.object.meta.annotations.on_subset_down = config::OnSubsetDown::kSpill;
        }
        if (one_in(2)) {
            draft.object.meta.annotations.split = config::Split::kConnection;
        }
        if (one_in(4)) {
            draft.object.meta.annotations.drain = one_in(2) ? config::Drain::kIdle : config::Drain::kNone;
        }
        return draft;
    }
    config::ServicePort any_port() {
        return port(one_in(2) ? 80 : 90, one_in(3) ? PortProtocol::kHttp : PortProtocol::kTcp);
    }

    Draft service_entry() {
        const std::string name = one_in(2) ? "e" : "f";
        const std::string vip = one_in(8) ? "" : "127.10.0." + std::to_string(1 + draw(30));
        ServiceEntry out(ns(), name, one_in(6) ? "s" : host(), vip);
        out.with(any_port());
        if (one_in(3)) {
            out.select(labels());
        } else {
            for (unsigned i = draw(4); i > 0; --i) {
                out.with(endpoint(address(), labels()));
            }
        }
        return common(std::move(out));
    }
    Draft kubernetes_service() {
        Service out(one_in(2) ? "a" : "b", one_in(2) ? "s" : "t", "127.11.0." + std::to_string(1 + draw(30)));
        out.with(any_port());
        if (one_in(2)) {
            out.spec().selector = labels();
        }
        return common(std::move(out));
    }
    Draft slice() {
        Slice out(one_in(2) ? "a" : "b", one_in(2) ? "i" : "j", one_in(2) ? "s" : "t");
        out.spec().ports = {{"p80", 8080}};
        config::Endpoint e = endpoint(address(), labels());
        e.ready = !one_in(3);
        out.with(e);
        return out;
    }
    Draft workload() {
        WorkloadEntry out(ns(), std::string(1, char('k' + draw(4))), one_in(5) ? "" : address(), labels());
        if (one_in(2)) {
            out.object.meta.annotations.cgroup = "/c/" + std::to_string(draw(3));
        }
        return out;
    }
    Draft virtual_service() {
        VirtualService out(ns(), one_in(2) ? "v" : "w", one_in(6) ? "*.local" : host());
        std::vector<To> to;
        for (unsigned i = 1 + draw(3); i > 0; --i) {
            to.push_back({host(),
                          one_in(2)   ? ""
                          : one_in(2) ? "v1"
                                      : "v2",
                          int(1 + draw(3)), std::uint16_t(one_in(4) ? 80 : 0)});
        }
        if (one_in(3) || requests_) {
            if (requests_ && one_in(2)) {
                add_request_rule(out);
            }
            out.http(to);
            out.named("last");
        } else {
            out.tcp(to);
        }
        return common(std::move(out));
    }
    // One more rule in front, with one or two conditions.
    void add_request_rule(VirtualService& out) {
        out.http({{host(), one_in(3) ? "v1" : "", -1, 0}});
        for (unsigned i = 1 + draw(2); i > 0; --i) {
            config::HttpMatch match = one_in(3)   ? header("x-user", "jason")
                                      : one_in(3) ? dialled(one_in(2) ? 80 : 90)
                                      : one_in(2) ? from_namespace(ns())
                                                  : from_labels(labels());
            if (one_in(6)) {
                match.gateways_given = true;
                match.gateways_mesh = one_in(2);
            }
            out.when(std::move(match));
        }
        if (one_in(3)) {
            out.mirror({host(), one_in(2) ? "v2" : ""});
        }
    }
    Draft experiment() { return Experiment(ns(), one_in(2) ? "x" : "y", host(), one_in(2) ? "last" : ""); }
    Draft destination_rule() {
        DestinationRule out(one_in(8) ? "istio-system" : ns(), one_in(2) ? "d" : "g", one_in(6) ? "*.local" : host());
        for (const char* version : {"v1", "v2"}) {
            if (!one_in(3)) {
                out.subset(version, {{"version", version}});
            }
        }
        if (one_in(2)) {
            out.policy().blocks.connection_pool.emplace().max_connections = 1 + draw(3);
        }
        if (one_in(4)) {
            out.object.meta.annotations.limit_scope = config::LimitScope::kNode;
        }
        return common(std::move(out));
    }
    Draft document() {
        switch (draw(requests_ ? 9 : 8)) {
            case 0:
            case 1:
                return service_entry();
            case 2:
                return kubernetes_service();
            case 3:
                return slice();
            case 4:
                return workload();
            case 5:
            case 6:
                return virtual_service();
            case 8:
                return experiment();
            default:
                return destination_rule();
        }
    }

    std::mt19937 random_;
    bool requests_;
};

struct Tally {
    int applied = 0, refused = 0, scoped = 0, split = 0, rules = 0, experiments = 0;
};

void run(unsigned seed, bool references_warn, bool requests, Tally& tally) {
    const Options options =
        requests ? with_proxy(references_warn) : Options{.references_warn = references_warn, .lanes = {Lane::kDirect}};
    World world(seed, requests);
    Mesh mesh(options);
    std::map<ServicePortKey, std::string> from_deltas;
    for (int round = 0; round < 40; ++round) {
        std::vector<Change> changes;
        std::map<config::ObjectKey, ObjectPtr> wanted = mesh.objects();
        for (unsigned i = 1 + world.draw(round == 0 ? 20 : 3); i > 0; --i) {
            const Change change = world.change();
            if (std::ranges::any_of(changes, [&](const Change& c) { return c.key == change.key; })) {
                continue;
            }
            changes.push_back(change);
            if (change.object) {
                wanted[change.key] = change.object;
            } else {
                wanted.erase(change.key);
            }
        }
        const auto before = contents(mesh, true);
        const auto objects_before = mesh.objects();
        const auto preview = mesh.preview(changes);
        ASSERT_EQ(contents(mesh, true), before);
        ASSERT_EQ(mesh.objects(), objects_before);
        const auto result = mesh.apply(changes);
        ASSERT_EQ(preview.has_value(), result.has_value());

        std::vector<Change> load;
        for (const auto& [key, object] : wanted) {
            load.push_back({key, object});
        }
        Mesh fresh(options);
        const auto fresh_result = fresh.apply(load);
        ASSERT_EQ(result.has_value(), fresh_result.has_value())
            << "seed " << seed << " round " << round << "\n"
            << TestMesh::text(result ? fresh_result.error() : result.error());
        if (!result) {
            ++tally.refused;
            ASSERT_EQ(contents(mesh, true), before);
            ASSERT_EQ(mesh.objects(), objects_before);
            continue;
        }
        ++tally.applied;
        ASSERT_EQ(preview->changed.size(), result->changed.size());
        ASSERT_EQ(preview->removed, result->removed);
        ASSERT_EQ(preview->clients_changed, result->clients_changed);
        if (world.one_in(4)) {
            // There and back again.
            ASSERT_TRUE(mesh.apply(result->undo).has_value());
            ASSERT_EQ(contents(mesh, true), before);
            ASSERT_EQ(mesh.objects(), objects_before);
            ASSERT_TRUE(mesh.apply(changes).has_value());
        }
        ASSERT_EQ(contents(mesh, true), contents(fresh, true)) << "seed " << seed << " round " << round;
        ASSERT_EQ(mesh.clients().size(), fresh.clients().size());
        // The delta, laid over what was, is what is; and it names nothing that stayed equal.
        for (const ServicePortPtr& port : result->changed) {
            const ServicePortKey key{port->scope, port->host, port->port};
            const std::string text = describe(*port);
            ASSERT_NE(from_deltas[key], text) << "seed " << seed << " round " << round;
            from_deltas[key] = text;
        }
        for (const ServicePortKey& key : result->removed) {
            ASSERT_EQ(from_deltas.erase(key), 1u);
        }
        ASSERT_EQ(from_deltas, contents(mesh, false)) << "seed " << seed << " round " << round;
        tally.scoped +=
            int(std::ranges::count_if(mesh.services(), [](const auto& s) { return !s.first.scope.empty(); }));
        tally.split += int(std::ranges::count_if(
            mesh.services(), [](const auto& s) { return s.second->route->destinations.size() > 1; }));
        for (const auto& [key, service] : mesh.services()) {
            tally.rules += service->route->http.size() > 1;
            tally.experiments += int(std::ranges::count_if(service->route->http, &HttpRoute::experiment));
        }
    }
}

TEST(RandomChanges, end_where_one_load_of_the_final_objects_ends) {
    Tally strict, lenient, requests;
    for (unsigned seed = 1; seed <= 50 && !HasFatalFailure(); ++seed) {
        run(seed, false, false, strict);
        run(seed, true, false, lenient);
        run(seed, true, true, requests);
    }
    // The world must be rich enough to mean something.
    for (const Tally& tally : {strict, lenient, requests}) {
        std::printf("applied %d, refused %d, ports of scopes %d, weighted %d, several rules %d, experiments %d\n",
                    tally.applied, tally.refused, tally.scoped, tally.split, tally.rules, tally.experiments);
        EXPECT_GT(tally.applied, 300);
        EXPECT_GT(tally.refused, 50);
        EXPECT_GT(tally.split, 30);
    }
    EXPECT_GT(lenient.scoped, 500);
    EXPECT_GT(requests.rules, 200);
    EXPECT_GT(requests.experiments, 30);
    RecordProperty("applied", strict.applied + lenient.applied);
}

}  // namespace
}  // namespace sluice::model::test
