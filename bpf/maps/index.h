/* Who is asking, and for what: the two lookups before a decision.
 *
 * service_index  what is dialled -> service record. Written by the publisher, read by connect programs. Full: the
 * generation is refused and the table named. Allocated on demand. clients        cgroup id -> workload and scope.
 * Written by the agent, read by connect programs. Full: the agent reports the client and leaves it unknown (scope 0).
 */
#ifndef SLUICE_BPF_MAPS_INDEX_H
#define SLUICE_BPF_MAPS_INDEX_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "sluice/abi/conn.h"
#include "sluice/abi/tables.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct sl_service_key);
    __type(value, __u32);
} service_index SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, struct sl_client);
} clients SEC(".maps");

#endif
