// Answers of /v1/top for tests: a service with two versions, and one with a single destination.
#pragma once

#include <string>

#include "ctl/figures.h"

namespace sluice::ctl {

// Counts of one destination.
struct Made {
    std::uint64_t requests = 0, failed = 0, picks = 0, fast = 0, slow = 0;  // fast: (5, 10] ms, slow: (50, 100] ms
    std::uint64_t ejected = 0;
};

inline Json made_destination(const std::string& subset, double share, const Made& made) {
    Json duration = Json::array();
    for (int i = 0; i < 20; ++i) {
        duration.push_back(std::uint64_t{i == 3 ? made.fast : i == 6 ? made.slow : 0});
    }
    return Json{{"destination", "ranking/" + subset},
                {"subset", subset},
                {"cluster", "outbound|8080|" + subset + "|ranking"},
                {"weight", 1u},
                {"share", share},
                {"observed_share", 0.5},
                {"picks", made.picks},
                {"connections", 4u},
                {"endpoints", 3u},
                {"ejected", made.ejected},
                {"ejections", 2u},
                {"requests", made.requests},
                {"failed", made.failed},
                {"unobserved", 1u},
                {"duration", duration}};
}

inline Json made_service(const std::string& host, Json destinations, bool http = true) {
    return Json{{"host", host},
                {"port", 8080u},
                {"scope", "*"},
                {"http", http},
                {"generation", 3u},
                {"connections", 9u},
                {"older_generation_connections", 2u},
                {"destinations", std::move(destinations)}};
}

inline Json made_answer(std::uint64_t seconds, Json services) {
    return Json{
        {"time_ns", seconds * 1'000'000'000}, {"generation", 7u},         {"watching", true},    {"ejected", 1u},
        {"total", services.size()},           {"shown", services.size()}, {"services", services}};
}

inline Json made_ranking(const Made& v45, const Made& v47) {
    return made_service("ranking.ml.svc.cluster.local",
                        Json::array({made_destination("v45", 0.9, v45), made_destination("v47", 0.1, v47)}));
}

}  // namespace sluice::ctl
