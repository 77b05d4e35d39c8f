/* What programs count.
 *
 * flows     counters by client, cluster, destination workload and outcome. Rows are made by programs, read and removed
 * by the agent. Full: counted in the overflow row (sl_flow_overflow_key, made at start), and flows_full counted. limits
 * connections held per (client workload, cluster) with maxConnections. Rows are made by programs. Full: admitted
 * without counting against the limit, and limits_full counted. counters  one u64 a reason and CPU (enum sl_reason).
 * Written by programs, read by the agent. events    ring of sl_event, written by programs, drained by the agent. Full:
 * events_lost counted; the words in the health table stay right, so only the notice is lost.
 */
#ifndef SLUICE_BPF_MAPS_ACCOUNTING_H
#define SLUICE_BPF_MAPS_ACCOUNTING_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "sluice/abi/conn.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct sl_flow_key);
    __type(value, struct sl_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct sl_limit_key);
    __type(value, struct sl_limit);
} limits SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SL_REASON_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 256 * 1024);
} events SEC(".maps");

static __always_inline void sl_count(__u32 reason) {
    __u64* count = bpf_map_lookup_elem(&counters, &reason);
    if (count) {
        /* Per CPU, but a softirq may interrupt a connect on its CPU. */
        sl_add(count, 1);
    }
}

#endif
