/* Bytes of connections that are still open: an iterator over the socket storage, run by the agent when it reads the
 * flows, so that a long-lived connection is seen while it lives and no packet pays for it. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "account.h"
#include "kernel_view.h"
#include "maps/accounting.h"
#include "maps/conns.h"
#include "maps/tables.h"

char LICENSE[] SEC("license") = "GPL";

/* What the kernel hands to a program that iterates over socket storage. */
struct bpf_iter__bpf_sk_storage_map {
    struct sock* sk;
    struct sl_conn* value;
} SL_CO_RE;

/* Moves *reported up to `now`; the step. The close of the connection, on another CPU, may have been there first. */
static __always_inline __u64 sl_report_step(__u64* reported, __u64 now) {
    const __u64 before = sl_load(reported);
    return now > before && sl_cas(reported, before, now) == before ? now - before : 0;
}

SEC("iter/bpf_sk_storage_map")
int sl_report(struct bpf_iter__bpf_sk_storage_map* ctx) {
    struct sock* sk = ctx->sk;
    struct sl_conn* conn = ctx->value;
    if (!sk || !conn || !sl_load(&conn->generation) || sl_load(&conn->outcome) != SL_REASON_ESTABLISHED) {
        return 0;
    }
    struct tcp_sock* tp = sl_tcp(sk);
    if (!tp) {
        return 0;
    }
    /* No lock here. Counts before state: in these states our FIN was not yet sent when they were read. The peer's may
     * have been counted already, so one byte waits for the end. */
    const __u64 acked = *(volatile __u64*)&tp->bytes_acked;
    const __u64 received = *(volatile __u64*)&tp->bytes_received;
    const __u8 state = *(volatile __u8*)&((struct sock*)tp)->__sk_common.skc_state;
    if ((state != BPF_TCP_ESTABLISHED && state != BPF_TCP_CLOSE_WAIT) || !acked) {
        return 0;
    }
    const __u64 sent_step = sl_report_step(&conn->sent_bytes, acked - 1);
    const __u64 received_step = sl_report_step(&conn->received_bytes, received ? received - 1 : 0);
    if (!sent_step && !received_step) {
        return 0;
    }
    struct sl_flow* flow = sl_conn_flow(conn, SL_REASON_ESTABLISHED);
    if (flow) {
        sl_add(&flow->sent_bytes, sent_step);
        sl_add(&flow->received_bytes, received_step);
    }
    return 0;
}
