/* A request's end, and a connection's that can be watched no longer: what is counted, reported, and drained. */
#ifndef SLUICE_BPF_PROGS_REQUESTS_H
#define SLUICE_BPF_PROGS_REQUESTS_H

#include "account.h"
#include "lib/histogram.h"
#include "lib/pick.h"
#include "lib/slots.h"
#include "maps/requests.h"
#include "maps/streams.h"
#include "maps/tables.h"

/* An agent that did not tick for so long comes to no gate. */
#define SL_HEARTBEAT_MAX_NS 1000000000ull

static __always_inline __u8 sl_request_shard(void) {
    return (__u8)(bpf_get_smp_processor_id() % SL_REQUEST_SHARDS);
}

/* The row of these counters; the overflow row when there is no room. 0 only when even that is missing. */
static __always_inline struct sl_request_counts* sl_request_row(struct sl_request_key* key) {
    struct sl_request_counts* row = bpf_map_lookup_elem(&requests, key);
    if (row) {
        return row;
    }
    static const struct sl_request_counts fresh;
    bpf_map_update_elem(&requests, key, &fresh, BPF_NOEXIST);
    row = bpf_map_lookup_elem(&requests, key);
    if (row) {
        return row;
    }
    sl_count(SL_REASON_REQUESTS_FULL);
    struct sl_request_key overflow = SL_REQUEST_KEY_OVERFLOW;
    return bpf_map_lookup_elem(&requests, &overflow);
}

/* A connection of an HTTP port that is not watched. */
SL_FUNCTION int sl_count_unobserved(__u32 workload, __u32 cluster, __u32 destination_workload, __u32 why) {
    struct sl_request_key key = {.workload = workload,
                                 .cluster = cluster,
                                 .destination_workload = destination_workload,
                                 .reason = (__u8)why,
                                 .shard = sl_request_shard()};
    sl_count(why);
    struct sl_request_counts* row = sl_request_row(&key);
    if (row) {
        sl_add(&row->requests, 1);
    }
    return 0;
}

/* The connection can be watched no longer. When no answer was seen on it, nobody will ever tell of its answers, and
 * that it was established must end the run of failures. */
SL_FUNCTION int sl_unobserve(struct sl_stream* stream, __u32 why) {
    if (!stream || !sl_stream_leave(stream, why)) {
        return 0;
    }
    sl_count_unobserved(stream->workload, stream->cluster, stream->destination_workload, why);
    struct sl_tables t = {};
    if (!stream->requests && !stream->status && sl_tables_health(&t)) {
        sl_outlier_success(&t, stream->cluster, stream->endpoint);
    }
    return 0;
}

/* The health words of the stream's endpoint. 0: cannot happen, the verifier asks. */
static __always_inline struct sl_health* sl_health_of(const struct sl_stream* stream) {
    struct sl_health* healths = SL_TABLE_VALUE(health);
    __u64 endpoint = stream->endpoint;
    sl_opaque(endpoint);
    if (!healths || endpoint >= endpoint_rows) {
        return 0;
    }
    sl_bounded(endpoint, endpoint_rows);
    return healths + endpoint;
}

/* 0: an answer that changes nothing, as nearly all do. */
static __always_inline int sl_answer_matters(const struct sl_stream* stream, __u32 status) {
    struct sl_health* health = sl_health_of(stream);
    return status >= 500 || !health || sl_load(&health->consecutive_5xx) || sl_load(&health->consecutive_gateway) ||
           sl_load(&health->consecutive_local);
}

/* The status of a final answer. */
SL_FUNCTION int sl_answered(struct sl_stream* stream, __u32 status, __u64 now_ns) {
    struct sl_tables t = {};
    struct sl_event event = {};
    if (stream && sl_tables_health(&t) &&
        sl_outlier_answer(&t, stream->cluster, stream->endpoint, status, now_ns, &event)) {
        sl_emit(&event);
    }
    return 0;
}

/* The endpoint ended the connection before its answer was whole. */
SL_FUNCTION int sl_upstream_closed(struct sl_stream* stream, __u64 now_ns) {
    struct sl_tables t = {};
    struct sl_event event = {};
    if (stream && sl_tables_health(&t) &&
        sl_outlier_failure(&t, stream->cluster, stream->endpoint, SL_FAILURE_CONNECT, now_ns, &event)) {
        sl_emit(&event);
    }
    return 0;
}

/* 1: connections to an ejected endpoint of this cluster are drained. Not while so few are healthy that health is
 * ignored: the client would land on an ejected endpoint again. */
SL_FUNCTION int sl_ejection_drains(__u32 cluster) {
    struct sl_tables t = {};
    if (!sl_tables_health(&t)) {
        return 0;
    }
    struct sl_cluster* record = sl_cluster_at(&t, cluster);
    const struct sl_cluster_row* policy = record ? sl_outlier_policy(&t, record) : 0;
    return policy && (policy->flags & (SL_CLUSTER_DRAIN_IDLE | SL_CLUSTER_DRAIN_NOW)) &&
           !sl_panics(policy, sl_load(&record->ejected));
}

