/* A watched connection: which request is under way, how far it and its answer have come, and when it is to be counted.
 *
 * Egress calls sl_stream_sent, one segment at a time (the socket's lock sees to that); ingress sl_stream_received, one
 * at a time (the caller's lock); both may run at the same time, and with the end of the connection. What they share is
 * the gate word (gate.h) and the words that the request's side writes before the answer's side can read them: a
 * request is begun and its head known before its answer can come, and an answer is whole before the next request can
 * begin. A client that does not wait (pipelining) is told apart by the gate and no longer watched.
 */
#ifndef SLUICE_BPF_LIB_STREAM_H
#define SLUICE_BPF_LIB_STREAM_H

#include "gate.h"
#include "walk.h"

/* What a segment brought about; zero first. */
struct sl_news {
    __u32 unobserved; /* UNOBSERVED_*: the connection can be watched no longer; after `finished` has been dealt with */
    __u32 status;     /* a final head is whole: its status */
    __u32 finished;   /* 1: count the request, `reason` says how it ended */
    __u32 reason;
};

/* A finished request, copied out before the gate lets the next one begin. */
struct sl_finished {
    __u64 duration_ns;
    __u64 first_byte_ns; /* since the start; 0: no status */
    __u64 request_bytes;
    __u64 response_bytes;
    __u16 status;
    __u8 method; /* enum sl_method */
    __u8 _pad[5];
};

static __always_inline void sl_stream_start(struct sl_stream* stream, __u32 snd_next, __u32 rcv_next) {
    sl_track_start(&stream->sent, snd_next);
    sl_track_start(&stream->received, rcv_next);
    stream->lock = 0;
    stream->status = 0;
    stream->method = SL_STREAM_METHOD_UNKNOWN;
    stream->request_bytes = 0;
    stream->closed_ns = 0;
    stream->requests = 0;
    stream->started_ns = 0;
    stream->first_byte_ns = 0;
    stream->answered_ns = 0;
    sl_store(&stream->gate, 0);
    sl_store(&stream->watched, SL_REASON_NONE);
}

/* 1: by this call the connection is no longer watched, and the caller counts why. */
static __always_inline int sl_stream_leave(struct sl_stream* stream, __u32 why) {
    return sl_cas(&stream->watched, SL_REASON_NONE, why) == SL_REASON_NONE;
}

/* The first octet of a request. What the answer's side reads is there before the gate says so. */
static __always_inline enum sl_gate_begun sl_stream_begin(struct sl_stream* stream, __u64 now_ns) {
    if (sl_load(&stream->gate) & SL_GATE_BUSY) {
        return SL_GATE_TAKEN;
    }
    stream->started_ns = now_ns;
    stream->first_byte_ns = 0;
    stream->status = 0;
    sl_store(&stream->method, (__u8)SL_STREAM_METHOD_UNKNOWN);
    return sl_gate_begin(&stream->gate, &stream->closed_ns, now_ns);
}

/* New octets begin a request: the first, or one after a request that is whole and answered. The answers' side leaves
 * `sent` alone, so that its cache line stays where requests are sent. */
static __always_inline int sl_stream_is_next(const struct sl_stream* stream) {
    const struct sl_track* track = &stream->sent;
    return !track->under_way || (track->ended && !track->disordered && !(sl_load(&stream->gate) & SL_GATE_BUSY));
}

/* A segment of the client's leaves. 0: it must be held back, the gate is closed. */
static __always_inline int sl_stream_sent(sl_source* source, struct sl_stream* stream, struct sl_segment* seg,
                                          struct sl_news* news) {
    struct sl_track* track = &stream->sent;
    if (sl_before(track->next, seg->seq + seg->length) && sl_stream_is_next(stream)) {
        const enum sl_gate_begun begun = sl_stream_begin(stream, SL_SEGMENT_TIME(seg));
        if (begun == SL_GATE_SHUT) {
            return 0;
        }
        if (begun == SL_GATE_TAKEN) {
            news->unobserved = SL_REASON_UNOBSERVED_PIPELINED;
            return 1;
        }
        sl_track_next_message(track);
        track->under_way = 1;
    }
    struct sl_walker walker;
    sl_walk_start(&walker, source, stream, seg);
    news->unobserved = sl_stream_walk(&walker, track, seg, 0);
    if (news->unobserved || !track->ended) {
        return 1;
    }
    if (walker.walk.left) {
        news->unobserved = SL_REASON_UNOBSERVED_PIPELINED;
    }
    if (!track->disordered) {
        stream->request_bytes = track->bytes;
        news->finished = sl_gate_reach(&stream->gate, SL_GATE_ASKED);
    }
    return 1;
}

