/* Programs that do nothing, under the names of those that watch packets: what timing a program costs by itself. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int sl_egress(struct __sk_buff* skb) {
    (void)skb;
    return 1;
}

SEC("cgroup_skb/ingress")
int sl_ingress(struct __sk_buff* skb) {
    (void)skb;
    return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
