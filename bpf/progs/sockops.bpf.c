/* What becomes of a steered connection: started, established or failed, ended, released. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "account.h"
#include "kernel_view.h"
#include "maps/accounting.h"
#include "maps/captures.h"
#include "maps/conns.h"
#include "maps/tables.h"
#include "requests.h"

char LICENSE[] SEC("license") = "GPL";

/* Timer ticks a second of this kernel, set before loading: the SYN timer is told in ticks. */
const volatile __u32 ticks_per_second = 100;

#define SL_AF_INET 2
#define SL_SOL_SOCKET 1
#define SL_SO_KEEPALIVE 9
/* TCP's first SYN timer: a shorter connectTimeout needs a shorter one. */
#define SL_SYN_TIMER_MS 1000
#define SL_LATENCY_SHIFT 4 /* 16 us */

static __always_inline struct sl_conn* sl_conn_of(struct bpf_sock_ops* ctx) {
    struct bpf_sock* sk = ctx->sk;
    if (!sk) {
        return 0;
    }
    struct sl_conn* conn = bpf_sk_storage_get(&conns, sk, 0, 0);
    return conn && conn->generation ? conn : 0;
}

#define SL_CALLBACKS (BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG)

/* Asks for the callbacks at the end of the connection and at a timeout; other programs' flags stay. 1: the end was not
 * watched yet. */
