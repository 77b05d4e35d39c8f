#include <array>

#include "config/kinds.h"

namespace sluice::config {

namespace {

constexpr Field<TcpKeepalive> kKeepalive[] = {
    {"probes",
     [](const Value& value, TcpKeepalive& out) {
         if (const auto probes = value.u32()) {
             out.probes = *probes;
         }
     }},
    {"time",
     [](const Value& value, TcpKeepalive& out) {
         if (const auto time = value.duration()) {
             out.time = *time;
         }
     }},
    {"interval",
     [](const Value& value, TcpKeepalive& out) {
         if (const auto interval = value.duration()) {
             out.interval = *interval;
         }
     }},
};

struct Reader {
    ConnectionPool& out;
    std::optional<std::chrono::nanoseconds> tcp_idle, http_idle;
};

// A limit; 0 is unset, as in Istio.
std::optional<std::uint32_t> limit_of(const Value& value) {
    const auto limit = value.integer(0, 0x7fffffff);
    return limit && *limit > 0 ? std::optional(static_cast<std::uint32_t>(*limit)) : std::nullopt;
}

void needs_lane(const Value& value, Reader& reader) {
    remember_need(value, "this is a limit on requests and pooled connections, which needs a request lane",
                  reader.out.needs_request_lane);
}

void needs_tcp_lane(const Value& value, Reader& reader) {
    constexpr const char* kAdvice = "connections are ended where both of their sides are held, which needs a proxy";
    remember_need(value, kAdvice, reader.out.needs_request_lane);
    remember_need(value, kAdvice, reader.out.needs_tcp_proxy);
}

template <std::uint32_t HttpPool::*Limit>
void read_limit(const Value& value, Reader& reader) {
    if (const auto limit = limit_of(value)) {
        reader.out.http.*Limit = *limit;
        needs_lane(value, reader);
    }
}

constexpr Field<Reader> kTcp[] = {
    {"maxConnections", [](const Value& value, Reader& reader) { reader.out.max_connections = limit_of(value); }},
    {"connectTimeout", [](const Value& value, Reader& reader) { reader.out.connect_timeout = value.duration(); }},
    {"tcpKeepalive",
     [](const Value& value, Reader& reader) { read_fields(value, kKeepalive, reader.out.keepalive.emplace()); }},
    {"idleTimeout",
     [](const Value& value, Reader& reader) {
         reader.tcp_idle = value.duration(true);
         needs_tcp_lane(value, reader);
     }},
    {"maxConnectionDuration",
     [](const Value& value, Reader& reader) {
         reader.out.http.max_connection_duration = value.duration();
         needs_tcp_lane(value, reader);
     }},
};

constexpr const char* kHttp2Advice = "it needs HTTP/2, and upstream connections speak HTTP/1.1";

constexpr Field<Reader> kHttp[] = {
    {"http1MaxPendingRequests", read_limit<&HttpPool::max_pending>},
    {"http2MaxRequests", read_limit<&HttpPool::max_requests>},
    {"maxRequestsPerConnection", read_limit<&HttpPool::max_requests_per_connection>},
    {"maxRetries", read_limit<&HttpPool::max_retries>},
    {"idleTimeout",
     [](const Value& value, Reader& reader) {
         reader.http_idle = value.duration();
         needs_lane(value, reader);
     }},
    {"h2UpgradePolicy",
     [](const Value& value, Reader& reader) {
         static constexpr std::array<std::string_view, 3> kNames{"DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"};
         if (value.one_of(kNames) == 2u) {
             reader.out.http.h2_upgrade = true;
             needs_lane(value, reader);
             value.warning("is accepted, but HTTP/1.1 is spoken to endpoints: HTTP/2 comes with a later release");
         }
     }},
    {"useClientProtocol", nullptr, kHttp2Advice},
    {"maxConcurrentStreams", nullptr, kHttp2Advice},
    {"http2KeepAlive", nullptr, kHttp2Advice},
};

constexpr Field<Reader> kConnectionPool[] = {
    {"tcp", [](const Value& value, Reader& reader) { read_fields(value, kTcp, reader); }},
    {"http", [](const Value& value, Reader& reader) { read_fields(value, kHttp, reader); }},
};

}  // namespace

void read_connection_pool(const Value& value, std::optional<ConnectionPool>& out) {
    Reader reader{out.emplace(), {}, {}};
    reader.out.place = value.key_place();
    if (read_fields(value, kConnectionPool, reader) && !value.has("tcp") && !value.has("http")) {
        value.wrong("a connectionPool has tcp or http");
    }
    // HTTP connections that http.idleTimeout says nothing of are TCP connections.
    const auto idle = reader.http_idle ? reader.http_idle : reader.tcp_idle;
    reader.out.http.idle_timeout = idle.value_or(reader.out.http.idle_timeout);
}

}  // namespace sluice::config
