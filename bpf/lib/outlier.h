/* Ejection of endpoints that fail: Envoy's outlier detection (source/common/upstream/outlier_detection_impl.cc) on
 * words that programs and the agent share. Ejection and return need no agent: `ejected_until` is already rounded up to
 * the interval tick at which Envoy would return the host, and the back-off that Envoy counts down once a tick is
 * computed from `last_return` when it is needed.
 *
 * Threads: any number at once; every word by atomics. clusters[].ejected is raised before an endpoint goes out and
 * lowered after it came back, so that it is never below the truth.
 */
#ifndef SLUICE_BPF_LIB_OUTLIER_H
#define SLUICE_BPF_LIB_OUTLIER_H

#include "sluice/abi/conn.h"
#include "tables.h"

enum sl_failure {
    SL_FAILURE_CONNECT = 1, /* refused, reset or unreachable, or reset before the answer was whole; counts as 503 */
    SL_FAILURE_TIMEOUT = 2, /* counts as 504 */
};

/* How often an ejection tries to raise clusters[].ejected against others that change it at the same moment. */
#define SL_EJECT_TRIES 8

/* 1: a decision must not use it now. */
static __always_inline int sl_outlier_is_out(struct sl_health* health, __u64 now_ns) {
    const __u64 until = sl_load(&health->ejected_until);
    return until != 0 && now_ns < until;
}

/* The policy of a cluster in force; 0 when it is gone. */
static __always_inline struct sl_cluster_row* sl_outlier_policy(const struct sl_tables* t, struct sl_cluster* cluster) {
    __u32 row = SL_NONE;
    if (!sl_slot_row(cluster->slot, sl_load(&t->control->generation), &row)) {
        return 0;
    }
    return sl_cluster_row_at(t, row);
}

/* Multiplier of baseEjectionTime that is left at `now_ns`: Envoy lowers it once every interval after the return. */
static __always_inline __u32 sl_outlier_backoff(const struct sl_cluster_row* policy, struct sl_health* health,
                                                __u64 now_ns) {
    const __u32 backoff = sl_load(&health->backoff);
    const __u64 last_return = sl_load(&health->last_return);
    if (last_return == 0 || now_ns <= last_return || policy->interval_ns == 0) {
        return backoff;
    }
    const __u64 ticks = (now_ns - last_return) / policy->interval_ns;
    return ticks >= backoff ? 0 : backoff - (__u32)ticks;
}

/* The first tick (started_ns + k * interval) at or after `time_ns`; never 0. */
static __always_inline __u64 sl_outlier_tick_after(const struct sl_tables* t, const struct sl_cluster_row* policy,
                                                   __u64 time_ns) {
    const __u64 started = sl_load(&t->control->started_ns);
    if (policy->interval_ns != 0 && time_ns > started) {
        const __u64 past = (time_ns - started) % policy->interval_ns;
        if (past != 0) {
            time_ns += policy->interval_ns - past;
        }
    }
    return time_ns == 0 ? 1 : time_ns;
}

/* Takes one place among the ejected of a cluster; 0: maxEjectionPercent forbids it. Strict also for the first. */
static __always_inline int sl_outlier_take_place(struct sl_cluster* cluster, const struct sl_cluster_row* policy) {
    for (int i = 0; i < SL_EJECT_TRIES; ++i) {
        const __u32 ejected = sl_load(&cluster->ejected);
        if (100ull * ((__u64)ejected + 1) > (__u64)policy->max_ejection_percent * policy->endpoint_count) {
            return 0;
        }
        if (sl_cas(&cluster->ejected, ejected, ejected + 1) == ejected) {
            return 1;
        }
    }
    return 0;
}

