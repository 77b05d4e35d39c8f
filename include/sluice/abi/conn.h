/* What programs keep for each connection and what they count. */
#ifndef SLUICE_ABI_CONN_H
#define SLUICE_ABI_CONN_H

#include "sluice/abi/base.h"
#include "sluice/abi/reasons.h"

#define SL_CONN_HELD 0x1u      /* `active` words are taken; cleared by atomic exchange, so released once */
#define SL_LATENCY_BUCKETS 20u /* bucket i counts connects that took < 2^i * 16 us; the last one all slower */

/* Value of the socket storage map. Append only: a new ABI version reads the last one's. */
struct sl_conn {
    __u32 held;    /* SL_CONN_HELD or 0; sl_xchg only */
    __u32 outcome; /* enum sl_reason, set once by sl_cas from SL_REASON_NONE */
    __u64 generation;
    __u32 service; /* records and rows of tables.h */
    __u32 route;
    __u32 cluster;
    __u32 endpoint;
    __u32 workload; /* client identity number; 0 unknown */
    __u32 destination_workload;
    __u32 limited;        /* 1: a limit entry is held too (released with `held`) */
    __u32 limit_workload; /* its key: client identity, or 0 for limit-scope: node */
    __u64 started_ns;
    __u64 established_ns;
    __u8 dialled_address[16]; /* network byte order, v4-mapped */
    __be16 dialled_port;
    __u16 tcp_flags;       /* SL_CONN_TCP_* */
    __u32 user_timeout_ms; /* the application's TCP_USER_TIMEOUT, restored once established */
    union {
        __u64 sent_bytes; /* reported so far */
        __u64 client;     /* captured: the cgroup that says who asks; 0: unknown */
    };
    __u64 received_bytes;
    /* Copied from the cluster row that placed the connection; 0: leave the kernel's. */
    __u32 connect_timeout_ms;
    __u32 keepalive; /* 1: switch keepalive on, with the values below */
    __u32 keepalive_probes;
    __u32 keepalive_time_s;
    __u32 keepalive_interval_s;
    __u32 closed; /* 1: its end is counted; sl_xchg only */
};
SL_STATIC_ASSERT(sizeof(struct sl_conn) == 128, "sl_conn");

#define SL_CONN_TCP_STARTED 0x1u     /* sockops saw tcp_connect */
#define SL_CONN_TCP_TIMEOUT_SET 0x2u /* we set TCP_USER_TIMEOUT for connectTimeout */
#define SL_CONN_TCP_UNWATCHED 0x4u   /* another program took our callback flags away */
#define SL_CONN_TCP_MAPPED 0x8u      /* an IPv6 socket once sent to an IPv4 endpoint: the kernel keeps it IPv4 */
#define SL_CONN_HTTP 0x10u           /* SL_CLUSTER_HTTP when it was placed */
#define SL_CONN_ANSWERS 0x20u        /* SL_CLUSTER_ANSWERS when it was placed */
#define SL_CONN_AGENT 0x40u          /* a socket of the agent: never steered; listening, a beacon */

/* Where the agent listens in a network namespace; key: its cookie. Ports of 127.0.0.1 and ::1; 0: not there. Beacons
 * are sockets that listen and do nothing else: they end with the agent at once, whereas io_uring may hold on to others.
 */
struct sl_door {
    __be16 port_v4;
    __be16 port_v6;
    __be16 beacon_v4;
    __be16 beacon_v6;
};
SL_STATIC_ASSERT(sizeof(struct sl_door) == 8, "sl_door");

/* A captured connection, as the agent sees it when it accepts: network namespace and the client's end. */
struct sl_capture_key {
    __u64 netns_cookie;
    __u8 address[16]; /* network byte order, v4-mapped */
    __be16 port;
    __u16 _pad[3];
};
SL_STATIC_ASSERT(sizeof(struct sl_capture_key) == 32, "sl_capture_key");

/* What it had dialled, and who asks. */
struct sl_capture {
    __u64 started_ns;
    __u64 client;   /* cgroup of the client index; 0: unknown */
    __u32 service;  /* record of tables.h */
    __u32 workload; /* client identity number; 0: unknown */
    __u8 dialled_address[16];
    __be16 dialled_port;
    __u16 _pad[3];
};
SL_STATIC_ASSERT(sizeof(struct sl_capture) == 48, "sl_capture");

/* Flow counters: one row per client workload, cluster, destination workload and outcome. */
struct sl_flow_key {
    __u32 workload;             /* client identity; SL_NONE: the overflow row */
    __u32 cluster;              /* SL_NONE: NC */
    __u32 destination_workload; /* 0 unknown */
    __u32 reason;               /* enum sl_reason */
};
SL_STATIC_ASSERT(sizeof(struct sl_flow_key) == 16, "sl_flow_key");

/* The row that counts what finds no room: made at start, never removed. */
#define SL_FLOW_KEY_OVERFLOW \
    { SL_NONE, SL_NONE, 0, 0 }

struct sl_flow {
    __u64 opened;         /* connections that had this outcome */
    __u64 closed;         /* and ended; at once for every outcome but ESTABLISHED */
    __u64 sent_bytes;     /* client to endpoint */
    __u64 received_bytes; /* endpoint to client */
    __u64 retransmits;
    __u64 duration_ns; /* sum over closed connections */
    __u64 srtt_us;     /* sum over closed connections of the smoothed RTT at the end */
    __u64 connect_ns;  /* sum over established connections */
    __u64 connect_latency[SL_LATENCY_BUCKETS];
};
SL_STATIC_ASSERT(sizeof(struct sl_flow) == 8 * (8 + SL_LATENCY_BUCKETS), "sl_flow");

struct sl_limit_key {
    __u32 workload; /* 0: shared by the node */
    __u32 cluster;
};

struct sl_limit {
    __u32 active; /* shared word */
    __u32 _pad;
};

/* Value of the cgroup index: cgroup id -> who is asking. */
struct sl_client {
    __u32 workload; /* identity number */
    __u32 scope;
};

enum sl_event_kind {
    SL_EVENT_EJECTED = 1,
    SL_EVENT_RETURNED = 2,
    SL_EVENT_GATED = 3, /* a connection waits to be drained: look for closed gates */
    SL_EVENT_NO_LISTENER =
        4, /* nobody took a connection for the proxy lane; `netns_cookie`, and `process` to find it */
};

/* Record of the event ring. */
struct sl_event {
    __u64 time_ns; /* CLOCK_MONOTONIC */
    __u32 kind;    /* enum sl_event_kind */
    union {
        __u32 cluster;
        __u32 process; /* as the kernel's first pid namespace numbers it */
    };
    __u32 endpoint;
    __u32 reason; /* enum sl_ejection */
    union {
        __u64 until_ns;
        __u64 netns_cookie;
    };
};
SL_STATIC_ASSERT(sizeof(struct sl_event) == 32, "sl_event");

#endif
