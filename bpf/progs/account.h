/* The life of a steered connection: held -> one outcome -> released, and what is counted on the way.
 *
 * connect takes the `active` words (held); the first of sock_release, state CLOSE and a new connect on the socket gives
 * them back (sl_conn_release, by exchange). The outcome is set once, by compare-and-swap, so that programs on two CPUs
 * cannot both count it. In flows an outcome counts as `opened`; `closed` follows at the end of an established
 * connection, at once for every other outcome.
 */
#ifndef SLUICE_BPF_PROGS_ACCOUNT_H
#define SLUICE_BPF_PROGS_ACCOUNT_H

#include "lib/decide.h"
#include "lib/outlier.h"
#include "maps/accounting.h"
#include "maps/conns.h"
#include "sluice/abi/conn.h"

#define SL_ERR_CONNABORTED 103
#define SL_ERR_TIMEDOUT 110
#define SL_ERR_CONNREFUSED 111

static __always_inline void sl_emit(const struct sl_event* event) {
    if (bpf_ringbuf_output(&events, (void*)event, sizeof(*event), 0)) {
        sl_count(SL_REASON_EVENTS_LOST);
    }
}

/* The row of these counters; the overflow row when there is no room. 0 only when even that is missing. */
static __always_inline struct sl_flow* sl_flow_row(struct sl_flow_key* key) {
    struct sl_flow* flow = bpf_map_lookup_elem(&flows, key);
    if (flow) {
        return flow;
    }
    static const struct sl_flow fresh;
    bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST);
    flow = bpf_map_lookup_elem(&flows, key);
    if (flow) {
        return flow;
    }
    sl_count(SL_REASON_FLOWS_FULL);
    struct sl_flow_key overflow = SL_FLOW_KEY_OVERFLOW;
    return bpf_map_lookup_elem(&flows, &overflow);
}

static __always_inline struct sl_flow* sl_conn_flow(const struct sl_conn* conn, __u32 reason) {
    struct sl_flow_key key = {
        .workload = conn->workload,
        .cluster = conn->cluster,
        .destination_workload = conn->destination_workload,
        .reason = reason,
    };
    return sl_flow_row(&key);
}

/* A connection that ended before it had an endpoint. `cluster` may be SL_NONE. */
SL_FUNCTION int sl_count_refusal(__u32 workload, __u32 cluster, __u32 reason) {
    struct sl_flow_key key = {.workload = workload, .cluster = cluster, .reason = reason};
    sl_count(reason);
    struct sl_flow* flow = sl_flow_row(&key);
    if (flow) {
        sl_add(&flow->opened, 1);
        sl_add(&flow->closed, 1);
    }
    return 0;
}

static __always_inline void sl_limit_give_back(__u32 workload, __u32 cluster) {
    struct sl_limit_key key = {.workload = workload, .cluster = cluster};
    struct sl_limit* limit = bpf_map_lookup_elem(&limits, &key);
    if (limit) {
        sl_sub(&limit->active, 1);
    }
}

static __always_inline void sl_conn_release(const struct sl_tables* t, struct sl_conn* conn) {
    if (!sl_load(&conn->held) || !sl_xchg(&conn->held, 0)) {
        return;
    }
    sl_release(t, conn->route, conn->cluster, conn->endpoint);
    if (conn->limited) {
        sl_limit_give_back(conn->limit_workload, conn->cluster);
    }
}

/* Sets and counts the outcome of a connect that failed. Only the first caller does. */
static __always_inline void sl_conn_failed(const struct sl_tables* t, struct sl_conn* conn, __u32 reason,
                                           __u64 now_ns) {
    if (sl_cas(&conn->outcome, SL_REASON_NONE, reason) != SL_REASON_NONE) {
        return;
    }
    sl_count(reason);
    struct sl_flow* flow = sl_conn_flow(conn, reason);
    if (flow) {
        sl_add(&flow->opened, 1);
        sl_add(&flow->closed, 1);
        sl_add(&flow->duration_ns, now_ns - conn->started_ns);
    }
    __u32 failure = 0;
    if (reason == SL_REASON_REFUSED || reason == SL_REASON_UNREACHABLE) {
        failure = SL_FAILURE_CONNECT;
    } else if (reason == SL_REASON_TIMED_OUT) {
        failure = SL_FAILURE_TIMEOUT;
    }
    struct sl_event event = {};
    if (failure && sl_outlier_failure(t, conn->cluster, conn->endpoint, failure, now_ns, &event)) {
        sl_emit(&event);
    }
}

/* Why a connect that TCP began came to nothing, from the socket's error word. */
static __always_inline __u32 sl_failure_reason(__u32 sk_err) {
    switch (sk_err) {
        case 0:
        case SL_ERR_CONNABORTED: /* an operator destroyed the socket */
        case 104:                /* ECONNRESET: disconnected by the application */
            return SL_REASON_CANCELLED;
        case SL_ERR_CONNREFUSED:
            return SL_REASON_REFUSED;
        case SL_ERR_TIMEDOUT:
            return SL_REASON_TIMED_OUT;
        default:
            return SL_REASON_UNREACHABLE;
    }
}

#endif
