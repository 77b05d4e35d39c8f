/* What is watched of HTTP connections: counters of finished requests, samples of them, and connections as they stand.
 */
#ifndef SLUICE_ABI_HTTP_H
#define SLUICE_ABI_HTTP_H

#include "sluice/abi/base.h"
#include "sluice/abi/reasons.h"

/* Bounds of Istio's histograms, which serve for milliseconds and for bytes, times two so that they are whole:
 * 0.5, 1, 5, 10, ... 3600000. Bucket i counts values <= bound i; the last bucket all above. */
#define SL_HISTOGRAM_BOUNDS_X2 \
    1, 2, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000, 120000, 600000, 1200000, 3600000, 7200000
#define SL_HISTOGRAM_BUCKETS 20u
/* A request's duration in half milliseconds, rounded up, is what is compared. */
#define SL_HISTOGRAM_HALF_MS_NS 500000ull

/* Counters of finished requests: key of the `requests` map, and of `request_slots`. Rows are split over
 * SL_REQUEST_SHARDS by CPU, so that CPUs do not share lines; readers sum them. With an unobserved reason the row counts
 * connections (status 0). */
#define SL_REQUEST_SHARDS 8u
struct sl_request_key {
    __u32 workload;             /* client identity; SL_NONE: the overflow row */
    __u32 cluster;              /* SL_NONE in the overflow row only */
    __u32 destination_workload; /* 0 unknown */
    __u16 status;               /* of the final answer; 0: none was complete */
    __u8 reason; /* enum sl_reason: NONE (whole), UPSTREAM_CLOSED, DOWNSTREAM_CLOSED, DRAINED or UNOBSERVED_* */
    __u8 shard;
};
SL_STATIC_ASSERT(sizeof(struct sl_request_key) == 16, "sl_request_key");

/* The row that counts what finds no room: made at start, never removed. */
#define SL_REQUEST_KEY_OVERFLOW \
    { SL_NONE, SL_NONE, 0, 0, 0, 0 }

struct sl_request_counts {
    __u64 requests;      /* or connections, of an unobserved reason; the words below stay 0 then */
    __u64 duration_ns;   /* sums: first byte of the request to last byte of the answer */
    __u64 first_byte_ns; /* to the first byte of the final answer; only of requests with a status */
    __u64 request_bytes; /* heads and bodies as sent */
    __u64 response_bytes;
    __u64 duration[SL_HISTOGRAM_BUCKETS];
    __u64 first_byte[SL_HISTOGRAM_BUCKETS];
    __u64 request_size[SL_HISTOGRAM_BUCKETS];
    __u64 response_size[SL_HISTOGRAM_BUCKETS];
};
SL_STATIC_ASSERT(sizeof(struct sl_request_counts) == 8 * (5 + 4 * SL_HISTOGRAM_BUCKETS), "sl_request_counts");

/* A row of these counters at a fixed place (bpf/lib/slots.h): a row of the flat table `request_slots`. */
struct sl_request_slot {
    __u64 who;  /* workload and cluster, inverted; 0: not written yet */
    __u64 what; /* destination workload, status, reason and shard, and SL_SLOT_HELD; 0: free; or SL_SLOT_LEFT */
    struct sl_request_counts counts;
    __u64 _pad; /* to whole cache lines */
};
SL_STATIC_ASSERT(sizeof(struct sl_request_slot) == 704, "sl_request_slot");
#define SL_SLOT_HELD 0x8000000000000000ull
#define SL_SLOT_LEFT 0xffffffffffffffffull /* no longer counted in; no shard has such a number */

/* A key as a slot holds it. */
struct sl_slot_key {
    __u64 who;
    __u64 what;
};

static __always_inline struct sl_slot_key sl_slot_key_of(__u32 workload, __u32 cluster, __u32 destination_workload,
                                                         __u16 status, __u8 reason, __u8 shard) {
    const struct sl_slot_key key = {
        .who = ~((__u64)cluster << 32 | workload),
        .what = (__u64)shard << 56 | (__u64)reason << 48 | (__u64)status << 32 | destination_workload | SL_SLOT_HELD,
    };
    return key;
}

