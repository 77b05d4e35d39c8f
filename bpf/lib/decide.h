/* One decision: service -> route -> weighted destination -> cluster -> endpoint.
 *
 * Reads control.generation once; everything it follows from there belongs to that generation. Writes nothing but the
 * round robin position and, when it picks an endpoint whose ejection has just run out, that endpoint's return. The
 * caller runs inside one RCU read section (a program) or keeps the publisher from reusing rows otherwise.
 */
#ifndef SLUICE_BPF_LIB_DECIDE_H
#define SLUICE_BPF_LIB_DECIDE_H

#include "pick.h"

/* Who asks, and with what chance. `random.state` is seeded by the caller; successive decisions need independent seeds.
 */
struct sl_ask {
    __u32 reach;   /* SL_REACH_*: families that the socket can reach */
    __u32 has_key; /* 1: `key` is given */
    __u64 key;     /* sl_hash_address() of the client, for consistentHash */
    __u64 now_ns;  /* CLOCK_MONOTONIC */
    struct sl_random random;
};

struct sl_choice {
    __u64 generation;
    __u32 service;
    __u32 route;       /* SL_NONE: no such service in this generation */
    __u32 destination; /* index in the route */
    __u32 cluster;     /* SL_NONE: NC */
    __u32 cluster_row;
    __u32 endpoint;
    __u32 reason; /* enum sl_reason */
    __u32 _pad;
    __u64 returned_ns; /* not 0: `endpoint` was out until then and this decision brought it back: report it */
};

/* The state of a draw among the destinations that can take the share of one that cannot. */
struct sl_spill {
    const struct sl_tables* t;
    __u64 generation;
    __u64 now_ns;
    __u64 total; /* weight seen so far */
    struct sl_random random;
    __u32 next; /* absolute indexes of destinations */
    __u32 end;
    __u32 chosen; /* so far; SL_NONE: none */
    __u32 chosen_cluster;
    __u32 chosen_row;
    __u32 reach;
    __u32 at;   /* of the destination that is looked at: next index into the endpoint list */
    __u32 left; /* endpoints that are left to look at; 0: go on to the next destination */
    __u32 cluster;
    __u32 row;
    __u32 weight;
    __u32 _pad;
};

/* The destination that is looked at can be used. Weighted reservoir of size one (Chao 1982): each replaces the choice
 * with probability weight / (weights so far), so one pass ends in proportion to the weights. */
static __always_inline long sl_spill_accept(struct sl_spill* s) {
    s->left = 0;
    s->total += s->weight;
    if (sl_random_next(&s->random) % s->total < s->weight) {
        s->chosen = s->next - 1;
        s->chosen_cluster = s->cluster;
        s->chosen_row = s->row;
    }
    return 0;
}

/* Goes on to the next destination, or looks at one endpoint of a destination that may have no usable one. */
SL_STEP sl_spill_step(__u32 i, void* data) {
    struct sl_spill* s = (struct sl_spill*)data;
    (void)i;
    if (s->left != 0) {
        const __u32* listed = sl_listed_at(s->t, s->at);
        struct sl_health* health = listed ? sl_health_at(s->t, *listed) : 0;
        ++s->at;
        --s->left;
        return health && !sl_outlier_is_out(health, s->now_ns) ? sl_spill_accept(s) : 0;
    }
    if (s->next >= s->end) {
        return 1;
    }
    const struct sl_destination* destination = sl_destination_at(s->t, s->next++);
    if (!destination || destination->weight == 0) {
        return 0;
    }
    s->weight = destination->weight;
    s->cluster = destination->cluster;
    struct sl_cluster* cluster = sl_cluster_at(s->t, s->cluster);
    const struct sl_cluster_row* policy = 0;
    if (cluster && sl_slot_row(cluster->slot, s->generation, &s->row)) {
        policy = sl_cluster_row_at(s->t, s->row);
    }
    struct sl_range range;
    if (!policy || sl_reachable(policy, s->reach, &range) != SL_REASON_NONE) {
        return 0;
    }
    const __u32 ejected = sl_load(&cluster->ejected);
    if (ejected < range.size || sl_panics(policy, ejected)) {
        return sl_spill_accept(s);
    }
    s->at = policy->endpoint_first + range.begin;
    s->left = range.size;
    return 0;
}

