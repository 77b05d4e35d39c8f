/* The tables that the decision core reads: written by userspace/compile, mapped into programs and agent alike.
 *
 * Each table is the single value of a BPF_F_MMAPABLE array map and holds a load-time number of rows. Two kinds:
 *   records  (service, cluster, endpoint, health, control) keep their index for the life of what they describe;
 *   rows     (route, destination, cluster row, endpoint list, hash entries) are immutable once published.
 *
 * Publishing: a record has two slots {generation, row}. A reader loads control.generation once (G) and takes the slot
 * with the newest generation <= G. The publisher writes rows, then the slot that the reader cannot choose (row before
 * generation), then stores control.generation: all changes become visible in that one store. A slot or row that readers
 * may still hold is reused only after an RCU grace period that began after the store which retired it.
 */
#ifndef SLUICE_ABI_TABLES_H
#define SLUICE_ABI_TABLES_H

#include "sluice/abi/base.h"

/* Destinations of one route. */
#define SL_ROUTE_DESTINATIONS_MAX 32u
/* Endpoints of one cluster (bound of the exhaustive scan that follows unlucky picks). */
#define SL_CLUSTER_ENDPOINTS_MAX 16384u
/* maxConnections that means "no limit" (Istio's default 2^32-1). */
#define SL_UNLIMITED 0xffffffffu

struct sl_slot {
    __u64 generation; /* first generation that uses `row`; SL_GENERATION_EMPTY: never chosen */
    __u32 row;        /* SL_NONE: the record does not exist from that generation on */
    __u32 _pad;
};

/* The one word, and what else is global. One value. */
struct sl_control {
    __u64 generation;   /* the generation in force; 0: nothing published yet */
    __u64 heartbeat_ns; /* CLOCK_MONOTONIC of the agent's last control tick; only raises an alarm */
    __u64 abi_version;
    __u64 started_ns;      /* CLOCK_MONOTONIC when these maps were created */
    __u64 client_count;    /* rows of the client index; 0: programs skip the lookup */
    __u64 sample_until_ns; /* CLOCK_MONOTONIC until which programs report finished requests; the agent pushes it on
                              while somebody watches */
    __u64 observe;    /* CLOCK_MONOTONIC since when HTTP connections are watched from their start; 0: they are not */
    __u64 unheard_ns; /* CLOCK_MONOTONIC of the last SL_EVENT_NO_LISTENER */
};
SL_STATIC_ASSERT(sizeof(struct sl_control) == 64, "sl_control");

/* Key of the service index (hash map): what an application dials. IPv4 is kept v4-mapped (::ffff:a.b.c.d). */
struct sl_service_key {
    __u8 address[16]; /* network byte order */
    __u32 scope;      /* 0: what all clients see */
    __be16 port;
    __u8 protocol; /* IPPROTO_TCP */
    __u8 _pad;
};
SL_STATIC_ASSERT(sizeof(struct sl_service_key) == 24, "sl_service_key");

/* Record: one service port as dialled. The index map holds its number. slot.row is a route row. */
struct sl_service {
    struct sl_slot slot[2];
    struct sl_service_key key;
    __u32 in_use; /* 1: the record and its key are taken (userspace only) */
    __u32 _pad;
};
SL_STATIC_ASSERT(sizeof(struct sl_service) == 64, "sl_service");

/* on-subset-down: spill. The share of a subset without a healthy endpoint goes to the route's other subsets, in
 * proportion to their weights; without it, it is refused, UH. */
#define SL_ROUTE_SPILL 0x1u
/* The proxy lane: who finds no proxy in its network namespace gets these destinations, or with NO_FALLBACK is refused
 * (its one destination is NC then). */
#define SL_ROUTE_PROXY 0x2u
#define SL_ROUTE_NO_FALLBACK 0x4u

