/* From what is dialled to where it goes: who asks, what for, the decision, and what is kept of it. */
#ifndef SLUICE_BPF_PROGS_STEER_H
#define SLUICE_BPF_PROGS_STEER_H

#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "account.h"
#include "capture.h"
#include "decision.h"
#include "lib/decide.h"
#include "lib/hash.h"
#include "maps/accounting.h"
#include "maps/conns.h"
#include "maps/index.h"
#include "maps/tables.h"

/* How deep below the root of the cgroup tree clients are looked for. */
#define SL_CGROUP_LEVELS 16

#define SL_AF_INET6 10

/* The client whose cgroup is nearest above the caller's: workload in the upper half, scope in the lower; 0: unknown.
 * *cgroup: its id. */
SL_FUNCTION __u64 sl_who_asks(__u64* cgroup) {
    const struct sl_control* c = SL_TABLE_VALUE(control);
    if (!c || !cgroup || !sl_load(&c->client_count)) {
        return 0;
    }
    for (int level = SL_CGROUP_LEVELS - 1; level >= 0; --level) {
        const __u64 id = bpf_get_current_ancestor_cgroup_id(level);
        if (!id) {
            continue; /* deeper than the caller's cgroup is */
        }
        const struct sl_client* client = bpf_map_lookup_elem(&clients, &id);
        if (client) {
            *cgroup = id;
            return (__u64)client->workload << 32 | client->scope;
        }
    }
    return 0;
}

/* The record of what is dialled (`key`): the caller's scope first, then what all see. */
static __always_inline __u32* sl_what_is_dialled(struct sl_service_key* key, __u32 scope) {
    key->scope = scope;
    __u32* service = bpf_map_lookup_elem(&service_index, key);
    if (!service && scope) {
        key->scope = 0;
        service = bpf_map_lookup_elem(&service_index, key);
    }
    return service;
}

/* Ends what an earlier connect() on this socket left: only an attempt whose end nobody told is still open here. */
SL_FUNCTION int sl_conn_forget(struct sl_conn* conn, __u64 now_ns) {
    struct sl_tables t = {};
    if (conn && conn->generation && sl_tables_health(&t)) {
        sl_conn_release(&t, conn);
        const int started = conn->tcp_flags & SL_CONN_TCP_STARTED;
        sl_conn_failed(&t, conn, started ? SL_REASON_CANCELLED : SL_REASON_LOCAL_ERROR, now_ns);
        conn->generation = 0;
    }
    return 0;
}

/* Takes a place under maxConnections. SL_ADMITTED: sl_limit_give_back is owed. */
enum sl_admission { SL_TURNED_AWAY, SL_ADMITTED, SL_NOT_COUNTED };
static __always_inline enum sl_admission sl_limit_take(struct sl_limit_key* key, __u32 max) {
    struct sl_limit* entry = bpf_map_lookup_elem(&limits, key);
    if (!entry) {
        static const struct sl_limit fresh;
        bpf_map_update_elem(&limits, key, &fresh, BPF_NOEXIST);
        entry = bpf_map_lookup_elem(&limits, key);
        if (!entry) {
            sl_count(SL_REASON_LIMITS_FULL);
            return SL_NOT_COUNTED;
        }
    }
    return sl_admit(&entry->active, max) ? SL_ADMITTED : SL_TURNED_AWAY;
}

static __always_inline void sl_report_return(const struct sl_choice* choice, __u64 now_ns) {
    struct sl_event* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event) {
        sl_count(SL_REASON_EVENTS_LOST);
        return;
    }
    sl_returned_event(choice, now_ns, event);
    bpf_ringbuf_submit(event, 0);
}

SL_STATIC_ASSERT(SL_CONN_HTTP == SL_CLUSTER_HTTP && SL_CONN_ANSWERS == SL_CLUSTER_ANSWERS, "the same bits");

