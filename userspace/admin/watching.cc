#include "admin/watching.h"

#include <arpa/inet.h>

#include <algorithm>
#include <iterator>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/ip.h"
#include "telemetry/reading.h"

namespace sluice::admin {

namespace {

std::string address_text(const std::uint8_t (&bytes)[16], std::uint16_t port) {
    IpAddress address;
    std::ranges::copy(bytes, address.bytes.begin());
    return endpoint_text(address, ntohs(port));
}

// "ns/name" of the client's workload; null when nobody said who it is.
Json client_name(const model::WorkloadPtr& client) {
    if (!client || client->name.empty() || client->name == "unknown") {
        return nullptr;
    }
    return client->ns.empty() || client->ns == "unknown" ? client->name : client->ns + "/" + client->name;
}

// What was dialled, or when that is not known, where it went.
void service_columns(Json& row, const Known& known) {
    row["host"] = known.service ? Json(known.service->host) : known.cluster ? Json(known.cluster->host) : Json(nullptr);
    row["port"] = known.service ? Json(known.service->port) : known.cluster ? Json(known.cluster->port) : Json(nullptr);
    row["subset"] = known.cluster ? Json(known.cluster->subset) : Json(nullptr);
}

double milliseconds(std::uint64_t ns) {
    return static_cast<double>(ns / 1000) / 1000;
}

}  // namespace

const char* method_name(std::uint8_t method) {
    static constexpr const char* kNames[] = {"other",  "GET",     "HEAD",  "POST",    "PUT",
                                             "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"};
    return method < std::size(kNames) ? kNames[method] : kNames[0];
}

const char* watched_text(std::uint32_t watched) {
    if (watched == SL_REASON_NONE) {
        return "yes";
    }
    return watched == SL_REASON_ESTABLISHED ? "tcp" : telemetry::reason_label(watched);
}

const char* gate_text(std::uint32_t gate) {
    if ((gate & SL_GATE_CLOSED) != 0) {
        return "closed";
    }
    if ((gate & SL_GATE_WANTED) != 0) {
        return "wanted";
    }
    return (gate & SL_GATE_BUSY) != 0 ? "busy" : "open";
}

std::string unix_time_text(std::int64_t unix_ns) {
    const std::int64_t ms = unix_ns / 1'000'000;
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

Json connection_row(const sl_connection& connection, const Known& known, bool older, std::uint64_t now_ns) {
    Json row{{"client", client_name(known.client)}};
    service_columns(row, known);
    row["endpoint"] = address_text(connection.remote_address, connection.remote_port);
    row["dialled"] = address_text(connection.dialled_address, connection.dialled_port);
    row["local"] = address_text(connection.local_address, connection.local_port);
    row["state"] = connection.established_ns == 0 ? "connecting" : "established";
    const std::uint64_t age = now_ns > connection.started_ns ? now_ns - connection.started_ns : 0;
    row["age_s"] = milliseconds(age / 1'000'000 * 1000);
    row["requests"] = connection.watched == SL_REASON_ESTABLISHED ? Json(nullptr) : Json(connection.requests);
    row["sent_bytes"] = connection.sent_bytes;
    row["received_bytes"] = connection.received_bytes;
    row["generation"] = connection.generation;
    row["older"] = older;
    row["watched"] = watched_text(connection.watched);
    row["gate"] = connection.watched == SL_REASON_NONE ? Json(gate_text(connection.gate)) : Json(nullptr);
    row["cookie"] = connection.cookie;
    row["netns_cookie"] = connection.netns_cookie;
    return row;
}

Json sample_row(const proxy::Sample& sample, const Known& known, const std::string& endpoint,
                std::int64_t ended_unix_ns) {
    const sl_sample& seen = sample.seen;
    const auto text = [](const auto& chars) { return chars[0] == 0 ? Json(nullptr) : Json(chars.data()); };
    Json row{{"time", unix_time_text(ended_unix_ns)}};
    row["client"] = sample.proxied ? text(sample.client) : client_name(known.client);
    service_columns(row, known);
    if (sample.proxied && sample.port != 0) {
        row["host"] = text(sample.host);
        row["port"] = sample.port;
    }
    row["endpoint"] = endpoint;
    row["method"] = sample.proxied ? text(sample.method) : Json(method_name(seen.method));
    row["status"] = seen.status;
    row["duration_ms"] = milliseconds(seen.duration_ns);
    row["first_byte_ms"] = seen.first_byte_ns == 0 ? Json(nullptr) : Json(milliseconds(seen.first_byte_ns));
    row["request_bytes"] = seen.request_bytes;
    row["response_bytes"] = seen.response_bytes;
    if (sample.proxied) {
        std::string flags;
        proxy::write_flags(sample.flags, flags);
        row["flag"] = flags;
        row["reason"] = sample.flags == 0 ? Json(nullptr) : text(sample.details);
    } else {
        const bool whole = seen.reason == SL_REASON_NONE;
        row["flag"] = whole ? "-" : telemetry::reason_flag(seen.reason);
        row["reason"] = whole ? Json(nullptr) : Json(telemetry::reason_label(seen.reason));
    }
    row["connection"] = sample.proxied ? Json(nullptr) : Json(seen.cookie);
    row["lane"] = sample.proxied ? "proxy" : "direct";
    row["route"] = sample.proxied ? text(sample.route) : Json(nullptr);
    row["attempts"] = sample.proxied ? Json(sample.attempts) : Json(nullptr);
    return row;
}

}  // namespace sluice::admin