/* Row: weights of one service port in one generation. */
struct sl_route {
    __u64 generation;        /* generation that published this row */
    __u32 service;           /* back reference */
    __u32 destination_first; /* into the destination table */
    __u32 destination_count; /* 1..SL_ROUTE_DESTINATIONS_MAX */
    __u32 flags;             /* SL_ROUTE_* */
    __u32 open;              /* shared word: connections held that were placed by this row */
    __u32 in_use;            /* userspace only */
};
SL_STATIC_ASSERT(sizeof(struct sl_route) == 32, "sl_route");

/* Row: one weighted destination, with its column of the alias table (Walker/Vose). */
struct sl_destination {
    __u32 cluster;   /* cluster record; SL_NONE: NC */
    __u32 weight;    /* as configured; 0: never */
    __u32 threshold; /* draw < threshold keeps this column, else `alias`; 0xffffffff: alias is itself */
    __u32 alias;     /* index within the route */
};
SL_STATIC_ASSERT(sizeof(struct sl_destination) == 16, "sl_destination");

/* Record: service port + subset (+ the DestinationRule that shapes it). slot.row is a cluster row. */
struct sl_cluster {
    struct sl_id id;
    struct sl_slot slot[2];
    __u32 in_use; /* userspace only */
    __u32 _pad0[3];
    /* Shared words, on a cache line of their own. */
    __u32 active;  /* connections held, all clients */
    __u32 ejected; /* endpoints ejected now */
    __u32 rotor;   /* round robin position */
    __u32 _pad1;
    __u64 ejections_total;
    __u64 ejections_overflow; /* not ejected because of maxEjectionPercent */
    __u64 picks_total;
    __u64 _pad2[3];
};
SL_STATIC_ASSERT(sizeof(struct sl_cluster) == 128, "sl_cluster");
SL_STATIC_ASSERT(SL_OFFSETOF(sl_cluster, active) == 64, "cluster shared words begin a cache line");

enum sl_load_balancer {
    SL_LB_LEAST_REQUEST = 0,
    SL_LB_ROUND_ROBIN = 1,
    SL_LB_RANDOM = 2,
    SL_LB_RING_HASH = 3, /* hash table: entries sorted by hash */
    SL_LB_MAGLEV = 4,    /* hash table: entries by slot, size prime */
};

#define SL_CLUSTER_OUTLIER 0x1u       /* outlierDetection present */
#define SL_CLUSTER_OUTLIER_SPLIT 0x2u /* splitExternalLocalOriginErrors */
#define SL_CLUSTER_LIMIT_NODE 0x4u    /* sluice.dev/limit-scope: node */
#define SL_CLUSTER_KEEPALIVE 0x8u     /* tcpKeepalive given */
#define SL_CLUSTER_HTTP 0x10u         /* an HTTP port: answers are watched */
#define SL_CLUSTER_ANSWERS 0x20u      /* HTTP/1: only an observed status ends a run of failures */
#define SL_CLUSTER_DRAIN_IDLE 0x40u   /* sluice.dev/drain: idle */
#define SL_CLUSTER_DRAIN_NOW 0x80u    /* sluice.dev/drain: now */

/* Row: policy and endpoints of one cluster in one generation. Durations in nanoseconds. */
struct sl_cluster_row {
    __u32 cluster; /* back reference */
    __u32 flags;   /* SL_CLUSTER_* */
    __u32 load_balancer;
    __u32 endpoint_first; /* into the endpoint list; IPv4 endpoints come first */
    __u32 endpoint_count;
    __u32 endpoint_v4_count;
    __u32 hash_first; /* into the hash table */
    __u32 hash_count;
    __u32 max_connections;      /* SL_UNLIMITED: none */
    __u32 consecutive_5xx;      /* 0: off */
    __u32 consecutive_gateway;  /* 0: off */
    __u32 consecutive_local;    /* 0: off */
    __u32 max_ejection_percent; /* 0..100 */
    __u32 min_health_percent;   /* 0: no panic */
    __u32 keepalive_probes;     /* 0: kernel default */
    __u32 keepalive_time_s;     /* 0: kernel default */
    __u32 keepalive_interval_s; /* 0: kernel default */
    __u32 connect_timeout_ms;   /* 0: kernel default */
    __u64 interval_ns;
    __u64 base_ejection_ns;
    __u64 max_ejection_ns;
    __u32 in_use; /* userspace only */
    __u32 _pad;
};
SL_STATIC_ASSERT(sizeof(struct sl_cluster_row) == 104, "sl_cluster_row");

