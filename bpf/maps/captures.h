/* How connections reach the agent's proxy.
 *
 * doors     network namespace -> ports that the agent listens on there. Written by the agent, read by connect programs,
 * who look whether its beacon really listens and is the agent's (SL_CONN_AGENT in its storage): the rows of an agent
 * that ended do no harm. Full: the agent names the namespace, whose connections fall back. captures  client's end ->
 * what was dialled. Made by sockops before the SYN leaves, taken by the agent when it accepts; one that nobody took in
 * time is removed by the agent. Full: captures_full counted; the agent ends the connection, which it cannot know.
 */
#ifndef SLUICE_BPF_MAPS_CAPTURES_H
#define SLUICE_BPF_MAPS_CAPTURES_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "sluice/abi/conn.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, struct sl_door);
} doors SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct sl_capture_key);
    __type(value, struct sl_capture);
} captures SEC(".maps");

#endif
