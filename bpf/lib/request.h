/* Decisions request by request, for those who hold the rules themselves (the proxy lane): columns of an alias table
 * that are in no table, and clusters by number. The same draws and picks as decide.h, on the same health words. Callers
 * keep the publisher from reusing rows while they are in here, and up to where they drop what they read.
 */
#ifndef SLUICE_BPF_LIB_REQUEST_H
#define SLUICE_BPF_LIB_REQUEST_H

#include "decide.h"

/* The index of the column that a random word draws; `count` when the columns are corrupt or none. */
static __always_inline __u32 sl_choose_column(const struct sl_destination* columns, __u32 count, __u64 draw) {
    const __u32 column = sl_column_drawn(draw, count);
    if (column >= count || (__u32)draw < columns[column].threshold) {
        return column;
    }
    return columns[column].alias < count ? columns[column].alias : count;
}

/* on-subset-down: spill. Draws again, in proportion to the weights, among the columns whose cluster has an endpoint
 * that can be used now; `count`: none has, UH. At most SL_ROUTE_DESTINATIONS_MAX columns. */
static __always_inline __u32 sl_choose_spill_column(const struct sl_tables* t, const struct sl_destination* columns,
                                                    __u32 count, struct sl_ask* ask) {
    struct sl_tables own = *t;
    struct sl_route route = {};
    struct sl_choice choice = {};
    own.destinations = (struct sl_destination*)columns;
    own.destination_count = count;
    route.destination_count = count;
    choice.generation = sl_load(&t->control->generation);
    return sl_choose_spill(&own, &route, ask, &choice) == SL_REASON_NONE ? choice.destination : count;
}

/* 1: a cluster has an endpoint that can be used now, in the generation in force. Whether a share spills. */
static __always_inline int sl_cluster_number_usable(const struct sl_tables* t, __u32 number, __u32 reach,
                                                    __u64 now_ns) {
    struct sl_choice choice = {};
    struct sl_cluster* cluster = 0;
    const struct sl_cluster_row* policy = 0;
    choice.generation = sl_load(&t->control->generation);
    choice.cluster = number;
    return sl_choose_row(t, &choice, &cluster, &policy) == SL_REASON_NONE &&
           sl_cluster_usable(t, cluster, policy, reach, now_ns);
}

/* The row of a cluster that the newest generation has no more: who decides by older rules still gets an answer, until
 * the grace period that frees the row. SL_NONE: there is none. */
static __always_inline __u32 sl_last_row(const struct sl_tables* t, __u32 number, struct sl_slot* slot) {
    for (int i = 0; i < 2; ++i) {
        const __u64 generation = sl_load(&slot[i].generation);
        const __u32 row = sl_load(&slot[i].row);
        const struct sl_cluster_row* policy = generation != SL_GENERATION_EMPTY ? sl_cluster_row_at(t, row) : 0;
        if (policy && sl_load(&policy->in_use) && sl_load(&policy->cluster) == number) {
            return row;
        }
    }
    return SL_NONE;
}

/* An endpoint of a cluster that the caller chose, in the generation in force, which is read once. Fills *choice as
 * sl_choose_cluster() and sl_choose_endpoint() do, without service, route and destination: sl_hold() and sl_release()
 * (route SL_NONE) work on it. SL_REASON_NONE; NO_CLUSTER: the record has no row; NO_HEALTHY_UPSTREAM, FAMILY_MISMATCH,
 * TABLE_CORRUPT, or NO_GENERATION: ask again. Also in choice->reason. */
static __always_inline __u32 sl_choose_in_cluster(const struct sl_tables* t, __u32 number, struct sl_ask* ask,
                                                  struct sl_choice* choice) {
    struct sl_cluster* cluster = 0;
    const struct sl_cluster_row* policy = 0;
    choice->generation = sl_load(&t->control->generation);
    choice->service = SL_NONE;
    choice->route = SL_NONE;
    choice->destination = SL_NONE;
    choice->cluster = number;
    choice->cluster_row = SL_NONE;
    choice->endpoint = SL_NONE;
    choice->returned_ns = 0;
    choice->reason = sl_choose_row(t, choice, &cluster, &policy);
    if (choice->reason == SL_REASON_TABLE_CORRUPT && cluster && choice->cluster_row == SL_NONE) {
        choice->cluster_row = sl_last_row(t, number, cluster->slot);
        choice->reason = choice->cluster_row == SL_NONE ? SL_REASON_NO_CLUSTER : SL_REASON_NONE;
    }
    return choice->reason == SL_REASON_NONE ? sl_choose_endpoint(t, ask, choice) : choice->reason;
}

/* Slow start: an endpoint that came in or came back `age` ago gets this share of what it will get, by steps of the
 * duration. Written by compile::warmup_curve(). */
#define SL_WARMUP_STEPS 64u
/* Draws that may be turned down before one is taken as it comes. */
#define SL_WARMUP_DRAWS 16u
struct sl_warmup {
    __u64 duration_ns;
    __u32 share[SL_WARMUP_STEPS]; /* of 2^32 */
};

/* 1: take the endpoint that was picked; 0: pick again. Turning picks down with probability 1 - share makes every
 * endpoint's part proportional to its share, whatever the load balancer that picks. */
static __always_inline int sl_warmup_accepts(const struct sl_tables* t, const struct sl_warmup* warmup, __u32 number,
                                             struct sl_ask* ask) {
    const struct sl_endpoint* endpoint = sl_endpoint_at(t, number);
    struct sl_health* health = sl_health_at(t, number);
    if (!endpoint || !health) {
        return 1;
    }
    __u64 since = sl_load(&endpoint->since_ds) * 100000000ull;
    const __u64 returned = sl_load(&health->last_return);
    if (returned > since) {
        since = returned;
    }
    const __u64 age = ask->now_ns > since ? ask->now_ns - since : 0;
    if (age >= warmup->duration_ns) {
        return 1;
    }
    const __u64 step = age / (warmup->duration_ns / SL_WARMUP_STEPS + 1);
    return (__u32)sl_random_next(&ask->random) < warmup->share[step < SL_WARMUP_STEPS ? step : SL_WARMUP_STEPS - 1];
}

#endif