/* Writes the attempt into the storage and takes its `active` words. */
static __always_inline void sl_conn_begin(const struct sl_tables* t, struct sl_conn* conn, const struct sl_decision* d,
                                          const struct sl_choice* choice, const struct sl_cluster_row* policy,
                                          const struct sl_endpoint* endpoint, int limited) {
    conn->outcome = SL_REASON_NONE;
    conn->service = choice->service;
    conn->route = choice->route;
    conn->cluster = choice->cluster;
    conn->endpoint = choice->endpoint;
    conn->workload = d->workload;
    conn->destination_workload = endpoint->workload;
    conn->limited = limited;
    conn->limit_workload = (policy->flags & SL_CLUSTER_LIMIT_NODE) ? 0 : d->workload;
    conn->started_ns = d->ask.now_ns;
    conn->established_ns = 0;
    conn->tcp_flags = (conn->tcp_flags & SL_CONN_TCP_MAPPED) | (policy->flags & (SL_CONN_HTTP | SL_CONN_ANSWERS));
    conn->sent_bytes = 0;
    conn->received_bytes = 0;
    conn->closed = 0;
    conn->connect_timeout_ms = policy->connect_timeout_ms;
    conn->keepalive = (policy->flags & SL_CLUSTER_KEEPALIVE) ? 1 : 0;
    conn->keepalive_probes = policy->keepalive_probes;
    conn->keepalive_time_s = policy->keepalive_time_s;
    conn->keepalive_interval_s = policy->keepalive_interval_s;
    sl_hold(t, choice);
    conn->held = SL_CONN_HELD;
    conn->generation = choice->generation;
}

/* An endpoint for the chosen cluster, and the attempt begun in `conn` when there is one. */
static __always_inline __u32 sl_place(const struct sl_tables* t, struct sl_decision* d, struct sl_choice* choice,
                                      const struct sl_cluster_row* policy, struct sl_conn* conn, int limited) {
    const __u32 reason = sl_choose_endpoint(t, &d->ask, choice);
    if (reason != SL_REASON_NONE) {
        return reason;
    }
    const struct sl_endpoint* endpoint = sl_endpoint_at(t, choice->endpoint);
    if (!endpoint) {
        return SL_REASON_TABLE_CORRUPT;
    }
    __builtin_memcpy(d->endpoint, endpoint->address, sizeof(d->endpoint));
    d->port = endpoint->port;
    d->placed = 1;
    if (conn) {
        sl_conn_begin(t, conn, d, choice, policy, endpoint, limited);
    }
    if (choice->returned_ns) {
        sl_report_return(choice, d->ask.now_ns);
    }
    return SL_REASON_NONE;
}

/* Decides, and takes what the connection holds if there is storage (`conn`) to remember it. Returns enum sl_reason;
 * nothing is held then unless it is SL_REASON_NONE. What the proxy lane carries is only decided once d->alone says so.
 */
SL_FUNCTION int sl_decide(struct sl_decision* d, struct sl_conn* conn) {
    struct sl_tables t;
    if (!d || !sl_tables_all(&t)) {
        return SL_REASON_TABLE_CORRUPT;
    }
    struct sl_choice choice;
    __u32 reason = sl_choose_cluster(&t, d->service, &d->ask, &choice);
    d->cluster = choice.cluster;
    /* What the verifier learns of the number here would make it walk all that follows twice. */
    __u64 row = choice.route;
    asm volatile("%0 += 0" : "+r"(row));
    const struct sl_route* route = sl_route_at(&t, row);
    if (route && (route->flags & SL_ROUTE_PROXY) && !d->alone) {
        d->proxied = route->flags;
        if (conn) {
            conn->generation = choice.generation; /* the caller clears it, or captures */
        }
        return SL_REASON_NONE;
    }
    if (reason != SL_REASON_NONE || choice.route == SL_NONE) {
        return reason;
    }
    const struct sl_cluster_row* policy = sl_cluster_row_at(&t, choice.cluster_row);
    if (!policy) {
        return SL_REASON_TABLE_CORRUPT;
    }
    enum sl_admission admission = SL_NOT_COUNTED;
    const __u32 limit_workload = (policy->flags & SL_CLUSTER_LIMIT_NODE) ? 0 : d->workload;
    if (policy->max_connections != SL_UNLIMITED) {
        struct sl_limit_key key = {.workload = limit_workload, .cluster = choice.cluster};
        admission = sl_limit_take(&key, policy->max_connections);
        if (admission == SL_TURNED_AWAY) {
            return SL_REASON_OVERFLOW;
        }
    }
    reason = sl_place(&t, d, &choice, policy, conn, admission == SL_ADMITTED);
    if (admission == SL_ADMITTED && (reason != SL_REASON_NONE || !conn)) {
        sl_limit_give_back(limit_workload, choice.cluster);
    }
    return reason;
}

/* Half an address, from its two words in network byte order, as sl_hash_words takes it. */
static __always_inline __u64 sl_word(__u32 first, __u32 second) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (__u64)second << 32 | first;
#else
    return (__u64)__builtin_bswap32(second) << 32 | __builtin_bswap32(first);
