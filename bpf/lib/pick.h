/* Endpoint picks inside one cluster: least request, round robin, random, ring hash, Maglev (Envoy
 * source/extensions/load_balancing_policies), over the endpoints that the socket can reach and that are not ejected. */
#ifndef SLUICE_BPF_LIB_PICK_H
#define SLUICE_BPF_LIB_PICK_H

#include "hash.h"
#include "loop.h"
#include "outlier.h"
#include "random.h"
#include "tables.h"

#define SL_REACH_V4 1u
#define SL_REACH_V6 2u

/* Draws that may hit an ejected endpoint before all are looked at in turn. */
#define SL_PICK_TRIES 8u

/* A pick in progress: the range of the endpoint list that counts, and what was found. */
struct sl_scan {
    const struct sl_tables* t;
    struct sl_cluster* cluster;
    __u64 now_ns;
    struct sl_random random;
    __u32 first; /* list index of the first reachable endpoint */
    __u32 size;  /* reachable endpoints, > 0 */
    __u32 begin; /* reachable endpoints begin at this position of the cluster */
    __u32 start; /* where looking at all in turn begins */
    __u32 tries; /* draws before that */
    __u32 round_robin;
    __u32 any; /* ejections do not count: nobody is ejected, or panic */
    __u32 hash_first;
    __u32 hash_count;
    __u32 hash; /* of the key, as ring entries have it */
    __u32 low;  /* binary search: absolute entry indexes */
    __u32 high;
    __u32 found;   /* endpoint; SL_NONE: none yet */
    __u32 corrupt; /* an index was out of bounds */
};

/* 1: so few endpoints are healthy that health is ignored (minHealthPercent; Envoy's panic, strict). */
static __always_inline int sl_panics(const struct sl_cluster_row* policy, __u32 ejected) {
    const __u32 healthy = policy->endpoint_count > ejected ? policy->endpoint_count - ejected : 0;
    return 100ull * healthy < (__u64)policy->min_health_percent * policy->endpoint_count;
}

/* Positions of a cluster that a socket can reach. */
struct sl_range {
    __u32 begin;
    __u32 size;
};

/* SL_REASON_NONE, NO_HEALTHY_UPSTREAM (no endpoints), FAMILY_MISMATCH (none reachable) or TABLE_CORRUPT. */
static __always_inline __u32 sl_reachable(const struct sl_cluster_row* policy, __u32 reach, struct sl_range* range) {
    const __u32 count = policy->endpoint_count;
    const __u32 v4_count = policy->endpoint_v4_count;
    if (count > SL_CLUSTER_ENDPOINTS_MAX || v4_count > count) {
        return SL_REASON_TABLE_CORRUPT;
    }
    if (count == 0) {
        return SL_REASON_NO_HEALTHY_UPSTREAM;
    }
    const __u32 begin = (reach & SL_REACH_V4) ? 0 : v4_count;
    const __u32 end = (reach & SL_REACH_V6) ? count : v4_count;
    if (begin >= end) {
        return SL_REASON_FAMILY_MISMATCH;
    }
    range->begin = begin;
    range->size = end - begin;
    return SL_REASON_NONE;
}

/* Fills *scan; reasons as sl_reachable(). */
static __always_inline __u32 sl_scan_begin(struct sl_scan* scan, const struct sl_tables* t, struct sl_cluster* cluster,
                                           const struct sl_cluster_row* policy, __u32 reach, __u64 now_ns) {
    struct sl_range range;
    const __u32 reason = sl_reachable(policy, reach, &range);
    if (reason != SL_REASON_NONE) {
        return reason;
    }
    const __u32 ejected = sl_load(&cluster->ejected);
    scan->t = t;
    scan->cluster = cluster;
    scan->now_ns = now_ns;
    scan->random.state = 0;
    scan->first = policy->endpoint_first + range.begin;
    scan->size = range.size;
    scan->begin = range.begin;
    scan->start = 0;
    scan->tries = 0;
    scan->round_robin = 0;
    scan->any = ejected == 0 || sl_panics(policy, ejected);
    scan->hash_first = policy->hash_first;
    scan->hash_count = policy->hash_count;
    scan->hash = 0;
    scan->low = 0;
    scan->high = 0;
    scan->found = SL_NONE;
    scan->corrupt = 0;
    return SL_REASON_NONE;
}

static __always_inline __u32 sl_scan_result(const struct sl_scan* scan) {
    if (scan->found != SL_NONE) {
        return SL_REASON_NONE;
    }
    return scan->corrupt ? SL_REASON_TABLE_CORRUPT : SL_REASON_NO_HEALTHY_UPSTREAM;
}

/* Looks at one reachable endpoint, position < size; 1: it can be used and is now `found`. */
static __always_inline long sl_scan_try(struct sl_scan* scan, __u32 position) {
    const __u32* listed = sl_listed_at(scan->t, (__u64)scan->first + position);
    struct sl_health* health = listed ? sl_health_at(scan->t, *listed) : 0;
    if (!health) {
        scan->corrupt = 1;
        return 0;
    }
    if (!scan->any && sl_outlier_is_out(health, scan->now_ns)) {
        return 0;
    }
    scan->found = *listed;
    return 1;
}

