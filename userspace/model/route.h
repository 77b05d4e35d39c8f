// Routes of one service port: which destinations, on which lane, and why.
#pragma once

#include <string>

#include "model/cluster.h"
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
    void add_destination(const View& view, Draft& draft, std::size_t index);
    void take_rule(const View& view, Draft& draft);
    void take_drain(Draft& draft);
    void choose_lane(Draft& draft);
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
