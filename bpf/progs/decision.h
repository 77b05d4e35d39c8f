/* What one connect() asks, and what is answered. */
#ifndef SLUICE_BPF_PROGS_DECISION_H
#define SLUICE_BPF_PROGS_DECISION_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>

#include "lib/decide.h"
#include "sluice/abi/tables.h"

#define SL_MAPPED bpf_htonl(0xffff) /* third word of an IPv4 address as IPv6 */

enum sl_verdict {
    SL_LEAVE,  /* not for a mesh address */
    SL_STEER,  /* to the endpoint of the decision, or to the agent */
    SL_REFUSE, /* ECONNREFUSED, and counted why */
};

/* What sl_decide is asked, and what it answers. Small: its stack and its caller's share 512 bytes. */
struct sl_decision {
    struct sl_ask ask;
    __u32 service;
    __u32 workload;
    __u32 cluster; /* chosen, or the one that refused; SL_NONE: none */
    __u32 placed;  /* 0 with SL_REASON_NONE: there is no such service in this generation, or: */
    __u32 proxied; /* flags of its route: the proxy lane carries it, and nothing is decided yet */
    __u32 alone;   /* 1: it must go without the proxy */
    __u64 client;  /* the cgroup that says who asks; 0: unknown */
    union {
        struct sl_service_key dialled; /* before */
        struct {
            __u32 endpoint[4]; /* network byte order, v4-mapped */
            __be16 port;
        }; /* after, when placed */
    };
};

#endif
