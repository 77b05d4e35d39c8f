/* One direction of a watched connection: turns segments, as they pass a hook, into the bytes of messages for the
 * scanner. Segments may come twice, late, early or not at all.
 *
 * `next` is the sequence number of the first octet that was not looked at. What lies before it was scanned, or passed
 * over as body. Two kinds of intervals keep the exceptions:
 *   holes   before `next`: octets of a body that did not come yet. The message is whole only when they have come.
 *   early   after `next`: octets that came before their turn. Some are kept (stash.h); the others went by unseen: when
 *           their turn comes they must be body, else the connection can be followed no longer.
 * Sequence numbers wrap; all comparisons are of differences. One segment at a time for each struct sl_track.
 */
#ifndef SLUICE_BPF_LIB_TRACK_H
#define SLUICE_BPF_LIB_TRACK_H

#include "http1.h"
#include "loop.h"
#include "sluice/abi/reasons.h"
#include "tables.h"

/* Programs bring their own of these: sl_source is what carries the payload; SL_PAYLOAD_LOAD copies `length`
 * (1..SL_HTTP_WINDOW) octets at `offset` of the source, 0: done; SL_SEGMENT_TIME is when the segment passed, asked for
 * only where it matters, as the clock costs more than a line of a head. */
#ifndef SL_PAYLOAD_LOAD
typedef const void sl_source;
#define SL_SEGMENT_TIME(seg) ((seg)->now_ns)
#define SL_PAYLOAD_LOAD(source, offset, to, length) \
    (__builtin_memcpy((to), (const __u8*)(source) + (offset), (length)), 0)
#endif

#define SL_TRACK_HOLES 6u
#define SL_TRACK_EARLIES 2u
#define SL_TRACK_KEPT 2u
/* Octets further ahead than this are not of this connection's window. */
#define SL_TRACK_AHEAD_MAX (1u << 30)
/* Windows that one segment may take; a head, chunk sizes and trailers need them, bodies do not. */
#define SL_TRACK_STEPS 512u

struct sl_interval {
    __u32 begin; /* sequence numbers; empty when equal */
    __u32 end;
};

struct sl_track {
    struct sl_http_state scan;
    __u64 bytes; /* of the message under way */
    __u32 next;
    __u32 fin;       /* sequence number of the FIN */
    __u8 fin_seen;   /* `fin` is known */
    __u8 under_way;  /* the first octet of a message was seen */
    __u8 ended;      /* its last octet too, but for holes */
    __u8 disordered; /* there are holes or early octets */
    __u32 _pad;
    struct sl_interval holes[SL_TRACK_HOLES];
    struct sl_interval early[SL_TRACK_EARLIES];
    struct sl_interval kept[SL_TRACK_KEPT]; /* early octets in a stash (stash.h) */
    __u64 stash_owner;
    __u32 stash_slot;
    __u32 stash_begin;                 /* sequence number of the stash's first octet */
    __u8 window[SL_HTTP_WINDOW_SPACE]; /* scratch */
};

/* A segment's payload as the hook sees it. */
struct sl_segment {
    __u64 now_ns; /* CLOCK_MONOTONIC; in programs 0 until it is asked for */
    __u32 offset; /* of the payload in the source */
    __u32 length;
    __u32 seq; /* of the first octet */
    __u32 fin; /* 1: a FIN follows the payload */
};

/* Answers of the functions below. */
#define SL_TRACK_GAP (-1)
#define SL_TRACK_EARLY (-2)

static __always_inline void sl_track_start(struct sl_track* track, __u32 next) {
    __builtin_memset(track, 0, SL_OFFSETOF(sl_track, window));
    track->next = next;
}

/* After a whole message: the next octet begins another. */
static __always_inline void sl_track_next_message(struct sl_track* track) {
    track->bytes = 0;
    track->under_way = 0;
    track->ended = 0;
}

/* a is before b. */
static __always_inline int sl_before(__u32 a, __u32 b) {
    return (__s32)(a - b) < 0;
}

static __always_inline int sl_track_add(struct sl_interval* intervals, __u32 count, __u32 begin, __u32 end) {
    for (__u32 i = 0; i < count; ++i) {
        if (intervals[i].begin == intervals[i].end) {
            intervals[i].begin = begin;
            intervals[i].end = end;
            return 0;
        }
    }
    return SL_TRACK_GAP;
}

/* [begin, end) has come: no part of it is missing any more. SL_TRACK_GAP: more holes than can be kept. */
static __always_inline int sl_track_fill(struct sl_track* track, __u32 begin, __u32 end) {
    struct sl_interval rest = {0, 0};
    for (__u32 i = 0; i < SL_TRACK_HOLES; ++i) {
        struct sl_interval* hole = &track->holes[i];
        if (hole->begin == hole->end || !sl_before(begin, hole->end) || !sl_before(hole->begin, end)) {
            continue;
        }
        if (sl_before(hole->begin, begin)) {
            if (sl_before(end, hole->end)) {
                rest.begin = end; /* one hole at most is cut in two */
                rest.end = hole->end;
            }
            hole->end = begin;
        } else if (sl_before(end, hole->end)) {
            hole->begin = end;
        } else {
            hole->end = hole->begin;
        }
    }
    return rest.begin == rest.end ? 0 : sl_track_add(track->holes, SL_TRACK_HOLES, rest.begin, rest.end);
}

