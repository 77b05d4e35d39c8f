/* Connections for the proxy lane: is the agent in the caller's network namespace, and what is kept of one that goes to
 * it.
 */
#ifndef SLUICE_BPF_PROGS_CAPTURE_H
#define SLUICE_BPF_PROGS_CAPTURE_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "account.h"
#include "decision.h"
#include "maps/captures.h"
#include "maps/conns.h"
#include "maps/tables.h"

#define SL_LOOPBACK 0x7f000001u
/* Least time between two SL_EVENT_NO_LISTENER. */
#define SL_UNHEARD_NS 10000000ull

/* Notes in `conn` what sockops will tell the agent. Outcome and `held` say that nothing is counted or held for it. */
static __always_inline void sl_conn_capture(struct sl_conn* conn, const struct sl_decision* d) {
    conn->held = 0;
    conn->outcome = SL_REASON_CAPTURED;
    conn->service = d->service;
    conn->route = SL_NONE;
    conn->cluster = SL_NONE;
    conn->endpoint = SL_NONE;
    conn->workload = d->workload;
    conn->destination_workload = 0;
    conn->limited = 0;
    conn->started_ns = d->ask.now_ns;
    conn->established_ns = 0;
    conn->tcp_flags &= SL_CONN_TCP_MAPPED;
    conn->client = d->client;
    conn->received_bytes = 0;
    conn->connect_timeout_ms = 0;
    conn->keepalive = 0;
    conn->closed = 1;
}

/* Finds the agent in the caller's network namespace: 1, with where it listens in d->endpoint and d->port. IPv4 is taken
 * where the socket reaches it. */
SL_FUNCTION int sl_find_door(struct bpf_sock_addr* ctx, struct sl_decision* d) {
    if (!d) {
        return 0;
    }
    const __u64 netns = bpf_get_netns_cookie(ctx);
    const struct sl_door* door = bpf_map_lookup_elem(&doors, &netns);
    if (!door) {
        return 0;
    }
    struct bpf_sock_tuple to = {};
    struct bpf_sock* listener = 0;
    __be16 port = 0;
    const int v4 = (d->ask.reach & SL_REACH_V4) && door->port_v4;
    if (v4) {
        port = door->port_v4;
        to.ipv4.daddr = bpf_htonl(SL_LOOPBACK);
        to.ipv4.dport = door->beacon_v4;
        listener = bpf_skc_lookup_tcp(ctx, &to, sizeof(to.ipv4), BPF_F_CURRENT_NETNS, 0);
    } else if ((d->ask.reach & SL_REACH_V6) && door->port_v6) {
        port = door->port_v6;
        to.ipv6.daddr[3] = bpf_htonl(1);
        to.ipv6.dport = door->beacon_v6;
        listener = bpf_skc_lookup_tcp(ctx, &to, sizeof(to.ipv6), BPF_F_CURRENT_NETNS, 0);
    }
    if (!listener) {
        return 0;
    }
    const struct sl_conn* own = bpf_sk_storage_get(&conns, listener, 0, 0);
    const int ours = own && (own->tcp_flags & SL_CONN_AGENT);
    bpf_sk_release(listener);
    d->endpoint[0] = 0;
    d->endpoint[1] = 0;
    d->endpoint[2] = v4 ? SL_MAPPED : 0;
    d->endpoint[3] = v4 ? bpf_htonl(SL_LOOPBACK) : bpf_htonl(1);
    d->port = port;
    return ours;
}

/* Tells the agent that it does not listen here, from time to time. */
SL_FUNCTION int sl_report_unheard(struct bpf_sock_addr* ctx, __u64 now_ns) {
    struct sl_control* c = SL_TABLE_VALUE(control);
    if (!c) {
        return 0;
    }
    const __u64 last = sl_load(&c->unheard_ns);
    if (now_ns - last < SL_UNHEARD_NS || sl_cas(&c->unheard_ns, last, now_ns) != last) {
        return 0;
    }
    const struct sl_event event = {.time_ns = now_ns,
                                   .kind = SL_EVENT_NO_LISTENER,
                                   .process = bpf_get_current_pid_tgid() >> 32,
                                   .netns_cookie = bpf_get_netns_cookie(ctx)};
    sl_emit(&event);
    return 0;
}

#endif