#endif
}

/* The key of consistentHash.useSourceIp is the address that the socket is bound to. */
static __always_inline void sl_bound_to(struct sl_decision* d, __u64 high, __u64 low) {
    d->ask.has_key = 1;
    d->ask.key = sl_hash_words(high, low);
}

/* A service of the proxy lane: to the agent; without one, by the weights of its fallback, or not at all. */
static __always_inline int sl_to_proxy(struct bpf_sock_addr* ctx, struct sl_decision* d, struct sl_conn* conn) {
    if (conn && sl_find_door(ctx, d)) {
        sl_conn_capture(conn, d);
        sl_count(SL_REASON_CAPTURED);
        d->placed = 1;
        return SL_REASON_NONE;
    }
    if (conn) {
        conn->generation = 0;
    }
    sl_report_unheard(ctx, d->ask.now_ns);
    if (d->proxied & SL_ROUTE_NO_FALLBACK) {
        d->cluster = SL_NONE;
        return SL_REASON_CAPTURE_REFUSED;
    }
    sl_count(SL_REASON_CAPTURE_FALLBACK);
    d->alone = 1;
    return sl_decide(d, conn);
}

/* The body of both connect programs. d->dialled and d->ask.reach are given; d->ask.key if the socket is bound. Else
 * client workload and network namespace stand for it in consistentHash, as the kernel would choose the same source
 * address for the same peer. SL_STEER: d->endpoint and d->port are where it goes. */
static __always_inline enum sl_verdict sl_steer(struct bpf_sock_addr* ctx, struct sl_decision* d) {
    const __u64 client = sl_who_asks(&d->client);
    const __u32* service = sl_what_is_dialled(&d->dialled, (__u32)client);
    const int tcp = ctx->protocol == IPPROTO_TCP;
    struct sl_conn* conn = 0;
    if (tcp) {
        conn = bpf_sk_storage_get(&conns, ctx->sk, 0, service ? BPF_SK_STORAGE_GET_F_CREATE : 0);
    }
    if (conn && conn->generation) {
        sl_conn_forget(conn, bpf_ktime_get_ns());
    }
    if (!service || (conn && (conn->tcp_flags & SL_CONN_AGENT))) {
        return SL_LEAVE;
    }
    if (conn) {
        __builtin_memcpy(conn->dialled_address, d->dialled.address, sizeof(conn->dialled_address));
        conn->dialled_port = d->dialled.port;
        if (conn->tcp_flags & SL_CONN_TCP_MAPPED) {
            d->ask.reach &= SL_REACH_V4;
        }
    }
    d->workload = client >> 32;
    d->service = *service;
    if (!d->ask.has_key) {
        sl_bound_to(d, d->workload, bpf_get_netns_cookie(ctx));
    }
    d->ask.now_ns = bpf_ktime_get_ns();
    d->ask.random.state = ((__u64)bpf_get_prandom_u32() << 32) | bpf_get_prandom_u32();
    int reason = sl_decide(d, conn);
    if (reason == SL_REASON_NONE && !d->placed && !d->proxied && d->dialled.scope) {
        /* The scope's own record is not in force yet, or no longer: what all see is. */
        d->dialled.scope = 0;
        service = bpf_map_lookup_elem(&service_index, &d->dialled);
        if (!service) {
            return SL_LEAVE;
        }
        d->service = *service;
        reason = sl_decide(d, conn);
    }
    if (reason == SL_REASON_NO_GENERATION) {
        sl_count(reason);
        reason = sl_decide(d, conn); /* with the generation in force by now */
    }
    if (d->proxied) {
        reason = sl_to_proxy(ctx, d, conn);
    }
    if (reason == SL_REASON_TABLE_CORRUPT || reason == SL_REASON_NO_GENERATION) {
        sl_count(reason);
        return SL_LEAVE;
    }
    if (reason != SL_REASON_NONE) {
        sl_count_refusal(d->workload, d->cluster, reason);
        return SL_REFUSE;
    }
    if (!d->placed) {
        return SL_LEAVE;
    }
    if (conn) {
        if (ctx->family == SL_AF_INET6 && !d->endpoint[0] && !d->endpoint[1] && d->endpoint[2] == SL_MAPPED) {
            conn->tcp_flags |= SL_CONN_TCP_MAPPED;
        }
    } else {
        sl_count(tcp ? SL_REASON_STORAGE_FULL : SL_REASON_MPTCP_UNACCOUNTED);
    }
    return SL_STEER;
}

#endif