/* Remembers [begin, end), joined to what it touches. */
static __always_inline int sl_track_join(struct sl_interval* intervals, __u32 count, __u32 begin, __u32 end) {
    for (__u32 i = 0; i < count; ++i) {
        struct sl_interval* known = &intervals[i];
        if (known->begin != known->end && !sl_before(known->end, begin) && !sl_before(end, known->begin)) {
            known->begin = sl_before(begin, known->begin) ? begin : known->begin;
            known->end = sl_before(known->end, end) ? end : known->end;
            return 0;
        }
    }
    return sl_track_add(intervals, count, begin, end);
}

/* Remembers octets that came before their turn and go by unseen. */
SL_FUNCTION int sl_track_keep_early(struct sl_track* track, __u32 begin, __u32 end) {
    return track ? sl_track_join(track->early, SL_TRACK_EARLIES, begin, end) : SL_TRACK_GAP;
}

/* Remembers octets that are in the stash now. */
SL_FUNCTION int sl_track_keep(struct sl_track* track, __u32 begin, __u32 end) {
    return track ? sl_track_join(track->kept, SL_TRACK_KEPT, begin, end) : SL_TRACK_GAP;
}

/* Passes over the next `count` octets if all of them are body. */
static __always_inline int sl_track_pass(struct sl_track* track, __u32 count) {
    enum sl_http_found found = SL_HTTP_MORE;
    if (track->ended || track->scan.left < count || sl_http_skip(&track->scan, count, &found) != count) {
        return SL_TRACK_GAP;
    }
    track->next += count;
    track->bytes += count;
    track->ended = found == SL_HTTP_END;
    return 0;
}

/* For a segment that is not just the next one. Returns how many of its octets are to be passed over because they were
 * there before (all: nothing is to be looked at), SL_TRACK_EARLY when it came before octets that must be read first, or
 * SL_TRACK_GAP. */
SL_FUNCTION int sl_track_place(struct sl_track* track, __u32 seq, __u32 length) {
    if (!track) {
        return SL_TRACK_GAP;
    }
    const __u32 end = seq + length;
    if (sl_before(seq, track->next)) {
        const __u32 known = track->next - seq;
        const __u32 fill_end = known < length ? track->next : end;
        if (track->disordered && sl_track_fill(track, seq, fill_end)) {
            return SL_TRACK_GAP;
        }
        return known < length ? (int)known : (int)length;
    }
    const __u32 missing = seq - track->next;
    if (missing > SL_TRACK_AHEAD_MAX) {
        return (int)length;
    }
    if (missing == 0) {
        return 0;
    }
    track->disordered = 1;
    if (track->ended || track->scan.left < missing) {
        return track->ended ? SL_TRACK_GAP : SL_TRACK_EARLY;
    }
    const __u32 hole = track->next;
    if (sl_track_pass(track, missing) || sl_track_add(track->holes, SL_TRACK_HOLES, hole, seq)) {
        return SL_TRACK_GAP;
    }
    /* What came early is not missing. */
    for (__u32 i = 0; i < SL_TRACK_EARLIES; ++i) {
        if (sl_track_fill(track, track->early[i].begin, track->early[i].end)) {
            return SL_TRACK_GAP;
        }
    }
    for (__u32 i = 0; i < SL_TRACK_KEPT; ++i) {
        if (sl_track_fill(track, track->kept[i].begin, track->kept[i].end)) {
            return SL_TRACK_GAP;
        }
    }
    return 0;
}

/* There are octets in the stash. */
static __always_inline int sl_track_keeps(const struct sl_track* track) {
    __u32 octets = 0;
    for (__u32 i = 0; i < SL_TRACK_KEPT; ++i) {
        octets |= track->kept[i].end - track->kept[i].begin;
    }
    return octets != 0;
}

/* After octets were looked at: passes over those that came early, now that it is their turn. */
SL_FUNCTION int sl_track_settle(struct sl_track* track) {
    if (!track) {
        return SL_TRACK_GAP;
    }
    /* Twice, as the first may lead to the second in either order. */
    for (__u32 i = 0; i < 2 * SL_TRACK_EARLIES; ++i) {
        struct sl_interval* early = &track->early[i % SL_TRACK_EARLIES];
        if (early->begin == early->end || sl_before(track->next, early->begin)) {
            continue;
        }
        const __u32 count = sl_before(track->next, early->end) ? early->end - track->next : 0;
        early->end = early->begin;
        if (count && sl_track_pass(track, count)) {
            return SL_TRACK_GAP;
        }
    }
    __u8 disordered = 0;
    for (__u32 i = 0; i < SL_TRACK_HOLES; ++i) {
        disordered |= track->holes[i].begin != track->holes[i].end;
    }
    for (__u32 i = 0; i < SL_TRACK_EARLIES; ++i) {
        disordered |= track->early[i].begin != track->early[i].end;
    }
    track->disordered = disordered || sl_track_keeps(track);
    return 0;
}

/* All that the sender will ever send has come: its FIN and everything before. */
static __always_inline int sl_track_over(const struct sl_track* track) {
    return track->fin_seen && track->next == track->fin && !track->disordered;
}

#endif