static __always_inline int sl_watch(struct bpf_sock_ops* ctx) {
    const __u32 flags = ctx->bpf_sock_ops_cb_flags;
    if ((flags & SL_CALLBACKS) != SL_CALLBACKS) {
        bpf_sock_ops_cb_flags_set(ctx, flags | SL_CALLBACKS);
    }
    return !(flags & BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* connectTimeout: TCP gives up after TCP_USER_TIMEOUT without an answer. The application's own, when smaller, stays. */
static __always_inline void sl_timeout_set(struct bpf_sock_ops* ctx, struct sl_conn* conn) {
    __u32 wanted = conn->connect_timeout_ms;
    __u32 own = 0;
    if (!wanted || bpf_getsockopt(ctx, IPPROTO_TCP, TCP_USER_TIMEOUT, &own, sizeof(own))) {
        return;
    }
    if (own && own <= wanted) {
        return;
    }
    if (!bpf_setsockopt(ctx, IPPROTO_TCP, TCP_USER_TIMEOUT, &wanted, sizeof(wanted))) {
        conn->user_timeout_ms = own;
        conn->tcp_flags |= SL_CONN_TCP_TIMEOUT_SET;
    }
}

/* Puts the application's value back, unless it set another one meanwhile. */
static __always_inline void sl_timeout_restore(struct bpf_sock_ops* ctx, struct sl_conn* conn) {
    if (!(conn->tcp_flags & SL_CONN_TCP_TIMEOUT_SET)) {
        return;
    }
    conn->tcp_flags &= ~SL_CONN_TCP_TIMEOUT_SET;
    __u32 now = 0;
    if (!bpf_getsockopt(ctx, IPPROTO_TCP, TCP_USER_TIMEOUT, &now, sizeof(now)) && now == conn->connect_timeout_ms) {
        __u32 own = conn->user_timeout_ms;
        bpf_setsockopt(ctx, IPPROTO_TCP, TCP_USER_TIMEOUT, &own, sizeof(own));
    }
}

static __always_inline void sl_option(struct bpf_sock_ops* ctx, int level, int name, __u32 value) {
    if (value) {
        bpf_setsockopt(ctx, level, name, &value, sizeof(value));
    }
}

static __always_inline void sl_keepalive_set(struct bpf_sock_ops* ctx, const struct sl_conn* conn) {
    if (conn->keepalive) {
        sl_option(ctx, IPPROTO_TCP, TCP_KEEPIDLE, conn->keepalive_time_s);
        sl_option(ctx, IPPROTO_TCP, TCP_KEEPINTVL, conn->keepalive_interval_s);
        sl_option(ctx, IPPROTO_TCP, TCP_KEEPCNT, conn->keepalive_probes);
        sl_option(ctx, SL_SOL_SOCKET, SL_SO_KEEPALIVE, 1);
    }
}

/* Bucket i: less than 2^i * 16 us. */
static __always_inline __u32 sl_latency_bucket(__u64 ns) {
    __u64 rest = ns / 1000 >> SL_LATENCY_SHIFT;
    __u32 bucket = 0;
#pragma unroll
    for (__u32 shift = 16; shift; shift >>= 1) {
        if (rest >> shift) {
            rest >>= shift;
            bucket += shift;
        }
    }
    bucket += rest != 0;
    return bucket < SL_LATENCY_BUCKETS ? bucket : SL_LATENCY_BUCKETS - 1;
}

/* The client's end, as the agent will see it. Clang would read one word through a pointer that is either address, which
 * the verifier does not allow of a context. */
static __always_inline void sl_capture_key_of(struct bpf_sock_ops* ctx, struct sl_capture_key* key) {
    __u32* address = (__u32*)key->address;
    __u32 v4 = ctx->local_ip4;
    asm volatile("" : "+r"(v4));
    const int is_v4 = ctx->family == SL_AF_INET || ctx->remote_ip6[2] == bpf_htonl(0xffff);
    key->netns_cookie = bpf_get_netns_cookie(ctx);
    key->port = bpf_htons((__u16)ctx->local_port);
    address[0] = ctx->local_ip6[0];
    address[1] = ctx->local_ip6[1];
    address[2] = ctx->local_ip6[2];
    address[3] = ctx->local_ip6[3];
    if (is_v4) {
        address[0] = 0;
        address[1] = 0;
        address[2] = bpf_htonl(0xffff);
        address[3] = v4;
    }
}

/* Before the SYN leaves, so the agent finds it however soon it accepts. */
static __always_inline void sl_captured(struct bpf_sock_ops* ctx, const struct sl_conn* conn) {
    struct sl_capture_key key = {};
    sl_capture_key_of(ctx, &key);
    struct sl_capture capture = {
        .started_ns = conn->started_ns,
        .client = conn->client,
        .service = conn->service,
        .workload = conn->workload,
        .dialled_port = conn->dialled_port,
    };
    __builtin_memcpy(capture.dialled_address, conn->dialled_address, sizeof(capture.dialled_address));
    if (bpf_map_update_elem(&captures, &key, &capture, BPF_ANY)) {
        sl_count(SL_REASON_CAPTURES_FULL);
    }
}

/* The end of a captured connection. Once established, the agent accepts it, also when the client has left: what the
 * client wrote is still there. */
static __always_inline void sl_capture_closed(struct bpf_sock_ops* ctx, struct sl_conn* conn, __u32 state) {
    if (state == BPF_TCP_SYN_SENT) {
        struct sl_capture_key key = {};
        sl_capture_key_of(ctx, &key);
        bpf_map_delete_elem(&captures, &key);
    }
    conn->generation = 0;
}

static __always_inline void sl_started(struct bpf_sock_ops* ctx) {
    struct sl_conn* conn = sl_conn_of(ctx);
    if (conn) {
        conn->tcp_flags |= SL_CONN_TCP_STARTED;
        if (conn->outcome == SL_REASON_CAPTURED) {
            sl_captured(ctx, conn);
        }
        sl_watch(ctx);
    }
}

/* A SYN went unanswered: only from now on connectTimeout costs anything. The kernel ends the next wait at the timeout,
 * which runs from the first SYN. */
static __always_inline void sl_unanswered(struct bpf_sock_ops* ctx) {
    struct sl_conn* conn = sl_conn_of(ctx);
    if (conn && sl_load(&conn->outcome) == SL_REASON_NONE && !(conn->tcp_flags & SL_CONN_TCP_TIMEOUT_SET)) {
        sl_timeout_set(ctx, conn);
    }
}

static __always_inline void sl_syn_timer(struct bpf_sock_ops* ctx) {
    const struct sl_conn* conn = sl_conn_of(ctx);
    if (conn && conn->connect_timeout_ms && conn->connect_timeout_ms < SL_SYN_TIMER_MS) {
        const __u32 ticks = conn->connect_timeout_ms * ticks_per_second / 1000;
        ctx->reply = ticks ? ticks : 1;
    }
}

/* Watches the connection from its first octet on. 1: there is a stream for it. */
static __always_inline int sl_stream_open(struct bpf_sock_ops* ctx, struct bpf_sock* sk, const struct sl_conn* conn,
                                          __u64 observe) {
    struct sl_stream* stream = bpf_sk_storage_get(&streams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!stream) {
        sl_count_unobserved(conn->workload, conn->cluster, conn->destination_workload, SL_REASON_UNOBSERVED_NO_STORAGE);
        return 0;
    }
    stream->workload = conn->workload;
    stream->cluster = conn->cluster;
    stream->endpoint = conn->endpoint;
    stream->destination_workload = conn->destination_workload;
    stream->observe = observe;
    stream->cookie = bpf_get_socket_cookie(ctx);
    sl_stream_start(stream, ctx->snd_una, ctx->rcv_nxt);
    if (ctx->bytes_acked > 1) { /* TCP Fast Open: octets left with the SYN */
        sl_unobserve(stream, SL_REASON_UNOBSERVED_GAP);
    }
    return 1;
}

static __always_inline int sl_observe(struct bpf_sock_ops* ctx, const struct sl_tables* t, const struct sl_conn* conn) {
    struct bpf_sock* sk = ctx->sk;
    const __u64 observe = sl_load(&t->control->observe);
    return sk && observe && (conn->tcp_flags & SL_CONN_HTTP) && sl_stream_open(ctx, sk, conn, observe);
}

static __always_inline void sl_established(struct bpf_sock_ops* ctx) {
    struct sl_conn* conn = sl_conn_of(ctx);
    if (!conn) {
        return;
    }
    if (sl_watch(ctx)) {
        conn->tcp_flags |= SL_CONN_TCP_UNWATCHED; /* someone took it away since the start, and may again */
    }
    sl_timeout_restore(ctx, conn);
    sl_keepalive_set(ctx, conn);
    if (sl_cas(&conn->outcome, SL_REASON_NONE, SL_REASON_ESTABLISHED) != SL_REASON_NONE) {
        return;
    }
    sl_count(SL_REASON_ESTABLISHED);
    conn->established_ns = bpf_ktime_get_ns();
    const __u64 took = conn->established_ns - conn->started_ns;
    struct sl_flow* flow = sl_conn_flow(conn, SL_REASON_ESTABLISHED);
    if (flow) {
        sl_add(&flow->opened, 1);
        sl_add(&flow->connect_ns, took);
        sl_add(&flow->connect_latency[sl_latency_bucket(took)], 1);
    }
    struct sl_tables t = {};
    if (!sl_tables_health(&t)) {
        return;
    }
    /* Where answers are watched, only an answer ends a run of failures. */
    if (sl_observe(ctx, &t, conn) && (conn->tcp_flags & SL_CONN_ANSWERS)) {
        sl_outlier_connected(&t, conn->endpoint);
    } else {
        sl_outlier_success(&t, conn->cluster, conn->endpoint);
    }
}

/* Octets of the application, without the sequence numbers that SYN and FIN take. Our FIN was acknowledged when nothing
 * that was written is unacknowledged; the peer's was received when the socket says so. */
static __always_inline __u64 sl_sent(struct bpf_sock_ops* ctx, struct tcp_sock* tp, __u32 state) {
    __u64 sent = ctx->bytes_acked;
    const int fin_queued = state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_FIN_WAIT2 || state == BPF_TCP_CLOSING ||
                           state == BPF_TCP_LAST_ACK;
    const __u64 extra = 1 + (fin_queued && ctx->snd_una == tp->write_seq);
    return sent > extra ? sent - extra : 0;
}

static __always_inline __u64 sl_received(struct bpf_sock_ops* ctx, struct tcp_sock* tp) {
    const __u64 received = ctx->bytes_received;
    return received - (received && sl_fin_received(tp));
}

static __always_inline void sl_conn_ended(struct sl_conn* conn, struct sl_flow* flow, __u64 now_ns) {
    if (!sl_xchg(&conn->closed, 1)) {
        sl_add(&flow->closed, 1);
        sl_add(&flow->duration_ns, now_ns - conn->established_ns);
    }
}

/* The end of an established connection. */
static __always_inline void sl_closed(struct bpf_sock_ops* ctx, struct sl_conn* conn, struct tcp_sock* tp, __u32 state,
                                      __u64 now_ns) {
    struct sl_flow* flow = sl_conn_flow(conn, SL_REASON_ESTABLISHED);
    if (!flow) {
        return;
    }
    const __u64 sent = sl_sent(ctx, tp, state);
    const __u64 received = sl_received(ctx, tp);
    sl_add(&flow->sent_bytes, sent - sl_xchg(&conn->sent_bytes, sent));
    sl_add(&flow->received_bytes, received - sl_xchg(&conn->received_bytes, received));
    sl_conn_ended(conn, flow, now_ns);
    sl_add(&flow->srtt_us, ctx->srtt_us >> 3);
    if (ctx->total_retrans) {
        sl_add(&flow->retransmits, ctx->total_retrans);
    }
}

/* How a request that is under way ends with its connection: by the drain, by the endpoint, or by the client. */
static __always_inline __u32 sl_who_ended(const struct sl_stream* stream, __u32 state, __u32 sk_err) {
    if (sk_err == SL_ERR_CONNABORTED) { /* SOCK_DESTROY */
        return (sl_load(&stream->gate) & (SL_GATE_CLOSED | SL_GATE_WANTED)) ? SL_REASON_DRAINED
                                                                            : SL_REASON_DOWNSTREAM_CLOSED;
    }
    return sk_err || state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_LAST_ACK ? SL_REASON_UPSTREAM_CLOSED
                                                                              : SL_REASON_DOWNSTREAM_CLOSED;
}

/* Nothing is watched any more; a request that is under way is counted. */
static __always_inline void sl_stream_close(const struct sl_tables* t, struct sl_stream* stream, __u32 state,
                                            __u32 sk_err) {
    __u32 reason = sl_who_ended(stream, state, sk_err);
    const int under_way = stream->observe == sl_load(&t->control->observe) && sl_stream_ends(stream, &reason);
    sl_store(&stream->watched, SL_STREAM_OFF);
    if (under_way) {
        sl_finish(stream, reason, bpf_ktime_get_ns());
    }
}

/* The first close of a connection does the work; a reconnect writes a new attempt. */
static __always_inline void sl_to_close(struct bpf_sock_ops* ctx, __u32 state) {
    struct sl_conn* conn = sl_conn_of(ctx);
    struct bpf_sock* sk = ctx->sk;
    struct sl_tables t = {};
    if (!conn || !sk || !sl_tables_health(&t)) {
        return;
    }
    if (conn->outcome == SL_REASON_CAPTURED) {
        sl_capture_closed(ctx, conn, state);
        return;
    }
    struct tcp_sock* tp = sl_tcp(sk);
    if (!tp) {
        return;
    }
    const __u64 now = bpf_ktime_get_ns();
    struct sl_stream* stream = (conn->tcp_flags & SL_CONN_HTTP) ? bpf_sk_storage_get(&streams, sk, 0, 0) : 0;
    if (stream) {
        sl_stream_close(&t, stream, state, sl_sk_err(tp));
    }
    sl_timeout_restore(ctx, conn);
    sl_conn_release(&t, conn);
    if (sl_load(&conn->outcome) == SL_REASON_ESTABLISHED) {
        sl_closed(ctx, conn, tp, state, now);
    } else if (!(conn->tcp_flags & SL_CONN_TCP_STARTED) || !ctx->segs_out) {
        sl_conn_failed(&t, conn, SL_REASON_LOCAL_ERROR, now);
    } else {
        sl_conn_failed(&t, conn, sl_failure_reason(sl_sk_err(tp)), now);
    }
    conn->generation = 0;
}

SEC("sockops")
int sl_sockops(struct bpf_sock_ops* ctx) {
    switch (ctx->op) {
        case BPF_SOCK_OPS_TIMEOUT_INIT:
            sl_syn_timer(ctx);
            break;
        case BPF_SOCK_OPS_TCP_CONNECT_CB:
            sl_started(ctx);
            break;
        case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
            sl_established(ctx);
            break;
        case BPF_SOCK_OPS_RTO_CB:
            sl_unanswered(ctx);
            break;
        case BPF_SOCK_OPS_STATE_CB:
            if (ctx->args[1] == BPF_TCP_CLOSE) {
                sl_to_close(ctx, ctx->args[0]);
            }
            break;
        default:
            break;
    }
    return 1;
}

/* The last descriptor of the socket is closed. An established connection lives on until its state is CLOSE; its place
 * is free from now on. What nobody will tell us later is settled here: a connect that never came to TCP, and a
 * connection whose callback another program took away. */
SEC("cgroup/sock_release")
int sl_sock_release(struct bpf_sock* ctx) {
    struct sl_conn* conn = bpf_sk_storage_get(&conns, ctx, 0, 0);
    struct sl_tables t = {};
    if (!conn || !conn->generation || !sl_tables_health(&t)) {
        return 1;
    }
    sl_conn_release(&t, conn);
    struct sl_stream* stream = (conn->tcp_flags & SL_CONN_HTTP) ? bpf_sk_storage_get(&streams, ctx, 0, 0) : 0;
    if (stream) {
        sl_stream_close(&t, stream, ctx->state, 0); /* nobody is left to take the answer */
    }
    const __u32 outcome = sl_load(&conn->outcome);
    if (outcome == SL_REASON_NONE) {
        const int trying = ctx->state == BPF_TCP_SYN_SENT || ctx->state == BPF_TCP_SYN_RECV;
        const int started = conn->tcp_flags & SL_CONN_TCP_STARTED;
        sl_conn_failed(&t, conn, trying || started ? SL_REASON_CANCELLED : SL_REASON_LOCAL_ERROR, bpf_ktime_get_ns());
    } else if (outcome == SL_REASON_ESTABLISHED && (conn->tcp_flags & SL_CONN_TCP_UNWATCHED)) {
        struct sl_flow* flow = sl_conn_flow(conn, SL_REASON_ESTABLISHED);
        if (flow) {
            sl_conn_ended(conn, flow, bpf_ktime_get_ns());
        }
    }
    return 1;
}