/* Draws again among the route's destinations that have a usable endpoint. */
static __always_inline __u32 sl_choose_spill(const struct sl_tables* t, const struct sl_route* route,
                                             struct sl_ask* ask, struct sl_choice* choice) {
    struct sl_spill s = {};
    s.t = t;
    s.generation = choice->generation;
    s.now_ns = ask->now_ns;
    s.random.state = sl_random_next(&ask->random);
    s.next = route->destination_first;
    s.end = route->destination_first + route->destination_count;
    s.reach = ask->reach;
    s.chosen = SL_NONE;
    SL_LOOP(SL_ROUTE_DESTINATIONS_MAX * (1 + SL_CLUSTER_ENDPOINTS_MAX) + 1, sl_spill_step, &s);
    if (s.chosen == SL_NONE) {
        return SL_REASON_NO_HEALTHY_UPSTREAM;
    }
    choice->destination = s.chosen - route->destination_first;
    choice->cluster = s.chosen_cluster;
    choice->cluster_row = s.chosen_row;
    return SL_REASON_NONE;
}

/* Which column of an alias table a random word draws (Walker 1977, Vose 1991): its upper half picks the column, the
 * lower half is held against that column's threshold. */
static __always_inline __u32 sl_column_drawn(__u64 draw, __u32 count) {
    return (__u32)(((draw >> 32) * count) >> 32);
}

static __always_inline const struct sl_destination* sl_choose_destination(const struct sl_tables* t,
                                                                          const struct sl_route* route,
                                                                          struct sl_ask* ask,
                                                                          struct sl_choice* choice) {
    const __u32 count = route->destination_count;
    if (count == 0 || count > SL_ROUTE_DESTINATIONS_MAX) {
        return 0;
    }
    const __u64 draw = sl_random_next(&ask->random);
    __u32 column = sl_column_drawn(draw, count);
    const struct sl_destination* destination = sl_destination_at(t, (__u64)route->destination_first + column);
    if (destination && (__u32)draw >= destination->threshold) {
        column = destination->alias;
        if (column >= count) {
            return 0;
        }
        destination = sl_destination_at(t, (__u64)route->destination_first + column);
    }
    choice->destination = column;
    return destination;
}

/* Resolves choice->cluster in choice->generation to choice->cluster_row: SL_REASON_NONE, NO_GENERATION, TABLE_CORRUPT,
 * or NO_CLUSTER for SL_NONE. */
static __always_inline __u32 sl_choose_row(const struct sl_tables* t, struct sl_choice* choice,
                                           struct sl_cluster** cluster, const struct sl_cluster_row** policy) {
    __u32 row = SL_NONE;
    if (choice->cluster == SL_NONE) {
        return SL_REASON_NO_CLUSTER;
    }
    *cluster = sl_cluster_at(t, choice->cluster);
    if (!*cluster) {
        return SL_REASON_TABLE_CORRUPT;
    }
    if (!sl_slot_row((*cluster)->slot, choice->generation, &row)) {
        return SL_REASON_NO_GENERATION;
    }
    choice->cluster_row = row;
    *policy = sl_cluster_row_at(t, row);
    if (!*policy) {
        return SL_REASON_TABLE_CORRUPT;
    }
    return SL_REASON_NONE;
}

static __always_inline __u32 sl_choose_cluster_inner(const struct sl_tables* t, __u32 service, struct sl_ask* ask,
                                                     struct sl_choice* choice) {
    struct sl_service* record = sl_service_at(t, service);
    if (!record) {
        return SL_REASON_TABLE_CORRUPT;
    }
    __u32 row = SL_NONE;
    if (choice->generation == 0 || !sl_slot_row(record->slot, choice->generation, &row) || row == SL_NONE) {
        return SL_REASON_NONE; /* not in this generation */
    }
    const struct sl_route* route = sl_route_at(t, row);
    if (!route) {
        return SL_REASON_TABLE_CORRUPT;
    }
    choice->route = row;
    const struct sl_destination* destination = sl_choose_destination(t, route, ask, choice);
    if (!destination) {
        return SL_REASON_TABLE_CORRUPT;
    }
    choice->cluster = destination->cluster;
    struct sl_cluster* cluster;
    const struct sl_cluster_row* policy;
    const __u32 reason = sl_choose_row(t, choice, &cluster, &policy);
    if (reason != SL_REASON_NONE) {
        return reason;
    }
    if ((route->flags & SL_ROUTE_SPILL) && !sl_cluster_usable(t, cluster, policy, ask->reach, ask->now_ns)) {
        return sl_choose_spill(t, route, ask, choice);
    }
    return SL_REASON_NONE;
}

