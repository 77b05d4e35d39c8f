/* Every outcome, refusal, fallback and drop has a name, given once here.
 *
 * SL_REASONS(X): X(ENUM_SUFFIX, number, "metric_label", "Envoy response flag or -", "sentence for people").
 * Numbers are part of the ABI: never renumber; a retired number stays reserved.
 */
#ifndef SLUICE_ABI_REASONS_H
#define SLUICE_ABI_REASONS_H

#define SL_REASONS(X)                                                                                              \
    X(NONE, 0, "none", "-", "no outcome yet")                                                                      \
    X(ESTABLISHED, 1, "established", "-", "the connection was established")                                        \
    X(REFUSED, 2, "refused", "UF", "the endpoint answered with a reset")                                           \
    X(TIMED_OUT, 3, "timed_out", "UF", "the endpoint did not answer in time")                                      \
    X(UNREACHABLE, 4, "unreachable", "UF", "the network reported the endpoint unreachable")                        \
    X(CANCELLED, 5, "cancelled", "DC", "the application gave up while connecting; not the endpoint's failure")     \
    X(LOCAL_ERROR, 6, "local_error", "LR", "the connection never reached TCP (no route, no port, a local filter)") \
    X(NO_HEALTHY_UPSTREAM, 7, "no_healthy_upstream", "UH", "no healthy endpoint in the chosen subset")             \
    X(OVERFLOW, 8, "overflow", "UO", "connectionPool.tcp.maxConnections reached")                                  \
    X(NO_CLUSTER, 9, "no_cluster", "NC", "the rule names a host or subset that does not exist")                    \
    X(FAMILY_MISMATCH, 10, "family_mismatch", "UH", "no endpoint of an address family that the socket can reach")  \
    X(STORAGE_FULL, 11, "storage_full", "-", "no socket storage: steered, but not accounted")                      \
    X(FLOWS_FULL, 12, "flows_full", "-", "flow table full: counted under the overflow row")                        \
    X(LIMITS_FULL, 13, "limits_full", "-", "limit table full: admitted without counting against the limit")        \
    X(EVENTS_LOST, 14, "events_lost", "-", "event ring full: the event was counted, not reported")                 \
    X(TABLE_CORRUPT, 15, "table_corrupt", "-", "a row index out of bounds: the connection was left untouched")     \
    X(NO_GENERATION, 16, "no_generation", "-", "no slot at or below the generation read: decision restarted")      \
    X(MPTCP_UNACCOUNTED, 17, "mptcp_unaccounted", "-", "an MPTCP socket: steered, but not accounted")

enum sl_reason {
#define SL_REASON_ENUM(name, number, label, flag, text) SL_REASON_##name = number,
    SL_REASONS(SL_REASON_ENUM)
#undef SL_REASON_ENUM
        SL_REASON_COUNT = 18,
};

#endif
