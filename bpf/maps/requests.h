/* Finished requests.
 *
 * request_slots  counters by client, cluster, destination workload, status, how it ended, and shard, each key at its
 * one place (lib/slots.h). Taken by programs, read and freed by the agent. Its place is another key's: counted in
 * requests.
 *
 * requests  the same counters, of requests whose place is another's, and of connections that are not watched. Rows are
 * made by programs, read and removed by the agent. Full: counted in the overflow row (SL_REQUEST_KEY_OVERFLOW, made at
 * start), and requests_full counted.
 *
 * samples   ring of sl_sample, written by programs while somebody watches
 * (control.sample_until_ns), drained by the agent, which is not woken for them. Full: samples_lost counted; the
 * counters stay right.
 */
#ifndef SLUICE_BPF_MAPS_REQUESTS_H
#define SLUICE_BPF_MAPS_REQUESTS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "maps/tables.h"
#include "sluice/abi/http.h"

SL_TABLE(request_slots, sizeof(struct sl_request_slot));

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct sl_request_key);
    __type(value, struct sl_request_counts);
} requests SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 512 * 1024);
} samples SEC(".maps");

#endif
