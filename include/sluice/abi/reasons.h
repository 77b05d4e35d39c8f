/* Every outcome, refusal, fallback and drop has a name, given once here.
 *
 * SL_REASONS(X): X(ENUM_SUFFIX, number, "metric_label", "Envoy response flag or -", "sentence for people").
 * Numbers are part of the ABI: never renumber; a retired number stays reserved.
 */
#ifndef SLUICE_ABI_REASONS_H
#define SLUICE_ABI_REASONS_H

#define SL_REASONS(X)                                                                                                  \
    X(NONE, 0, "none", "-", "no outcome yet")                                                                          \
    X(ESTABLISHED, 1, "established", "-", "the connection was established")                                            \
    X(REFUSED, 2, "refused", "UF", "the endpoint answered with a reset")                                               \
    X(TIMED_OUT, 3, "timed_out", "UF", "the endpoint did not answer in time")                                          \
    X(UNREACHABLE, 4, "unreachable", "UF", "the network reported the endpoint unreachable")                            \
    X(CANCELLED, 5, "cancelled", "DC", "the application gave up while connecting; not the endpoint's failure")         \
    X(LOCAL_ERROR, 6, "local_error", "LR", "the connection never reached TCP (no route, no port, a local filter)")     \
    X(NO_HEALTHY_UPSTREAM, 7, "no_healthy_upstream", "UH", "no healthy endpoint in the chosen subset")                 \
    X(OVERFLOW, 8, "overflow", "UO", "connectionPool.tcp.maxConnections reached")                                      \
    X(NO_CLUSTER, 9, "no_cluster", "NC", "the rule names a host or subset that does not exist")                        \
    X(FAMILY_MISMATCH, 10, "family_mismatch", "UH", "no endpoint of an address family that the socket can reach")      \
    X(STORAGE_FULL, 11, "storage_full", "-", "no socket storage: steered, but not accounted")                          \
    X(FLOWS_FULL, 12, "flows_full", "-", "flow table full: counted under the overflow row")                            \
    X(LIMITS_FULL, 13, "limits_full", "-", "limit table full: admitted without counting against the limit")            \
    X(EVENTS_LOST, 14, "events_lost", "-", "event ring full: the event was counted, not reported")                     \
    X(TABLE_CORRUPT, 15, "table_corrupt", "-", "a row index out of bounds: the connection was left untouched")         \
    X(NO_GENERATION, 16, "no_generation", "-", "no slot at or below the generation read: decision restarted")          \
    X(MPTCP_UNACCOUNTED, 17, "mptcp_unaccounted", "-", "an MPTCP socket: steered, but not accounted")                  \
    X(UNOBSERVED_HTTP2, 18, "http2", "-", "unobserved: the client speaks HTTP/2")                                      \
    X(UNOBSERVED_TLS, 19, "tls", "-", "unobserved: the client speaks TLS")                                             \
    X(UNOBSERVED_NOT_HTTP, 20, "not_http", "-", "unobserved: the first bytes are no HTTP/1 message")                   \
    X(UNOBSERVED_PIPELINED, 21, "pipelined", "-", "unobserved: a request began before the last answer ended")          \
    X(UNOBSERVED_UPGRADED, 22, "upgraded", "-", "unobserved: switched to another protocol (101, CONNECT)")             \
    X(UNOBSERVED_GAP, 23, "gap", "-", "unobserved: bytes of a head or a chunk size passed out of order")               \
    X(UNOBSERVED_HEAD_TOO_LARGE, 24, "head_too_large", "-", "unobserved: a head longer than the scanner follows")      \
    X(UNOBSERVED_MALFORMED, 25, "malformed", "-", "unobserved: a head or framing that the scanner is not sure of")     \
    X(UNOBSERVED_UNASKED, 26, "unasked", "-", "unobserved: an answer that nobody asked for")                           \
    X(UNOBSERVED_BUSY, 27, "busy", "-", "unobserved: one segment took too many steps, or met another CPU")             \
    X(UNOBSERVED_NO_STORAGE, 28, "no_storage", "-", "unobserved: no socket storage for the scanner")                   \
    X(UPSTREAM_CLOSED, 29, "upstream_closed", "UC", "the endpoint ended the connection before its answer was whole")   \
    X(DOWNSTREAM_CLOSED, 30, "downstream_closed", "DC", "the client ended the connection before the answer was whole") \
    X(REQUESTS_FULL, 31, "requests_full", "-", "request table full: counted under the overflow row")                   \
    X(SAMPLES_LOST, 32, "samples_lost", "-", "sample ring full: the request was counted, not shown")                   \
    X(DRAINED, 33, "drained", "LR", "ended by sluice.dev/drain before the answer was whole")                           \
    X(GATED, 34, "gated", "-", "a segment held back: its connection is about to be drained")                           \
    X(CAPTURED, 35, "captured", "-", "handed to the proxy in the client's network namespace")                          \
    X(CAPTURE_FALLBACK, 36, "capture_fallback", "-",                                                                   \
      "no proxy in the client's namespace: placed by the weights alone")                                               \
    X(CAPTURE_REFUSED, 37, "capture_refused", "LR",                                                                    \
      "no proxy in the client's namespace, and no way around it allowed")                                              \
    X(CAPTURES_FULL, 38, "captures_full", "-", "capture table full: the proxy will not know the connection and ends it")

enum sl_reason {
#define SL_REASON_ENUM(name, number, label, flag, text) SL_REASON_##name = number,
    SL_REASONS(SL_REASON_ENUM)
#undef SL_REASON_ENUM
        SL_REASON_COUNT = 39,
};

/* Why a connection of an HTTP port is not watched, or no longer. */
#define SL_REASON_IS_UNOBSERVED(reason) \
    ((reason) >= SL_REASON_UNOBSERVED_HTTP2 && (reason) <= SL_REASON_UNOBSERVED_NO_STORAGE)

#endif
