/* conns: what is kept with each socket that was steered (sl_conn), freed by the kernel with the socket.
 *
 * Written by connect, sockops and sock_release programs, read by getpeername programs. Memory is charged to the socket:
 * when that is refused, the connection is steered but not accounted, and storage_full is counted.
 */
#ifndef SLUICE_BPF_MAPS_CONNS_H
#define SLUICE_BPF_MAPS_CONNS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "sluice/abi/conn.h"

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct sl_conn);
} conns SEC(".maps");

#endif
