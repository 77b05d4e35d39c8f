/* Somebody else's programs on the same cgroups. The sockops one asks for RTT callbacks of its own, without a thought
 * for other programs' flags, and counts those that it gets; the connect one changes nothing. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} rtt_callbacks SEC(".maps");

SEC("sockops")
int other_sockops(struct bpf_sock_ops* ops) {
    if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB || ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
        bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
    } else if (ops->op == BPF_SOCK_OPS_RTT_CB) {
        __u32 zero = 0;
        __u64* count = bpf_map_lookup_elem(&rtt_callbacks, &zero);
        if (count)
            __sync_fetch_and_add(count, 1);
    }
    return 1;
}

SEC("cgroup/connect4")
int other_connect4(struct bpf_sock_addr* ctx) {
    (void)ctx;
    return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
