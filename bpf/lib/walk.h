/* The way through a segment of a watched connection, window by window: what is body is passed over unseen, the rest is
 * copied and scanned; heads are dealt with as they end. Early octets take the same way when it is their turn.
 */
#ifndef SLUICE_BPF_LIB_WALK_H
#define SLUICE_BPF_LIB_WALK_H

#include "stash.h"
#include "track.h"

/* `watched` of a stream that belongs to no open connection. */
#define SL_STREAM_OFF 0xffffffffu
/* `method` holds enum sl_method + 1 once the request's head is known. */
#define SL_STREAM_METHOD_UNKNOWN 0u

struct sl_stream {
    /* What both sides touch for each request: one cache line, as storage begins 8 octets behind one. */
    __u32 watched; /* SL_REASON_NONE: yes; UNOBSERVED_*: why not; SL_STREAM_OFF */
    __u32 gate;
    __u32 lock;     /* of the answers' side */
    __u32 workload; /* copied from the connection when it was established */
    __u32 cluster;
    __u32 endpoint;
    __u32 destination_workload;
    __u16 status; /* of the request under way; 0: no final head yet */
    __u8 method;
    __u8 _pad;
    __u64 started_ns;
    __u64 request_bytes; /* of the request under way, when it is whole */
    __u64 first_byte_ns; /* of the final answer; 0: not yet */
    /* The answers' side alone, or seldom. */
    __u64 requests;    /* finished; written by who finishes */
    __u64 answered_ns; /* the answer was whole before the request was */
    __u64 closed_ns;   /* when the gate closed */
    __u64 cookie;
    __u64 observe; /* control.observe when it was made */
    struct sl_track received;
    struct sl_track sent;
};

/* The way through a segment, or through kept octets, window by window. */
struct sl_walk {
    __u64 now_ns;  /* as in sl_segment */
    __u64 at;      /* in the segment's source, or in the stash */
    __u64 left;    /* octets that were not looked at */
    __u32 stashed; /* the octets are in the stash */
    __u32 unsure;
    __u32 status;
    __u32 upgraded;
};

/* What the loop over windows works on; on the caller's stack. */
struct sl_walker {
    sl_source* source;
    struct sl_stream* stream;
    struct sl_walk walk;
};

static __always_inline void sl_walk_start(struct sl_walker* walker, sl_source* source, struct sl_stream* stream,
                                          const struct sl_segment* seg) {
    walker->source = source;
    walker->stream = stream;
    walker->walk.now_ns = seg->now_ns;
    walker->walk.at = 0;
    walker->walk.left = 0;
    walker->walk.stashed = 0;
    walker->walk.unsure = SL_REASON_NONE;
    walker->walk.status = 0;
    walker->walk.upgraded = 0;
}

/* A request's head is whole. */
static __always_inline enum sl_http_found sl_stream_asked_head(struct sl_stream* stream) {
    const __u8 method = stream->sent.scan.method;
    sl_store(&stream->method, (__u8)(method + 1));
    return sl_http_body(&stream->sent.scan, 0, method == SL_METHOD_CONNECT);
}

/* An answer's head is whole. */
static __always_inline enum sl_http_found sl_stream_answer_head(struct sl_stream* stream, struct sl_walk* walk) {
    const __u16 status = stream->received.scan.status;
    const __u8 method = sl_load(&stream->method);
    if (method == SL_STREAM_METHOD_UNKNOWN) {
        walk->unsure = SL_REASON_UNOBSERVED_UNASKED; /* answered before the question was put */
        return SL_HTTP_UNSURE;
    }
    if (status >= 100 && status < 200 && status != 101) {
        stream->first_byte_ns = walk->left ? SL_SEGMENT_TIME(walk) : 0;
        return sl_http_body(&stream->received.scan, 1, 0);
    }
    stream->status = status;
    walk->status = status;
    if (status == 101 || (method == SL_METHOD_CONNECT + 1 && status >= 200 && status < 300)) {
        walk->upgraded = 1;
        return SL_HTTP_END;
    }
    return sl_http_body(&stream->received.scan, 1, method == SL_METHOD_HEAD + 1);
}

