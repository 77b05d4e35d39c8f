// What `sluice top` shows, worked out of two answers of /v1/top. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ctl/render.h"

namespace sluice::ctl {

// One line: a service, a version of it (a destination of its rule) or an endpoint. What is empty is not known, or
// means nothing there.
struct Figures {
    std::string key;                            // the same line in every answer
    std::string name;                           // for people
    int depth = 0;                              // 0 service, 1 version, 2 endpoint
    std::optional<double> set_share{};          // of the weights; shares are 0..1
    std::optional<double> conn_share{};         // of the connections since the weights came into force
    std::optional<double> request_share{};      // of the requests between the answers
    std::optional<double> rate{};               // requests a second
    std::optional<double> success{};            // part of the requests that did not fail, 0..1
    std::optional<double> p50{}, p90{}, p99{};  // milliseconds
    std::optional<double> connects{};           // new connections a second
    std::optional<std::uint64_t> open{}, old{}, endpoints{}, ejected{}, ejections{}, unobserved{};
    std::string state{};  // of an endpoint
};

struct ServiceFigures {
    std::string host, scope;
    std::uint16_t port = 0;
    Figures total;
    std::vector<Figures> versions;     // in the rule's order
    std::vector<std::string> subsets;  // one a version; names of their endpoints' rows
};

// Figures of `now`, with rates since `before` (null, or a service that is new: no rates). A count that went down began
// anew from 0.
std::vector<ServiceFigures> service_figures(const Json& now, const Json* before);

// The endpoints of one version out of two answers of /v1/endpoints that lie `seconds` apart.
std::vector<Figures> endpoint_figures(const ServiceFigures& service, const std::string& subset, const Json& now,
                                      const Json* before, double seconds);

// As JSON, for programs: the fields above by name, null where empty.
Json figures_json(const Figures& figures);

}  // namespace sluice::ctl