/* The server has sent all that it will. */
static __always_inline void sl_stream_over(struct sl_stream* stream, struct sl_news* news) {
    struct sl_track* track = &stream->received;
    const __u32 gate = sl_load(&stream->gate);
    if (!(gate & SL_GATE_BUSY) || (gate & SL_GATE_ANSWERED)) {
        return;
    }
    if (track->under_way && track->scan.left == SL_HTTP_UNTIL_CLOSE) {
        track->ended = 1;
        return;
    }
    news->finished = 1;
    news->reason = SL_REASON_UPSTREAM_CLOSED;
}

/* A segment of the server's has come: payload, a FIN, or both. */
static __always_inline void sl_stream_received(sl_source* source, struct sl_stream* stream, struct sl_segment* seg,
                                               struct sl_news* news) {
    struct sl_track* track = &stream->received;
    struct sl_walker walker;
    sl_walk_start(&walker, source, stream, seg);
    if (seg->length) {
        if (!track->under_way && sl_before(track->next, seg->seq + seg->length)) {
            if ((sl_load(&stream->gate) & (SL_GATE_BUSY | SL_GATE_ANSWERED)) != SL_GATE_BUSY) {
                news->unobserved = SL_REASON_UNOBSERVED_UNASKED;
                return;
            }
            track->under_way = 1;
        }
        if (!stream->first_byte_ns && !sl_before(track->next, seg->seq)) {
            stream->first_byte_ns = SL_SEGMENT_TIME(seg);
        }
        news->unobserved = sl_stream_walk(&walker, track, seg, 1);
        news->status = walker.walk.status;
        if (news->unobserved) {
            sl_stash_give_back(track);
            return;
        }
    }
    if (seg->fin) {
        track->fin = seg->seq + seg->length;
        track->fin_seen = 1;
    }
    if (!track->ended && sl_track_over(track)) {
        sl_stream_over(stream, news);
    }
    if (track->ended && !track->disordered) {
        const __u32 gate = sl_load(&stream->gate);
        if ((gate & SL_GATE_ASKED) || walker.walk.upgraded) { /* sl_stream_finish sees to it that it is counted once */
            news->finished = 1;
        } else if (!(gate & SL_GATE_ANSWERED)) {
            stream->answered_ns = SL_SEGMENT_TIME(seg);
            news->finished = sl_gate_reach(&stream->gate, SL_GATE_ANSWERED);
        }
    }
    if (walker.walk.upgraded) {
        news->unobserved = SL_REASON_UNOBSERVED_UPGRADED;
    } else if (track->ended && walker.walk.left) {
        news->unobserved = SL_REASON_UNOBSERVED_UNASKED;
    }
}

/* The connection ends. 1: a request was under way; *reason, which says who ended it, becomes NONE when its answer was
 * whole. */
static __always_inline int sl_stream_ends(struct sl_stream* stream, __u32* reason) {
    const __u32 gate = sl_load(&stream->gate);
    if (sl_load(&stream->watched) != SL_REASON_NONE || !(gate & SL_GATE_BUSY)) {
        return 0;
    }
    if (gate & SL_GATE_ANSWERED) {
        *reason = SL_REASON_NONE;
    }
    return 1;
}

/* Ends the request under way. 1: by this call, so the caller counts *done. `wish` and *closed as in sl_gate_finish. */
static __always_inline int sl_stream_finish(struct sl_stream* stream, __u64 now_ns, enum sl_gate_wish wish,
                                            struct sl_finished* done, int* closed) {
    const __u64 started = stream->started_ns;
    const __u32 gate = sl_load(&stream->gate);
    const __u64 end = (gate & SL_GATE_ANSWERED) ? stream->answered_ns : now_ns;
    done->status = stream->status;
    done->method = stream->method ? stream->method - 1 : SL_METHOD_OTHER;
    done->duration_ns = end > started ? end - started : 0;
    done->first_byte_ns = 0;
    if (done->status && stream->first_byte_ns > started) {
        done->first_byte_ns = stream->first_byte_ns - started;
    }
    done->request_bytes = (gate & SL_GATE_ASKED) ? stream->request_bytes : stream->sent.bytes;
    done->response_bytes = stream->received.bytes;
    if (!sl_gate_finish(&stream->gate, &stream->closed_ns, wish, now_ns, closed)) {
        return 0;
    }
    ++stream->requests;
    sl_track_next_message(&stream->received);
    return 1;
}

#endif