/* Copies the next `length` octets into the scratch window; 0: done. */
static __always_inline int sl_walk_load(sl_source* source, struct sl_track* track, const struct sl_walk* walk,
                                        __u32 length, int response) {
    if (!response || !walk->stashed) {
        return (int)SL_PAYLOAD_LOAD(source, (__u32)walk->at, track->window, length);
    }
    const struct sl_stash* stash = sl_stash_of(track);
    if (!stash) {
        return -1; /* waited too long */
    }
    sl_stash_window(stash, walk->at, track->window);
    return 0;
}

/* Passes over what is body, unseen. */
static __always_inline enum sl_http_found sl_walk_pass(struct sl_track* track, struct sl_walk* walk) {
    enum sl_http_found found = SL_HTTP_MORE;
    const __u64 passed = sl_http_skip(&track->scan, walk->left, &found);
    walk->left -= passed;
    walk->at += passed;
    track->next += (__u32)passed;
    track->bytes += passed;
    return found;
}

/* Copies as much as fits of what is left into the scratch window, and scans it. */
static __always_inline enum sl_http_found sl_walk_scan(sl_source* source, struct sl_stream* stream,
                                                       struct sl_track* track, struct sl_walk* walk, int response) {
    __u64 length = walk->left;
    if (length > SL_HTTP_WINDOW) {
        length = SL_HTTP_WINDOW;
    }
    /* 1..SL_HTTP_WINDOW, also to the verifier of 6.1. */
    sl_opaque(length);
    length = ((length - 1) & (SL_HTTP_WINDOW - 1)) + 1;
    if (sl_walk_load(source, track, walk, (__u32)length, response)) {
        walk->unsure = SL_REASON_UNOBSERVED_GAP;
        return SL_HTTP_UNSURE;
    }
    __u32 used = 0;
    enum sl_http_found found = sl_http_scan(&track->scan, response, track->window, (__u32)length, &used);
    track->next += used;
    track->bytes += used;
    walk->left -= used;
    walk->at += used;
    if (found == SL_HTTP_HEAD) {
        found = response ? sl_stream_answer_head(stream, walk) : sl_stream_asked_head(stream);
    }
    if (found == SL_HTTP_UNSURE && !walk->unsure) {
        walk->unsure = track->scan.unsure;
    }
    return found;
}

/* One window, and the body around it. 1: done. */
static __always_inline int sl_walk_window(sl_source* source, struct sl_stream* stream, struct sl_track* track,
                                          struct sl_walk* walk, int response) {
    enum sl_http_found found = sl_walk_pass(track, walk);
    if (found == SL_HTTP_MORE && walk->left) {
        found = sl_walk_scan(source, stream, track, walk, response);
        if (found == SL_HTTP_MORE) {
            found = sl_walk_pass(track, walk);
        }
    }
    track->ended = found == SL_HTTP_END;
    return found != SL_HTTP_MORE || walk->left == 0;
}

SL_FUNCTION int sl_sent_window(sl_source* source, struct sl_stream* stream, struct sl_walk* walk) {
    return !stream || !walk || sl_walk_window(source, stream, &stream->sent, walk, 0);
}

SL_FUNCTION int sl_received_window(sl_source* source, struct sl_stream* stream, struct sl_walk* walk) {
    return !stream || !walk || sl_walk_window(source, stream, &stream->received, walk, 1);
}

SL_STEP sl_walk_sent(__u32 i, void* data) {
    struct sl_walker* walker = (struct sl_walker*)data;
    (void)i;
    return sl_sent_window(walker->source, walker->stream, &walker->walk) & 1; /* the verifier asks for 0 or 1 */
}

SL_STEP sl_walk_received(__u32 i, void* data) {
    struct sl_walker* walker = (struct sl_walker*)data;
    (void)i;
    return sl_received_window(walker->source, walker->stream, &walker->walk) & 1;
}

