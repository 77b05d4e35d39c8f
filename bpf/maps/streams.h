/* streams: what is followed of each watched connection (sl_stream), freed by the kernel with the socket.
 *
 * Made by sockops when a connection of an HTTP port is established, written by the packet programs and sockops, read by
 * the iterators; the gate also by the agent's drain, through sl_close_gates. Memory is charged to the socket: when that
 * is refused, the connection is counted as unobserved (no_storage).
 *
 * stashes: buffers for octets that came before their turn (sl_stash, 2.6 MB in all), lent to a connection until what is
 * missing has come. Written and read by the ingress program. All taken: those octets go by unseen, and must be body
 * then.
 *
 * drains: socket cookie -> enum sl_drain_mode: whom sl_close_gates is to deal with. Written and emptied by the agent
 * around each run. Full: the agent runs it several times.
 */
#ifndef SLUICE_BPF_MAPS_STREAMS_H
#define SLUICE_BPF_MAPS_STREAMS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

typedef struct __sk_buff sl_source;
#define SL_PAYLOAD_LOAD(source, offset, to, length) bpf_skb_load_bytes((source), (offset), (to), (length))
#define SL_SEGMENT_TIME(seg) ((seg)->now_ns ? (seg)->now_ns : ((seg)->now_ns = bpf_ktime_get_ns()))
#define SL_STASH_AT(slot) sl_stash_at(slot)
struct sl_stash;
static __always_inline struct sl_stash* sl_stash_at(__u32 slot);
#include "lib/stream.h"
#include "sluice/abi/http.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SL_STASHES);
    __type(key, __u32);
    __type(value, struct sl_stash);
} stashes SEC(".maps");

static __always_inline struct sl_stash* sl_stash_at(__u32 slot) {
    return bpf_map_lookup_elem(&stashes, &slot);
}

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct sl_stream);
} streams SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, __u32);
} drains SEC(".maps");

#endif
