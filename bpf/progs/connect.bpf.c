/* connect() and getpeername(): where a connection to a mesh address goes, and what the application sees of it.
 *
 * Only TCP sockets. What is not for a mesh address is never changed or refused, whatever state the tables are in.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_helpers.h>

#include "kernel_view.h"
#include "maps/conns.h"
#include "steer.h"

char LICENSE[] SEC("license") = "GPL";

#define SL_SOCK_STREAM 1
#define SL_PROTOCOL_MPTCP 262

static __always_inline int sl_is_tcp(const struct bpf_sock_addr* ctx) {
    return ctx->type == SL_SOCK_STREAM && (ctx->protocol == IPPROTO_TCP || ctx->protocol == SL_PROTOCOL_MPTCP);
}

/* The application sees ECONNREFUSED. */
static __always_inline int sl_refuse(void) {
    bpf_set_retval(-SL_ERR_CONNREFUSED);
    return 0;
}

SEC("cgroup/connect4")
int sl_connect4(struct bpf_sock_addr* ctx) {
    struct bpf_sock* sk = ctx->sk;
    if (!sl_is_tcp(ctx) || !sk) {
        return 1;
    }
    struct sl_decision d = {.dialled = {.port = (__be16)ctx->user_port, .protocol = IPPROTO_TCP}};
    __u32* address = (__u32*)d.dialled.address;
    address[2] = SL_MAPPED;
    address[3] = ctx->user_ip4;
    d.ask.reach = SL_REACH_V4;
    if (sk->src_ip4) {
        sl_bound_to(&d, 0, sl_word(SL_MAPPED, sk->src_ip4));
    }
    const enum sl_verdict verdict = sl_steer(ctx, &d);
    if (verdict == SL_STEER) {
        ctx->user_ip4 = d.endpoint[3];
        ctx->user_port = d.port;
    }
    return verdict == SL_REFUSE ? sl_refuse() : 1;
}

SEC("cgroup/connect6")
int sl_connect6(struct bpf_sock_addr* ctx) {
    struct bpf_sock* sk = ctx->sk;
    if (!sl_is_tcp(ctx) || !sk) {
        return 1;
    }
    struct sl_decision d = {.dialled = {.port = (__be16)ctx->user_port, .protocol = IPPROTO_TCP}};
    __u32* address = (__u32*)d.dialled.address;
    address[0] = ctx->user_ip6[0];
    address[1] = ctx->user_ip6[1];
    address[2] = ctx->user_ip6[2];
    address[3] = ctx->user_ip6[3];
    /* A socket reaches the family of the address that it is bound to; unbound: both, unless it is IPV6_V6ONLY. */
    const __u64 high = sl_word(sk->src_ip6[0], sk->src_ip6[1]);
    const __u64 low = sl_word(sk->src_ip6[2], sk->src_ip6[3]);
    if (high | low) {
        d.ask.reach = high == 0 && sk->src_ip6[2] == SL_MAPPED ? SL_REACH_V4 : SL_REACH_V6;
        sl_bound_to(&d, high, low);
    } else {
        struct tcp_sock* tp = sl_tcp(sk);
        d.ask.reach = tp && sl_ipv6only(tp) ? SL_REACH_V6 : SL_REACH_V4 | SL_REACH_V6;
    }
    const enum sl_verdict verdict = sl_steer(ctx, &d);
    if (verdict == SL_STEER) {
        ctx->user_ip6[0] = d.endpoint[0];
        ctx->user_ip6[1] = d.endpoint[1];
        ctx->user_ip6[2] = d.endpoint[2];
        ctx->user_ip6[3] = d.endpoint[3];
        ctx->user_port = d.port;
    }
    return verdict == SL_REFUSE ? sl_refuse() : 1;
}

/* The attempt that this socket is in, when it is one of ours. */
static __always_inline const struct sl_conn* sl_peer_of(struct bpf_sock_addr* ctx) {
    if (!ctx->sk) {
        return 0;
    }
    const struct sl_conn* conn = bpf_sk_storage_get(&conns, ctx->sk, 0, 0);
    return conn && conn->generation ? conn : 0;
}

SEC("cgroup/getpeername4")
int sl_getpeername4(struct bpf_sock_addr* ctx) {
    const struct sl_conn* conn = sl_peer_of(ctx);
    if (conn) {
        const __u32* address = (const __u32*)conn->dialled_address;
        ctx->user_ip4 = address[3];
        ctx->user_port = conn->dialled_port;
    }
    return 1;
}

SEC("cgroup/getpeername6")
int sl_getpeername6(struct bpf_sock_addr* ctx) {
    const struct sl_conn* conn = sl_peer_of(ctx);
    if (conn) {
        const __u32* address = (const __u32*)conn->dialled_address;
        ctx->user_ip6[0] = address[0];
        ctx->user_ip6[1] = address[1];
        ctx->user_ip6[2] = address[2];
        ctx->user_ip6[3] = address[3];
        ctx->user_port = conn->dialled_port;
    }
    return 1;
}
