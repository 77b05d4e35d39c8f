/* Iterators over socket storage, run by the agent; no packet pays for them. What they read may change meanwhile.
 *
 * sl_report       counts the bytes of connections that are still open, so that a long-lived one is seen while it lives
 * sl_connections  writes every open connection as it stands (struct sl_connection)
 * sl_close_gates  closes the gates of those that are named in `drains`
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "account.h"
#include "kernel_view.h"
#include "maps/accounting.h"
#include "maps/conns.h"
#include "maps/streams.h"
#include "maps/tables.h"

char LICENSE[] SEC("license") = "GPL";

#define SL_AF_INET 2
#define SL_MAPPED bpf_htonl(0xffff) /* third word of an IPv4 address as IPv6 */

/* What the kernel hands to a program that iterates over socket storage. */
struct bpf_iter__bpf_sk_storage_map {
    struct bpf_iter_meta* meta;
    struct sock* sk;
    void* value;
} SL_CO_RE;

/* Moves *reported up to `now`; the step. The close of the connection, on another CPU, may have been there first. */
static __always_inline __u64 sl_report_step(__u64* reported, __u64 now) {
    const __u64 before = sl_load(reported);
    return now > before && sl_cas(reported, before, now) == before ? now - before : 0;
}

SEC("iter/bpf_sk_storage_map")
int sl_report(struct bpf_iter__bpf_sk_storage_map* ctx) {
    struct sock* sk = ctx->sk;
    struct sl_conn* conn = ctx->value;
    if (!sk || !conn || !sl_load(&conn->generation) || sl_load(&conn->outcome) != SL_REASON_ESTABLISHED) {
        return 0;
    }
    struct tcp_sock* tp = sl_tcp(sk);
    if (!tp) {
        return 0;
    }
    /* No lock here. Counts before state: in these states our FIN was not yet sent when they were read. The peer's may
     * have been counted already, so one byte waits for the end. */
    const __u64 acked = *(volatile __u64*)&tp->bytes_acked;
    const __u64 received = *(volatile __u64*)&tp->bytes_received;
    const __u8 state = *(volatile __u8*)&((struct sock*)tp)->__sk_common.skc_state;
    if ((state != BPF_TCP_ESTABLISHED && state != BPF_TCP_CLOSE_WAIT) || !acked) {
        return 0;
    }
    const __u64 sent_step = sl_report_step(&conn->sent_bytes, acked - 1);
    const __u64 received_step = sl_report_step(&conn->received_bytes, received ? received - 1 : 0);
    if (!sent_step && !received_step) {
        return 0;
    }
    struct sl_flow* flow = sl_conn_flow(conn, SL_REASON_ESTABLISHED);
    if (flow) {
        sl_add(&flow->sent_bytes, sent_step);
        sl_add(&flow->received_bytes, received_step);
    }
    return 0;
}

/* Both ends of the socket, v4-mapped. */
static __always_inline void sl_addresses(struct tcp_sock* tp, struct sl_connection* out) {
    const struct sock_common* common = &((struct sock*)tp)->__sk_common;
    out->family = common->skc_family;
    out->local_port = bpf_htons(common->skc_num);
    out->remote_port = common->skc_dport;
    __u32* local = (__u32*)out->local_address;
    __u32* remote = (__u32*)out->remote_address;
    if (common->skc_family == SL_AF_INET) {
        local[2] = SL_MAPPED;
        local[3] = common->skc_rcv_saddr;
        remote[2] = SL_MAPPED;
        remote[3] = common->skc_daddr;
        return;
    }
    for (int i = 0; i < 4; ++i) {
        local[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
        remote[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
    }
}

/* How its answers are watched. A closed gate is told only when the socket has taken in all that ingress saw: what it
 * dropped after that comes again, and ending the connection before would cut the answer. */
static __always_inline void sl_watching(struct sl_stream* stream, struct tcp_sock* tp, struct sl_connection* out) {
    out->watched = sl_load(&stream->watched);
    if (out->watched == SL_STREAM_OFF) {
        out->watched = SL_REASON_ESTABLISHED;
    }
    out->requests = stream->requests;
    if (out->watched != SL_REASON_NONE) {
        return;
    }
    const __u32 counted = stream->received.next;
    out->gate = sl_load(&stream->gate) & SL_GATE_PUBLIC;
    if (sl_before(*(volatile __u32*)&tp->rcv_nxt, counted)) {
        out->gate &= ~SL_GATE_CLOSED;
    }
}

SEC("iter/bpf_sk_storage_map")
int sl_connections(struct bpf_iter__bpf_sk_storage_map* ctx) {
    struct sock* sk = ctx->sk;
    struct sl_conn* conn = ctx->value;
    if (!sk || !conn) {
        return 0;
    }
    const __u64 generation = sl_load(&conn->generation);
    if (!generation || !sl_load(&conn->held) || sl_load(&conn->closed)) {
        return 0;
    }
    struct tcp_sock* tp = sl_tcp(sk);
    if (!tp) {
        return 0;
    }
    struct sl_connection out = {
        .cookie = bpf_get_socket_cookie(sk),
        .netns_cookie = ((struct sock*)tp)->__sk_common.skc_net.net->net_cookie,
        .netns_inode = ((struct sock*)tp)->__sk_common.skc_net.net->ns.inum,
        .generation = generation,
        .started_ns = conn->started_ns,
        .established_ns = conn->established_ns,
        .sent_bytes = sl_load(&conn->sent_bytes),
        .received_bytes = sl_load(&conn->received_bytes),
        .service = conn->service,
        .route = conn->route,
        .cluster = conn->cluster,
        .endpoint = conn->endpoint,
        .workload = conn->workload,
        .destination_workload = conn->destination_workload,
        .dialled_port = conn->dialled_port,
    };
    __builtin_memcpy(out.dialled_address, conn->dialled_address, sizeof(out.dialled_address));
    sl_addresses(tp, &out);
    struct sl_stream* stream = bpf_sk_storage_get(&streams, sk, 0, 0);
    const struct sl_control* c = SL_TABLE_VALUE(control);
    if (stream && (conn->tcp_flags & SL_CONN_HTTP) && conn->established_ns) {
        sl_watching(stream, tp, &out);
    } else if (!(conn->tcp_flags & SL_CONN_HTTP) || !c || !sl_load(&c->observe)) {
        out.watched = SL_REASON_ESTABLISHED;
    } else if (conn->established_ns) {
        out.watched = SL_REASON_UNOBSERVED_NO_STORAGE;
    }
    bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
    return 0;
}

SEC("iter/bpf_sk_storage_map")
int sl_close_gates(struct bpf_iter__bpf_sk_storage_map* ctx) {
    struct sock* sk = ctx->sk;
    struct sl_stream* stream = ctx->value;
    if (!sk || !stream || sl_load(&stream->watched) != SL_REASON_NONE) {
        return 0;
    }
    const __u64 cookie = bpf_get_socket_cookie(sk);
    const __u32* mode = bpf_map_lookup_elem(&drains, &cookie);
    if (mode && *mode != SL_DRAIN_NONE) {
        sl_gate_want(&stream->gate, &stream->closed_ns, *mode == SL_DRAIN_NOW, bpf_ktime_get_ns());
    }
    return 0;
}
