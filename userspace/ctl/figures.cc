#include "ctl/figures.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "ctl/quantile.h"
#include "sluice/abi/http.h"

namespace sluice::ctl {

namespace {

using Buckets = std::array<std::uint64_t, SL_HISTOGRAM_BUCKETS>;

// What happened between two answers.
struct Interval {
    double seconds = 0;
    std::uint64_t requests = 0, failed = 0, connects = 0;
    Buckets duration{};
};

std::uint64_t count(const Json& row, const char* name) {
    const auto found = row.find(name);
    return found != row.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::uint64_t grown(std::uint64_t now, std::uint64_t before) {
    return now >= before ? now - before : now;
}

std::optional<double> number(const Json& row, const char* name) {
    const auto found = row.find(name);
    return found != row.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

Buckets buckets(const Json& row) {
    Buckets out{};
    const auto found = row.find("duration");
    for (std::size_t i = 0; found != row.end() && found->size() == out.size() && i < out.size(); ++i) {
        out[i] = (*found)[i].is_number_unsigned() ? (*found)[i].get<std::uint64_t>() : 0;
    }
    return out;
}

Interval between(const Json& now, const Json& before, double seconds) {
    Interval out{.seconds = seconds,
                 .requests = grown(count(now, "requests"), count(before, "requests")),
                 .failed = grown(count(now, "failed"), count(before, "failed")),
                 .connects = grown(count(now, "picks"), count(before, "picks"))};
    const Buckets newer = buckets(now), older = buckets(before);
    for (std::size_t i = 0; i < newer.size(); ++i) {
        out.duration[i] = grown(newer[i], older[i]);
    }
    return out;
}

void add(Interval& sum, const Interval& more) {
    sum.seconds = more.seconds;
    sum.requests += more.requests;
    sum.failed += more.failed;
    sum.connects += more.connects;
    for (std::size_t i = 0; i < sum.duration.size(); ++i) {
        sum.duration[i] += more.duration[i];
    }
}

void rates(Figures& line, const Interval& interval, bool http) {
    if (interval.seconds <= 0) {
        return;
    }
    line.connects = static_cast<double>(interval.connects) / interval.seconds;
    if (!http) {
        return;
    }
    line.rate = static_cast<double>(interval.requests) / interval.seconds;
    if (interval.requests > 0) {
        const auto failed = static_cast<double>(std::min(interval.failed, interval.requests));
        line.success = 1 - failed / static_cast<double>(interval.requests);
    }
    line.p50 = quantile_ms(interval.duration, 0.5);
    line.p90 = quantile_ms(interval.duration, 0.9);
    line.p99 = quantile_ms(interval.duration, 0.99);
}

// host:port, without what all names of a cluster end with, and with the scope where it is not for all.
std::string service_name(const ServiceFigures& service) {
    constexpr std::string_view kCommon = ".svc.cluster.local";
    std::string host = service.host;
    if (host.ends_with(kCommon)) {
        host.resize(host.size() - kCommon.size());
    }
    return fmt::format("{}:{}{}", host, service.port, service.scope == "*" ? "" : "@" + service.scope);
}

std::string service_key(const Json& row) {
    return fmt::format("{}|{}|{}", row.value("scope", ""), row.value("host", ""), count(row, "port"));
}

std::string version_key(const Json& row) {
    return row.value("destination", "") + "|" + cell(row.value("cluster", Json()), "");
}

using Rows = std::map<std::string, const Json*>;
// The service itself among the rows of its destinations, whose keys have a "|".
constexpr const char* kUnrouted = "";

// Destinations of every service of an answer, by the keys of both.
std::map<std::string, Rows> by_key(const Json* answer) {
    std::map<std::string, Rows> out;
    if (answer != nullptr) {
        for (const Json& service : answer->at("services")) {
            Rows& rows = out[service_key(service)];
            rows[kUnrouted] = &service;
            for (const Json& destination : service.at("destinations")) {
                rows[version_key(destination)] = &destination;
            }
        }
    }
    return out;
}

Figures version_line(const Json& row, const std::string& service) {
    Figures line{.key = service + "|" + version_key(row), .name = {}, .depth = 1};
    const std::string subset = cell(row.value("subset", Json()), "");
    line.name = printable(subset == "-" ? row.value("destination", "") : subset);
    line.set_share = number(row, "share");
    line.conn_share = number(row, "observed_share");
    if (!row.value("cluster", Json()).is_null()) {
        line.open = count(row, "connections");
        line.endpoints = count(row, "endpoints");
        line.ejected = count(row, "ejected");
        line.ejections = count(row, "ejections");
        line.unobserved = count(row, "unobserved");
    }
    return line;
}

// Of the versions; those that share a cluster count it once.
void sum_counts(Figures& total, const Figures& line) {
    const auto plus = [](std::optional<std::uint64_t>& sum, const std::optional<std::uint64_t>& more) {
        sum = sum.value_or(0) + more.value_or(0);
    };
    plus(total.endpoints, line.endpoints);
    plus(total.ejected, line.ejected);
    plus(total.ejections, line.ejections);
    plus(total.unobserved, line.unobserved);
}

ServiceFigures one_service(const Json& row, const Rows* before, double seconds) {
    ServiceFigures out;
    out.host = row.value("host", "");
    out.scope = row.value("scope", "*");
    out.port = static_cast<std::uint16_t>(count(row, "port"));
    const bool http = row.value("http", false);
    const std::string key = service_key(row);
    out.total = {.key = key, .name = printable(service_name(out))};
    out.total.open = count(row, "connections");
    out.total.old = count(row, "older_generation_connections");
    Interval sum;
    std::set<std::string> counted;
    std::vector<std::optional<std::uint64_t>> requests;
    std::uint64_t asked = 0;
    if (before != nullptr) {
        if (const auto known = before->find(kUnrouted); known != before->end()) {
            sum.seconds = seconds;
            sum.requests = grown(count(row, "unrouted_requests"), count(*known->second, "unrouted_requests"));
            sum.failed = grown(count(row, "unrouted_failed"), count(*known->second, "unrouted_failed"));
        }
    }
    for (const Json& destination : row.at("destinations")) {
        Figures& line = out.versions.emplace_back(version_line(destination, key));
        out.subsets.push_back(destination.value("subset", Json()).is_string() ? destination["subset"] : Json(""));
        std::optional<std::uint64_t>& asked_here = requests.emplace_back();
        const Rows::const_iterator known =
            before == nullptr ? Rows::const_iterator{} : before->find(version_key(destination));
        const bool first = line.endpoints && counted.insert(cell(destination["cluster"], "")).second;
        if (first) {
            sum_counts(out.total, line);
        }
        if (!line.endpoints || before == nullptr || known == before->end()) {
            continue;
        }
        const Interval interval = between(destination, *known->second, seconds);
        rates(line, interval, http);
        asked_here = interval.requests;
        asked += interval.requests;
        if (first) {
            add(sum, interval);
        }
    }
    rates(out.total, sum, http);
    for (std::size_t i = 0; http && asked > 0 && i < requests.size(); ++i) {
        if (requests[i]) {
            out.versions[i].request_share = static_cast<double>(*requests[i]) / static_cast<double>(asked);
        }
    }
    return out;
}

}  // namespace

std::vector<ServiceFigures> service_figures(const Json& now, const Json* before) {
    const std::map<std::string, Rows> known = by_key(before);
    const double seconds =
        before == nullptr ? 0 : static_cast<double>(grown(count(now, "time_ns"), count(*before, "time_ns"))) / 1e9;
    std::vector<ServiceFigures> out;
    for (const Json& row : now.at("services")) {
        const auto found = known.find(service_key(row));
        out.push_back(one_service(row, found == known.end() ? nullptr : &found->second, seconds));
    }
    return out;
}

std::vector<Figures> endpoint_figures(const ServiceFigures& service, const std::string& subset, const Json& now,
                                      const Json* before, double seconds) {
    const auto belongs = [&](const Json& row) {
        return row.value("host", "") == service.host && count(row, "port") == service.port &&
               row.value("scope", "*") == service.scope && row.value("subset", "") == subset;
    };
    std::map<std::string, std::uint64_t> picks;
    for (const Json& row : before == nullptr ? Json::array() : *before) {
        if (belongs(row)) {
            picks[row.value("endpoint", "")] = count(row, "picks");
        }
    }
    std::uint64_t all = 0;
    for (const Json& row : now) {
        all += belongs(row) ? count(row, "picks") : 0;
    }
    std::vector<Figures> out;
    for (const Json& row : now) {
        if (!belongs(row)) {
            continue;
        }
        const std::string name = row.value("endpoint", "");
        Figures& line = out.emplace_back(Figures{.key = name, .name = printable(name), .depth = 2});
        line.open = count(row, "active");
        line.ejections = count(row, "times_ejected");
        line.state = printable(row.value("state", ""));
        if (line.state == "ejected" && number(row, "ejected_for_s")) {
            line.state = fmt::format("ejected {:.0f}s", *number(row, "ejected_for_s"));
        }
        if (all > 0) {
            line.conn_share = static_cast<double>(count(row, "picks")) / static_cast<double>(all);
        }
        if (const auto known = picks.find(name); known != picks.end() && seconds > 0) {
            line.connects = static_cast<double>(grown(count(row, "picks"), known->second)) / seconds;
        }
    }
    return out;
}

Json figures_json(const Figures& line) {
    const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
    Json out{{"name", line.name}};
    out["set_share"] = or_null(line.set_share);
    out["connection_share"] = or_null(line.conn_share);
    out["request_share"] = or_null(line.request_share);
    out["rate"] = or_null(line.rate);
    out["success"] = or_null(line.success);
    out["p50_ms"] = or_null(line.p50);
    out["p90_ms"] = or_null(line.p90);
    out["p99_ms"] = or_null(line.p99);
    out["connects_per_s"] = or_null(line.connects);
    out["connections"] = or_null(line.open);
    out["older_generation_connections"] = or_null(line.old);
    out["endpoints"] = or_null(line.endpoints);
    out["ejected"] = or_null(line.ejected);
    out["ejections"] = or_null(line.ejections);
    out["unobserved"] = or_null(line.unobserved);
    return out;
}

}  // namespace sluice::ctl