/* A threshold was reached. 1: ejected by this call, and *event filled. Resets only the triggering counter. */
static __always_inline int sl_outlier_eject(const struct sl_tables* t, const struct sl_cluster_row* policy,
                                            struct sl_cluster* cluster, struct sl_health* health, __u32* counter,
                                            __u32 reason, __u64 now_ns, struct sl_event* event) {
    if (sl_load(&health->ejected_until) != 0) {
        return 0;
    }
    if (!sl_outlier_take_place(cluster, policy)) {
        sl_add(&cluster->ejections_overflow, 1);
        sl_store(counter, 0);
        return 0;
    }
    __u32 backoff = sl_outlier_backoff(policy, health, now_ns);
    if ((__u64)backoff * policy->base_ejection_ns < policy->max_ejection_ns + policy->base_ejection_ns) {
        ++backoff;
    }
    __u64 duration = (__u64)backoff * policy->base_ejection_ns;
    if (duration > policy->max_ejection_ns) {
        duration = policy->max_ejection_ns;
    }
    const __u64 until = sl_outlier_tick_after(t, policy, now_ns + duration);
    if (sl_cas(&health->ejected_until, 0, until) != 0) {
        sl_sub(&cluster->ejected, 1);
        return 0;
    }
    sl_store(&health->backoff, backoff);
    sl_store(&health->ejected_reason, reason);
    sl_store(counter, 0);
    sl_add(&health->times_ejected, 1);
    sl_add(&cluster->ejections_total, 1);
    event->time_ns = now_ns;
    event->kind = SL_EVENT_EJECTED;
    event->reason = reason;
    event->until_ns = until;
    return 1;
}

/* Brings an endpoint back whose time has passed. Returns the time until which it was out, to exactly one caller; else
 * 0. */
static __always_inline __u64 sl_outlier_bring_back(const struct sl_tables* t, __u32 cluster, __u32 endpoint,
                                                   __u64 now_ns) {
    struct sl_health* health = sl_health_at(t, endpoint);
    struct sl_cluster* record = sl_cluster_at(t, cluster);
    if (!health || !record) {
        return 0;
    }
    const __u64 until = sl_load(&health->ejected_until);
    if (until == 0 || now_ns < until || sl_cas(&health->ejected_until, until, 0) != until) {
        return 0;
    }
    sl_store(&health->last_return, until);
    sl_store(&health->consecutive_5xx, 0);
    sl_store(&health->consecutive_gateway, 0);
    sl_store(&health->consecutive_local, 0);
    sl_sub(&record->ejected, 1);
    return until;
}

/* The same for the agent's sweep. 1: returned by this call, and *event filled. */
static __always_inline int sl_outlier_return(const struct sl_tables* t, __u32 cluster, __u32 endpoint, __u64 now_ns,
                                             struct sl_event* event) {
    const __u64 until = sl_outlier_bring_back(t, cluster, endpoint, now_ns);
    if (until == 0) {
        return 0;
    }
    event->time_ns = now_ns;
    event->kind = SL_EVENT_RETURNED;
    event->cluster = cluster;
    event->endpoint = endpoint;
    event->reason = SL_EJECTION_NONE;
    event->until_ns = until;
    return 1;
}

/* The policy that counts failures of this endpoint; 0: nobody counts. One that left the list is no member any more:
 * Envoy forgets it, it is neither counted nor ejected. */
static __always_inline struct sl_cluster_row* sl_outlier_member(const struct sl_tables* t, struct sl_cluster* record,
                                                                __u32 cluster, __u32 endpoint) {
    struct sl_endpoint* slot = sl_endpoint_at(t, endpoint);
    struct sl_cluster_row* policy = sl_outlier_policy(t, record);
    if (!slot || !policy || !(policy->flags & SL_CLUSTER_OUTLIER) || sl_load(&slot->cluster) != cluster ||
        !(sl_load(&slot->flags) & SL_ENDPOINT_LISTED)) {
        return 0;
    }
    return policy;
}

/* One 5xx, or what counts as one. `gateway`: 502, 503 or 504. 1: ejected. */
static __always_inline int sl_outlier_5xx(const struct sl_tables* t, const struct sl_cluster_row* policy,
                                          struct sl_cluster* record, struct sl_health* health, int gateway,
                                          __u64 now_ns, struct sl_event* event) {
    int ejected = 0;
    if (!gateway) {
        if (sl_load(&health->consecutive_gateway) != 0) {
            sl_store(&health->consecutive_gateway, 0);
        }
    } else if (sl_add(&health->consecutive_gateway, 1) + 1 == policy->consecutive_gateway) {
        ejected = sl_outlier_eject(t, policy, record, health, &health->consecutive_gateway, SL_EJECTION_GATEWAY, now_ns,
                                   event);
    }
    if (sl_add(&health->consecutive_5xx, 1) + 1 == policy->consecutive_5xx) {
        ejected |=
            sl_outlier_eject(t, policy, record, health, &health->consecutive_5xx, SL_EJECTION_5XX, now_ns, event);
    }
    return ejected;
}

/* One failed connection, or one that the endpoint ended before its answer was whole (SL_FAILURE_CONNECT: Envoy takes a
 * reset for a failed connect). 1: this call ejected the endpoint, and *event is filled (else it is untouched). */
