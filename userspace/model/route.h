// Routes of one service port: which destinations, on which lane, and why.
#pragma once

#include <string>

#include "model/cluster.h"
#include "model/rules.h"
#include "model/view.h"

namespace sluice::model {

bool same_route(const Route& a, const Route& b);
bool same_service_port(const ServicePort& a, const ServicePort& b);

// Builds routes during one apply. Errors and warnings go to the report; after an error the route is unusable.
class Routes {
  public:
    Routes(const Options& options, Clusters& clusters, Report& report)
        : options_(options), clusters_(clusters), report_(report) {}

    RoutePtr build(const View& view, const std::string& host, const ServiceRef& service);

  private:
    struct Draft;
    struct Blocker;
    // `warning`: what becomes of a dangling one. `blocks`, if not null, gets the policies in force for each
    // destination.
    Destination resolve(const View& view, Draft& draft, const config::RouteDestination& destination,
                        const std::string& field, const char* warning, std::vector<Policies::Blocks>* blocks);
    std::vector<Destination> resolve_all(const View& view, Draft& draft, const config::WeightedRule& rule,
                                         const std::string& field, std::vector<Policies::Blocks>* blocks);
    HttpRoute take_rule(const View& view, Draft& draft, const ReachableRule& reachable);
    void take_rules(const View& view, Draft& draft);
    void take_fallback(Draft& draft);
    void take_drain(Draft& draft);
    bool available(Lane lane) const;
    void choose_lane(Draft& draft);
    Blocker blocker(const Draft& draft) const;
    void take_forced(Draft& draft, const config::ObjectPtr& from);
    std::string direct_reason(const Draft& draft, const config::ObjectPtr& split_from);
    struct Watching {
        std::string text;
        bool differs = false;  // from what Istio does, so that it is worth a warning
    };
    static Watching watching_text(const Draft& draft);
    void say_split(const Draft& draft);

    const Options& options_;
    Clusters& clusters_;
    Report& report_;
};

}  // namespace sluice::model
