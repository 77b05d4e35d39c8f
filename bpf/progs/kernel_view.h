/* The only kernel internals that programs read, by CO-RE: what UAPI contexts do not tell. Each field has been in every
 * kernel since 4.x; relocation fails the load, visibly, if one goes.
 *
 *   sk_err        why a connect failed: reset, unreachable, timed out, or given up (0)
 *   skc_flags     SOCK_DONE: the peer's FIN was received, which bytes_received counts as one byte
 *   write_seq     our FIN was acknowledged when snd_una reaches it, which bytes_acked counts as one byte
 *   skc_state, bytes_acked, bytes_received, rcv_nxt, addresses, net_cookie, ns.inum  where no context gives them
 * (report) skc_ipv6only  the socket cannot reach IPv4
 */
#ifndef SLUICE_BPF_PROGS_KERNEL_VIEW_H
#define SLUICE_BPF_PROGS_KERNEL_VIEW_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define SL_CO_RE __attribute__((preserve_access_index))

struct ns_common {
    unsigned int inum;
} SL_CO_RE;

struct net {
    __u64 net_cookie;
    struct ns_common ns;
} SL_CO_RE;

typedef struct {
    struct net* net;
} SL_CO_RE possible_net_t;

struct in6_addr {
    union {
        __be32 u6_addr32[4];
    } in6_u;
} SL_CO_RE;

struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    volatile unsigned char skc_state;
    unsigned char skc_ipv6only : 1;
    possible_net_t skc_net;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
    unsigned long skc_flags;
} SL_CO_RE;

struct bpf_iter_meta {
    struct seq_file* seq;
} SL_CO_RE;

struct sock {
    struct sock_common __sk_common;
    int sk_err;
} SL_CO_RE;

struct tcp_sock {
    __u32 rcv_nxt;
    __u32 write_seq;
    __u64 bytes_acked;
    __u64 bytes_received;
} SL_CO_RE;

enum sock_flags {
    SOCK_DONE = 1,
};

static __always_inline struct tcp_sock* sl_tcp(void* sk) {
    return bpf_skc_to_tcp_sock(sk);
}

static __always_inline __u32 sl_sk_err(struct tcp_sock* tp) {
    return (__u32)((struct sock*)tp)->sk_err;
}

static __always_inline int sl_ipv6only(struct tcp_sock* tp) {
    return BPF_CORE_READ_BITFIELD(&((struct sock*)tp)->__sk_common, skc_ipv6only);
}

static __always_inline int sl_fin_received(struct tcp_sock* tp) {
    return (((struct sock*)tp)->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_DONE)) & 1;
}

#endif