/* A fresh draw. Round robin: an ejected endpoint consumes its turn. */
static __always_inline __u32 sl_scan_draw(struct sl_scan* scan) {
    if (scan->round_robin) {
        return sl_add(&scan->cluster->rotor, 1) % scan->size;
    }
    return sl_random_below(&scan->random, scan->size);
}

SL_STEP sl_scan_step(__u32 i, void* data) {
    struct sl_scan* scan = (struct sl_scan*)data;
    if (scan->size == 0) {
        return 1;
    }
    if (i < scan->tries) {
        return sl_scan_try(scan, sl_scan_draw(scan));
    }
    return sl_scan_try(scan, (__u32)(((__u64)scan->start + i) % scan->size));
}

/* One independent pick: draws until one can be used, then all in turn from a drawn place. */
static __always_inline void sl_pick(struct sl_scan* scan) {
    const __u32 position = sl_scan_draw(scan);
    if (sl_scan_try(scan, position)) {
        return;
    }
    scan->start = position;
    scan->tries = SL_PICK_TRIES - 1;
    SL_LOOP(SL_PICK_TRIES - 1 + scan->size, sl_scan_step, scan);
}

/* Least request: a second pick, which wins when it has fewer connections; a tie keeps the first. */
static __always_inline void sl_pick_rival(struct sl_scan* scan) {
    const __u32 first = scan->found;
    struct sl_health* mine = sl_health_at(scan->t, first);
    if (!mine) {
        return;
    }
    const __u32 active = sl_load(&mine->active);
    scan->found = SL_NONE;
    sl_pick(scan);
    struct sl_health* rival = sl_health_at(scan->t, scan->found);
    if (!rival || sl_load(&rival->active) >= active) {
        scan->found = first;
    }
}

/* 1: the cluster has an endpoint that can be reached and used now. Quick unless every reachable one may be out. */
static __always_inline int sl_cluster_usable(const struct sl_tables* t, struct sl_cluster* cluster,
                                             const struct sl_cluster_row* policy, __u32 reach, __u64 now_ns) {
    struct sl_scan scan;
    if (!policy || sl_scan_begin(&scan, t, cluster, policy, reach, now_ns) != SL_REASON_NONE) {
        return 0;
    }
    if (scan.any || sl_load(&cluster->ejected) < scan.size) {
        return 1;
    }
    SL_LOOP(scan.size, sl_scan_step, &scan);
    return scan.found != SL_NONE;
}

/* Halves [low, high) towards the first ring entry with hash >= the key's. */
SL_STEP sl_ring_step(__u32 i, void* data) {
    struct sl_scan* scan = (struct sl_scan*)data;
    (void)i;
    if (scan->low >= scan->high) {
        return 1;
    }
    const __u32 middle = scan->low + (scan->high - scan->low) / 2;
    const struct sl_hash_entry* entry = sl_hash_entry_at(scan->t, middle);
    if (!entry) {
        scan->corrupt = 1;
        return 1;
    }
    if (entry->hash < scan->hash) {
        scan->low = middle + 1;
    } else {
        scan->high = middle;
    }
    return 0;
}

/* Looks at the i-th entry from the key's place: the endpoint of the next entry stands in for one that cannot be used,
 * so the keys of all others stay where they are. */
SL_STEP sl_hash_step(__u32 i, void* data) {
    struct sl_scan* scan = (struct sl_scan*)data;
    if (scan->hash_count == 0) {
        return 1;
    }
    const __u64 offset = ((__u64)scan->start + i) % scan->hash_count;
    const struct sl_hash_entry* entry = sl_hash_entry_at(scan->t, scan->hash_first + offset);
    if (!entry) {
        scan->corrupt = 1;
        return 1;
    }
    const __u32 position = entry->position - scan->begin;
    return position < scan->size ? sl_scan_try(scan, position) : 0;
}

/* The endpoint that owns `key` in the cluster's ring (upper 32 bits, first entry at or after, wrapping) or Maglev table
 * (key modulo its size). A cluster without a table is corrupt. */
static __always_inline void sl_pick_hash(struct sl_scan* scan, int ring, __u64 key) {
    if (scan->hash_count == 0 || (__u64)scan->hash_first + scan->hash_count > scan->t->hash_entry_count) {
        scan->corrupt = 1;
        return;
    }
    if (ring) {
        scan->hash = (__u32)(key >> 32);
        scan->low = scan->hash_first;
        scan->high = scan->hash_first + scan->hash_count;
        SL_LOOP(32, sl_ring_step, scan);
        scan->start = scan->low - scan->hash_first;
    } else {
        scan->start = (__u32)(key % scan->hash_count);
    }
    SL_LOOP(scan->hash_count, sl_hash_step, scan);
}

#endif