/* Reads control.generation once and fills *choice up to cluster_row. SL_REASON_NONE: chosen, or, with choice->route
 * SL_NONE, the service does not exist in this generation: leave the connection alone. Else NO_CLUSTER,
 * NO_HEALTHY_UPSTREAM (spill, and no destination can take the share), TABLE_CORRUPT or NO_GENERATION. The same value is
 * in choice->reason. */
static __always_inline __u32 sl_choose_cluster(const struct sl_tables* t, __u32 service, struct sl_ask* ask,
                                               struct sl_choice* choice) {
    choice->generation = sl_load(&t->control->generation);
    choice->service = service;
    choice->route = SL_NONE;
    choice->destination = SL_NONE;
    choice->cluster = SL_NONE;
    choice->cluster_row = SL_NONE;
    choice->endpoint = SL_NONE;
    choice->returned_ns = 0;
    choice->reason = sl_choose_cluster_inner(t, service, ask, choice);
    return choice->reason;
}

/* Picks choice->endpoint in choice->cluster_row. SL_REASON_NONE, NO_HEALTHY_UPSTREAM, FAMILY_MISMATCH or TABLE_CORRUPT,
 * which is also in choice->reason. */
static __always_inline __u32 sl_choose_endpoint(const struct sl_tables* t, struct sl_ask* ask,
                                                struct sl_choice* choice) {
    struct sl_cluster* cluster = sl_cluster_at(t, choice->cluster);
    const struct sl_cluster_row* policy = sl_cluster_row_at(t, choice->cluster_row);
    choice->reason = SL_REASON_TABLE_CORRUPT;
    if (!cluster || !policy) {
        return choice->reason;
    }
    struct sl_scan scan;
    choice->reason = sl_scan_begin(&scan, t, cluster, policy, ask->reach, ask->now_ns);
    if (choice->reason != SL_REASON_NONE) {
        return choice->reason;
    }
    scan.random = ask->random;
    const __u32 balancer = policy->load_balancer;
    if (balancer >= SL_LB_RING_HASH && ask->has_key) {
        sl_pick_hash(&scan, balancer == SL_LB_RING_HASH, ask->key);
    } else {
        scan.round_robin = balancer == SL_LB_ROUND_ROBIN;
        sl_pick(&scan);
        if (balancer == SL_LB_LEAST_REQUEST) {
            sl_pick_rival(&scan);
        }
    }
    ask->random = scan.random;
    choice->reason = sl_scan_result(&scan);
    if (choice->reason == SL_REASON_NONE) {
        choice->endpoint = scan.found;
        choice->returned_ns = sl_outlier_bring_back(t, choice->cluster, scan.found, ask->now_ns);
    }
    return choice->reason;
}

/* The event of a choice with returned_ns. */
static __always_inline void sl_returned_event(const struct sl_choice* choice, __u64 now_ns, struct sl_event* event) {
    event->time_ns = now_ns;
    event->kind = SL_EVENT_RETURNED;
    event->cluster = choice->cluster;
    event->endpoint = choice->endpoint;
    event->reason = SL_EJECTION_NONE;
    event->until_ns = choice->returned_ns;
}

/* Admission by limit: takes one from `active`, the shared word of a limit entry, unless `max` are taken; 1: admitted.
 * Who is admitted gives back with sl_sub(active, 1). */
static __always_inline int sl_admit(__u32* active, __u32 max) {
    if (sl_add(active, 1) >= max) {
        sl_sub(active, 1);
        return 0;
    }
    return 1;
}

/* Takes the `active` words of a choice; sl_release() gives them back, exactly once. */
static __always_inline void sl_hold(const struct sl_tables* t, const struct sl_choice* choice) {
    struct sl_health* health = sl_health_at(t, choice->endpoint);
    struct sl_cluster* cluster = sl_cluster_at(t, choice->cluster);
    struct sl_route* route = sl_route_at(t, choice->route);
    if (health) {
        sl_add(&health->active, 1);
        sl_add(&health->picks_total, 1);
    }
    if (cluster) {
        sl_add(&cluster->active, 1);
        sl_add(&cluster->picks_total, 1);
    }
    if (route) {
        sl_add(&route->open, 1);
    }
}

static __always_inline void sl_release(const struct sl_tables* t, __u32 route, __u32 cluster, __u32 endpoint) {
    struct sl_health* health = sl_health_at(t, endpoint);
    struct sl_cluster* record = sl_cluster_at(t, cluster);
    struct sl_route* row = sl_route_at(t, route);
    if (health) {
        sl_sub(&health->active, 1);
    }
    if (record) {
        sl_sub(&record->active, 1);
    }
    if (row) {
        sl_sub(&row->open, 1);
    }
}

#endif