static __always_inline struct sl_request_key sl_slot_request_key(struct sl_slot_key key) {
    const struct sl_request_key found = {
        .workload = (__u32)~key.who,
        .cluster = (__u32)(~key.who >> 32),
        .destination_workload = (__u32)key.what,
        .status = (__u16)(key.what >> 32),
        .reason = (__u8)(key.what >> 48),
        .shard = (__u8)((key.what & ~SL_SLOT_HELD) >> 56),
    };
    return found;
}

enum sl_method {
    SL_METHOD_OTHER = 0,
    SL_METHOD_GET = 1,
    SL_METHOD_HEAD = 2,
    SL_METHOD_POST = 3,
    SL_METHOD_PUT = 4,
    SL_METHOD_DELETE = 5,
    SL_METHOD_OPTIONS = 6,
    SL_METHOD_PATCH = 7,
    SL_METHOD_CONNECT = 8,
    SL_METHOD_TRACE = 9,
};

/* One finished request, in the `samples` ring while control.sample_until_ns lies ahead. */
struct sl_sample {
    __u64 time_ns; /* its end, CLOCK_MONOTONIC */
    __u64 duration_ns;
    __u64 first_byte_ns; /* 0: no answer */
    __u64 request_bytes;
    __u64 response_bytes;
    __u64 cookie; /* of the socket */
    __u32 workload;
    __u32 cluster;
    __u32 endpoint;
    __u32 destination_workload;
    __u16 status;
    __u8 reason; /* as in sl_request_key */
    __u8 method; /* enum sl_method */
    __u32 _pad;
};
SL_STATIC_ASSERT(sizeof(struct sl_sample) == 72, "sl_sample");

enum sl_drain_mode {
    SL_DRAIN_NONE = 0,
    SL_DRAIN_IDLE = 1, /* between a complete answer and the next request */
    SL_DRAIN_NOW = 2,
};

/* The gate of a watched connection: one shared word, changed by compare-and-swap only. A request begins by setting
 * BUSY, and a whole answer clears it. Whoever wants to end the connection sets CLOSED when it is not BUSY, else WANTED,
 * which turns into CLOSED when the answer is whole. While CLOSED no byte of a new request leaves the node, so ending
 * the connection loses nothing; after SL_GATE_NS without an end the gate opens again. */
#define SL_GATE_BUSY 0x1u
#define SL_GATE_WANTED 0x2u
#define SL_GATE_CLOSED 0x4u
#define SL_GATE_NS 1000000000ull

/* One open connection, as the iterator `sl_connections` writes it. Addresses in network byte order, v4-mapped. */
struct sl_connection {
    __u64 cookie;
    __u64 netns_cookie;
    __u64 generation;     /* that placed it */
    __u64 started_ns;     /* CLOCK_MONOTONIC */
    __u64 established_ns; /* 0: not yet */
    __u64 requests;       /* finished on it */
    __u64 sent_bytes;     /* as last reported */
    __u64 received_bytes;
    __u32 service; /* records and rows of tables.h */
    __u32 route;
    __u32 cluster;
    __u32 endpoint;
    __u32 workload;
    __u32 destination_workload;
    __u32 gate;    /* SL_GATE_*; 0 too for a connection that is not watched */
    __u32 watched; /* enum sl_reason: NONE: it is; UNOBSERVED_*: why not; ESTABLISHED: not an HTTP port */
    __u8 local_address[16];
    __u8 remote_address[16];
    __u8 dialled_address[16];
    __be16 local_port;
    __be16 remote_port;
    __be16 dialled_port;
    __u16 family;      /* AF_INET or AF_INET6: of the socket */
    __u32 netns_inode; /* with the cookie it opens the namespace by handle (Linux 6.18) */
    __u32 _pad;
};
SL_STATIC_ASSERT(sizeof(struct sl_connection) == 160, "sl_connection");

#endif