#define SL_ENDPOINT_LISTED 0x1u /* takes new connections; clear: terminating, not ready or removed */

/* Record: one (cluster, endpoint) pair; the same index is its health slot. */
struct sl_endpoint {
    __u8 address[16]; /* network byte order, IPv4 v4-mapped */
    __be16 port;
    __u16 flags;    /* SL_ENDPOINT_* */
    __u32 cluster;  /* cluster record; SL_NONE: free */
    __u32 workload; /* identity number of the destination workload; 0: unknown */
    __u32 since_ds; /* CLOCK_MONOTONIC in tenths of seconds when it came in, as of the agent's last control tick */
};
SL_STATIC_ASSERT(sizeof(struct sl_endpoint) == 32, "sl_endpoint");

/* Health words of an endpoint: shared by programs and agent, atomics only. One cache line.
 * State machine: Envoy outlier detection (shared/reference istio 3.1; DESIGN.md "Ejection"). Times are CLOCK_MONOTONIC
 * ns. */
struct sl_health {
    __u32 active; /* connections held */
    __u32 consecutive_5xx;
    __u32 consecutive_gateway;
    __u32 consecutive_local;
    __u64 ejected_until;  /* 0: in; else out until this time, already rounded up to the cluster's interval tick */
    __u64 last_return;    /* 0: never ejected; time of the last return */
    __u32 backoff;        /* multiplier of baseEjectionTime */
    __u32 times_ejected;  /* total */
    __u32 ejected_reason; /* enum sl_ejection of the last ejection */
    __u32 _pad;
    __u64 picks_total;
    __u64 failures_total; /* connections that the endpoint failed, and answers 5xx */
};
SL_STATIC_ASSERT(sizeof(struct sl_health) == 64, "sl_health");

/* Row: one entry of a ring or Maglev table. */
struct sl_hash_entry {
    __u32 hash;     /* ring: upper 32 bits of the node's XXH64; Maglev: 0 */
    __u32 position; /* index into the cluster's endpoint list */
};
SL_STATIC_ASSERT(sizeof(struct sl_hash_entry) == 8, "sl_hash_entry");

/* Identities: number -> hash of a canonical name, for workloads (clients and destinations) and scopes. Number 0 is
 * "unknown" for workloads and "all" for scopes. */
struct sl_identity {
    struct sl_id id;
    __u32 in_use;
    __u32 kind; /* enum sl_identity_kind */
};
SL_STATIC_ASSERT(sizeof(struct sl_identity) == 24, "sl_identity");

enum sl_identity_kind {
    SL_IDENTITY_WORKLOAD = 1,
    SL_IDENTITY_SCOPE = 2,
};

enum sl_ejection {
    SL_EJECTION_NONE = 0,
    SL_EJECTION_5XX = 1,
    SL_EJECTION_GATEWAY = 2,
    SL_EJECTION_LOCAL_ORIGIN = 3,
};

/* Pointers to the tables with their row counts: how the decision core receives them. In programs the counts come
 * from .rodata, so the verifier knows them; 64 bits wide, because it follows only whole words through the stack. */
struct sl_tables {
    struct sl_control* control;
    struct sl_service* services;
    struct sl_route* routes;
    struct sl_destination* destinations;
    struct sl_cluster* clusters;
    struct sl_cluster_row* cluster_rows;
    __u32* endpoint_list;
    struct sl_endpoint* endpoints;
    struct sl_health* health;
    struct sl_hash_entry* hash_entries;
    __u64 service_count;
    __u64 route_count;
    __u64 destination_count;
    __u64 cluster_count;
    __u64 cluster_row_count;
    __u64 endpoint_list_count;
    __u64 endpoint_count; /* endpoints and health */
    __u64 hash_entry_count;
};

#endif
