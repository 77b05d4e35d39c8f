/* The tables of sluice/abi/tables.h: each is the single value of an mmapable array map.
 *
 * Written by the agent (userspace/compile through its mapping), but for the shared words (`active`, `open`, `rotor`,
 * health words, totals), which programs and agent both change by atomics. Read by every program. They cannot overflow
 * here: the publisher refuses a generation that does not fit and names the table. Value sizes are set before loading
 * (rows x row size); the counts below tell the programs how many rows there are.
 */
#ifndef SLUICE_BPF_MAPS_TABLES_H
#define SLUICE_BPF_MAPS_TABLES_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "sluice/abi/http.h"
#include "sluice/abi/tables.h"

/* Rows a table, set before loading. The smallest legal value here, so that an unset one is noticed. */
const volatile __u32 service_rows = 1;
const volatile __u32 route_rows = 1;
const volatile __u32 destination_rows = 1;
const volatile __u32 cluster_rows_rows = 1;
const volatile __u32 cluster_record_rows = 1;
const volatile __u32 endpoint_list_rows = 1;
const volatile __u32 endpoint_rows = 1;
const volatile __u32 hash_entry_rows = 1;
const volatile __u32 request_slot_rows = 1;

#define SL_TABLE(name, row_size)           \
    struct {                               \
        __uint(type, BPF_MAP_TYPE_ARRAY);  \
        __uint(map_flags, BPF_F_MMAPABLE); \
        __uint(max_entries, 1);            \
        __uint(key_size, sizeof(__u32));   \
        __uint(value_size, row_size);      \
    } name SEC(".maps")

SL_TABLE(control, sizeof(struct sl_control));
SL_TABLE(services, sizeof(struct sl_service));
SL_TABLE(routes, sizeof(struct sl_route));
SL_TABLE(destinations, sizeof(struct sl_destination));
SL_TABLE(clusters, sizeof(struct sl_cluster));
SL_TABLE(cluster_rows, sizeof(struct sl_cluster_row));
SL_TABLE(endpoint_list, sizeof(__u32));
SL_TABLE(endpoints, sizeof(struct sl_endpoint));
SL_TABLE(health, sizeof(struct sl_health));
SL_TABLE(hash_entries, sizeof(struct sl_hash_entry));
SL_TABLE(identities, sizeof(struct sl_identity)); /* programs do not read it: kept with the rest for a restart */

/* The one value of a table. */
#define SL_TABLE_VALUE(name)                        \
    ({                                              \
        const __u32 first_ = 0;                     \
        (void*)bpf_map_lookup_elem(&name, &first_); \
    })

/* Tables of health and counting: what a connection needs after it was placed. 0: cannot happen, the verifier asks. */
static __always_inline int sl_tables_health(struct sl_tables* t) {
    t->control = SL_TABLE_VALUE(control);
    t->routes = SL_TABLE_VALUE(routes);
    t->clusters = SL_TABLE_VALUE(clusters);
    t->cluster_rows = SL_TABLE_VALUE(cluster_rows);
    t->endpoints = SL_TABLE_VALUE(endpoints);
    t->health = SL_TABLE_VALUE(health);
    t->route_count = route_rows;
    t->cluster_count = cluster_record_rows;
    t->cluster_row_count = cluster_rows_rows;
    t->endpoint_count = endpoint_rows;
    return t->control && t->routes && t->clusters && t->cluster_rows && t->endpoints && t->health;
}

/* All tables: what a decision needs. */
static __always_inline int sl_tables_all(struct sl_tables* t) {
    t->services = SL_TABLE_VALUE(services);
    t->destinations = SL_TABLE_VALUE(destinations);
    t->endpoint_list = SL_TABLE_VALUE(endpoint_list);
    t->hash_entries = SL_TABLE_VALUE(hash_entries);
    t->service_count = service_rows;
    t->destination_count = destination_rows;
    t->endpoint_list_count = endpoint_list_rows;
    t->hash_entry_count = hash_entry_rows;
    return sl_tables_health(t) && t->services && t->destinations && t->endpoint_list && t->hash_entries;
}

#endif