/* What becomes of the gate when an answer is whole. */
static __always_inline enum sl_gate_wish sl_gate_wish(const struct sl_stream* stream, const struct sl_control* c,
                                                      __u64 now_ns) {
    if ((__s64)(now_ns - sl_load(&c->heartbeat_ns)) > (__s64)SL_HEARTBEAT_MAX_NS) {
        return SL_GATE_OPEN;
    }
    struct sl_health* health = sl_health_of(stream);
    const int drain = health && sl_outlier_is_out(health, now_ns) && sl_ejection_drains(stream->cluster);
    return drain ? SL_GATE_CLOSE : SL_GATE_AS_WANTED;
}

SL_FUNCTION int sl_report_sample(const struct sl_stream* stream, const struct sl_finished* done, __u32 reason,
                                 __u64 now_ns) {
    if (!stream || !done) {
        return 0;
    }
    struct sl_sample sample = {
        .time_ns = now_ns,
        .duration_ns = done->duration_ns,
        .first_byte_ns = done->first_byte_ns,
        .request_bytes = done->request_bytes,
        .response_bytes = done->response_bytes,
        .cookie = stream->cookie,
        .workload = stream->workload,
        .cluster = stream->cluster,
        .endpoint = stream->endpoint,
        .destination_workload = stream->destination_workload,
        .status = done->status,
        .reason = (__u8)reason,
        .method = done->method,
    };
    if (bpf_ringbuf_output(&samples, &sample, sizeof(sample), BPF_RB_NO_WAKEUP)) {
        sl_count(SL_REASON_SAMPLES_LOST);
    }
    return 0;
}

static __always_inline void sl_count_in(struct sl_request_counts* row, const struct sl_finished* done) {
    /* By atomics: CPUs may share a shard, and softirqs a CPU. */
    sl_add(&row->requests, 1);
    sl_add(&row->duration_ns, done->duration_ns);
    sl_add(&row->request_bytes, done->request_bytes);
    sl_add(&row->response_bytes, done->response_bytes);
    const __u64 duration = sl_histogram_duration(done->duration_ns);
    sl_add(&row->duration[duration], 1);
    sl_add(&row->request_size[sl_histogram_bytes(done->request_bytes)], 1);
    sl_add(&row->response_size[sl_histogram_bytes(done->response_bytes)], 1);
    if (done->status) {
        sl_add(&row->first_byte_ns, done->first_byte_ns);
        sl_add(&row->first_byte[sl_histogram_duration(done->first_byte_ns)], 1);
    }
}

/* The slot is not the key's: takes it when it is free, else counts in the map. */
SL_FUNCTION int sl_count_anew(struct sl_request_slot* slot, const struct sl_finished* done, __u64 who, __u64 what) {
    const struct sl_slot_key key = {who, what};
    if (!slot || !done) {
        return 0;
    }
    if (sl_slot_claim(slot, key)) {
        sl_count_in(&slot->counts, done);
        return 0;
    }
    struct sl_request_key in_map = sl_slot_request_key(key);
    struct sl_request_counts* row = sl_request_row(&in_map);
    if (row) {
        sl_count_in(row, done);
    }
    return 0;
}

static __always_inline void sl_count_request(const struct sl_stream* stream, const struct sl_finished* done,
                                             __u32 reason) {
    const struct sl_slot_key key = sl_slot_key_of(stream->workload, stream->cluster, stream->destination_workload,
                                                  done->status, (__u8)reason, sl_request_shard());
    struct sl_request_slot* slots = SL_TABLE_VALUE(request_slots);
    struct sl_request_slot* slot = slots ? sl_slot_at(slots, request_slot_rows, key) : 0;
    if (!slot) {
        return; /* cannot happen, the verifier asks */
    }
    if (sl_slot_holds(slot, key)) {
        sl_count_in(&slot->counts, done);
    } else {
        sl_count_anew(slot, done, key.who, key.what);
    }
}

/* The gate closed behind an answer: the agent may end the connection. */
SL_FUNCTION int sl_tell_gated(const struct sl_stream* stream, __u64 now_ns) {
    if (!stream) {
        return 0;
    }
    struct sl_event event = {
        .time_ns = now_ns, .kind = SL_EVENT_GATED, .cluster = stream->cluster, .endpoint = stream->endpoint};
    sl_emit(&event);
    return 0;
}

/* The request under way is over: counts it, unless another CPU did. `reason` as in sl_request_key. */
SL_FUNCTION int sl_finish(struct sl_stream* stream, __u32 reason, __u64 now_ns) {
    const struct sl_control* c = SL_TABLE_VALUE(control);
    if (!stream || !c) {
        return 0;
    }
    struct sl_finished done = {};
    int closed = 0;
    if (!sl_stream_finish(stream, now_ns, sl_gate_wish(stream, c, now_ns), &done, &closed)) {
        return 0;
    }
    sl_count_request(stream, &done, reason);
    if (now_ns < sl_load(&c->sample_until_ns)) {
        sl_report_sample(stream, &done, reason, now_ns);
    }
    if (reason == SL_REASON_UPSTREAM_CLOSED) {
        sl_upstream_closed(stream, now_ns);
    } else if (closed && reason == SL_REASON_NONE) {
        sl_tell_gated(stream, now_ns);
    }
    return 0;
}

#endif
