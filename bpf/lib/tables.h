/* Row access: every index is checked right before it is used; 0 when out of bounds. */
#ifndef SLUICE_BPF_LIB_TABLES_H
#define SLUICE_BPF_LIB_TABLES_H

#include "sluice/abi/tables.h"

/* sl_opaque keeps clang from splitting the checked value from the indexing one, which the verifier could not follow.
 * sl_bounded tells the verifier of 6.1 the bound of a checked value again: it forgets it when clang spilled the value
 * before the check and indexes with that copy. */
#ifdef __bpf__
#define sl_opaque(x) __asm__ volatile("" : "+r"(x))
#define sl_bounded(x, count) __asm__ volatile("if %0 < %1 goto +1\n %0 = 0" : "+r"(x) : "r"((__u64)(count)))
#else
#define sl_opaque(x) ((void)0)
#define sl_bounded(x, count) ((void)0)
#endif

#define SL_ROW_ACCESSOR(name, type, table, count)                               \
    static __always_inline type* name(const struct sl_tables* t, __u64 index) { \
        sl_opaque(index);                                                       \
        if (index >= t->count) {                                                \
            return 0;                                                           \
        }                                                                       \
        sl_bounded(index, t->count);                                            \
        return t->table + index;                                                \
    }

SL_ROW_ACCESSOR(sl_service_at, struct sl_service, services, service_count)
SL_ROW_ACCESSOR(sl_route_at, struct sl_route, routes, route_count)
SL_ROW_ACCESSOR(sl_destination_at, struct sl_destination, destinations, destination_count)
SL_ROW_ACCESSOR(sl_cluster_at, struct sl_cluster, clusters, cluster_count)
SL_ROW_ACCESSOR(sl_cluster_row_at, struct sl_cluster_row, cluster_rows, cluster_row_count)
SL_ROW_ACCESSOR(sl_listed_at, __u32, endpoint_list, endpoint_list_count)
SL_ROW_ACCESSOR(sl_endpoint_at, struct sl_endpoint, endpoints, endpoint_count)
SL_ROW_ACCESSOR(sl_health_at, struct sl_health, health, endpoint_count)
SL_ROW_ACCESSOR(sl_hash_entry_at, struct sl_hash_entry, hash_entries, hash_entry_count)

/* The row of a record in a generation: that of the newest slot at or below it. 0: the record has none yet. */
static __always_inline int sl_slot_row(struct sl_slot* slot, __u64 generation, __u32* row) {
    const __u64 g0 = sl_load(&slot[0].generation);
    const __u64 g1 = sl_load(&slot[1].generation);
    if (g1 <= generation && (g0 > generation || g1 > g0)) {
        *row = sl_load(&slot[1].row);
        return 1;
    }
    if (g0 <= generation) {
        *row = sl_load(&slot[0].row);
        return 1;
    }
    return 0;
}

#endif