/* Looks at walk->left octets. Returns UNOBSERVED_* or NONE. */
static __always_inline __u32 sl_walk_all(struct sl_walker* walker, const struct sl_track* track, int response) {
    const struct sl_walk* walk = &walker->walk;
    if (track->ended) {
        return response ? SL_REASON_UNOBSERVED_UNASKED : SL_REASON_UNOBSERVED_PIPELINED;
    }
    /* Mostly one call does; each turn of a loop costs another. */
    if (response) {
        if (!sl_received_window(walker->source, walker->stream, &walker->walk)) {
            SL_LOOP(SL_TRACK_STEPS, sl_walk_received, walker);
        }
    } else if (!sl_sent_window(walker->source, walker->stream, &walker->walk)) {
        SL_LOOP(SL_TRACK_STEPS, sl_walk_sent, walker);
    }
    if (walk->unsure) {
        return walk->unsure;
    }
    return walk->left && !track->ended ? SL_REASON_UNOBSERVED_BUSY : SL_REASON_NONE;
}

/* Octets came before those that must be read first. */
static __always_inline __u32 sl_stream_early(sl_source* source, struct sl_track* track, struct sl_segment* seg,
                                             int response) {
    track->disordered = 1;
    const int kept = response ? sl_stash_keep(source, track, seg) : 0;
    if (kept > 0) {
        return SL_REASON_NONE;
    }
    if (kept < 0 || sl_track_keep_early(track, seg->seq, seg->seq + seg->length)) {
        return SL_REASON_UNOBSERVED_GAP;
    }
    return SL_REASON_NONE;
}

/* A run of kept octets: is it its turn? */
SL_STEP sl_unstash_step(__u32 i, void* data) {
    struct sl_walker* walker = (struct sl_walker*)data;
    struct sl_track* track = &walker->stream->received;
    struct sl_interval* run = &track->kept[i % SL_TRACK_KEPT];
    const __u32 end = run->end;
    if (run->begin == end || sl_before(track->next, run->begin)) {
        return 0;
    }
    run->begin = end;
    if (!sl_before(track->next, end)) {
        return 0;
    }
    walker->walk.stashed = 1;
    walker->walk.at = track->next - track->stash_begin;
    walker->walk.left = end - track->next;
    walker->walk.unsure = sl_walk_all(walker, track, 1);
    return walker->walk.unsure != SL_REASON_NONE;
}

/* Those that came early, in whatever order their turns are. */
static __always_inline __u32 sl_stream_settle(struct sl_walker* walker, struct sl_track* track, int response) {
    if (sl_track_settle(track)) {
        return SL_REASON_UNOBSERVED_GAP;
    }
    if (!response || !track->stash_owner) {
        return SL_REASON_NONE;
    }
    /* Twice, as the first may lead to the second in either order. */
    SL_LOOP(2 * SL_TRACK_KEPT, sl_unstash_step, walker);
    if (walker->walk.unsure) {
        return walker->walk.unsure;
    }
    if (!sl_track_keeps(track)) {
        sl_stash_give_back(track);
    }
    return sl_track_settle(track) ? SL_REASON_UNOBSERVED_GAP : SL_REASON_NONE;
}

/* Takes a segment in: finds its place, looks at what is new. Returns UNOBSERVED_* or NONE. */
static __always_inline __u32 sl_stream_walk(struct sl_walker* walker, struct sl_track* track, struct sl_segment* seg,
                                            int response) {
    __u32 known = 0;
    if (seg->seq != track->next || track->disordered) {
        const int place = sl_track_place(track, seg->seq, seg->length);
        if (place == SL_TRACK_EARLY) {
            return sl_stream_early(walker->source, track, seg, response);
        }
        if (place < 0) {
            return SL_REASON_UNOBSERVED_GAP;
        }
        known = (__u32)place;
    }
    if (known < seg->length) {
        walker->walk.at = seg->offset + known;
        walker->walk.left = seg->length - known;
        const __u32 unobserved = sl_walk_all(walker, track, response);
        if (unobserved) {
            return unobserved;
        }
    }
    if (!track->disordered) {
        return SL_REASON_NONE;
    }
    return sl_stream_settle(walker, track, response);
}

#endif