static __always_inline int sl_outlier_failure(const struct sl_tables* t, __u32 cluster, __u32 endpoint, __u32 failure,
                                              __u64 now_ns, struct sl_event* event) {
    struct sl_health* health = sl_health_at(t, endpoint);
    struct sl_cluster* record = sl_cluster_at(t, cluster);
    if (!health || !record || (failure != SL_FAILURE_CONNECT && failure != SL_FAILURE_TIMEOUT)) {
        return 0;
    }
    sl_add(&health->failures_total, 1);
    struct sl_cluster_row* policy = sl_outlier_member(t, record, cluster, endpoint);
    if (!policy) {
        return 0;
    }
    int ejected = 0;
    if (policy->flags & SL_CLUSTER_OUTLIER_SPLIT) {
        if (sl_add(&health->consecutive_local, 1) + 1 == policy->consecutive_local) {
            ejected = sl_outlier_eject(t, policy, record, health, &health->consecutive_local, SL_EJECTION_LOCAL_ORIGIN,
                                       now_ns, event);
        }
    } else { /* 503 and 504 are gateway errors and 5xx alike */
        ejected = sl_outlier_5xx(t, policy, record, health, 1, now_ns, event);
    }
    if (ejected) {
        event->cluster = cluster;
        event->endpoint = endpoint;
    }
    return ejected;
}

/* A connection that carries HTTP was established: of the endpoint's answers that says nothing yet (Envoy's
 * LocalOriginConnectSuccess), so only failures to connect that are counted apart (split) end here. */
static __always_inline void sl_outlier_connected(const struct sl_tables* t, __u32 endpoint) {
    struct sl_health* health = sl_health_at(t, endpoint);
    if (health && sl_load(&health->consecutive_local) != 0) {
        sl_store(&health->consecutive_local, 0);
    }
}

/* One final status that was observed (Envoy counts at the head, not at the end of the body). Whatever is no 5xx ends
 * the run of failures, 4xx too. 1: this call ejected the endpoint, and *event is filled (else it is untouched). While
 * all is well it reads one line and writes nothing. */
static __always_inline int sl_outlier_answer(const struct sl_tables* t, __u32 cluster, __u32 endpoint, __u32 status,
                                             __u64 now_ns, struct sl_event* event) {
    struct sl_health* health = sl_health_at(t, endpoint);
    if (!health) {
        return 0;
    }
    /* Whoever answers was reached: Envoy says so at each request that finds a connection. */
    if (sl_load(&health->consecutive_local) != 0) {
        sl_store(&health->consecutive_local, 0);
    }
    if (status < 500 || status > 599) {
        if (sl_load(&health->consecutive_5xx) != 0) {
            sl_store(&health->consecutive_5xx, 0);
        }
        if (sl_load(&health->consecutive_gateway) != 0) {
            sl_store(&health->consecutive_gateway, 0);
        }
        return 0;
    }
    sl_add(&health->failures_total, 1);
    struct sl_cluster* record = sl_cluster_at(t, cluster);
    struct sl_cluster_row* policy = record ? sl_outlier_member(t, record, cluster, endpoint) : 0;
    if (!policy || !sl_outlier_5xx(t, policy, record, health, status >= 502 && status <= 504, now_ns, event)) {
        return 0;
    }
    event->cluster = cluster;
    event->endpoint = endpoint;
    return 1;
}

/* One established connection: for TCP the final result, so it ends every run of failures that it can speak for. */
static __always_inline void sl_outlier_success(const struct sl_tables* t, __u32 cluster, __u32 endpoint) {
    struct sl_health* health = sl_health_at(t, endpoint);
    struct sl_cluster* record = sl_cluster_at(t, cluster);
    if (!health || !record) {
        return;
    }
    /* Written only when they change: the line stays shared while all is well. */
    if (sl_load(&health->consecutive_local) != 0) {
        sl_store(&health->consecutive_local, 0);
    }
    if (sl_load(&health->consecutive_5xx) == 0 && sl_load(&health->consecutive_gateway) == 0) {
        return;
    }
    struct sl_cluster_row* policy = sl_outlier_policy(t, record);
    if (policy && (policy->flags & SL_CLUSTER_OUTLIER_SPLIT)) {
        return; /* external counters hear of answers only */
    }
    sl_store(&health->consecutive_5xx, 0);
    sl_store(&health->consecutive_gateway, 0);
}

#endif
