/* Octets that came before their turn and have to be read: a small pool of buffers, each lent to one direction of one
 * connection until what is missing has come. Loopback reorders (two CPUs send on one connection), networks lose. Octets
 * lie at their distance from the first missing one, in up to SL_TRACK_KEPT runs (track->kept).
 *
 * A buffer's owner is the time at which it was taken, so that one that was forgotten can be taken from its owner later,
 * who notices. Any number of threads; who owns a buffer is the only one to touch its octets.
 */
#ifndef SLUICE_BPF_LIB_STASH_H
#define SLUICE_BPF_LIB_STASH_H

#include "track.h"

#define SL_STASHES 8u
#define SL_STASH_OCTETS 262144u
#define SL_STASH_SEGMENT 65536u   /* longer ones are not kept */
#define SL_STASH_NS 5000000000ull /* longer than any owner needs one */

struct sl_stash {
    __u64 owner;
    /* A segment more, as the verifier knows bounds of place and length, not of their sum; and a window to read in. */
    __u8 octets[SL_STASH_OCTETS + SL_STASH_SEGMENT + SL_HTTP_WINDOW_SPACE];
};

/* The buffer of that number; 0: there is none. Programs bring their own; natively there are no buffers without. */
#ifndef SL_STASH_AT
#define SL_STASH_AT(slot) ((void)(slot), (struct sl_stash*)0)
#endif
/* Copies a segment's octets into a buffer; 0: done. */
#ifndef SL_STASH_LOAD
#define SL_STASH_LOAD(source, offset, to, length) SL_PAYLOAD_LOAD(source, offset, to, length)
#endif

/* The buffer that this direction holds; 0: none, or no longer. */
static __always_inline struct sl_stash* sl_stash_of(const struct sl_track* track) {
    __u32 slot = track->stash_slot;
    struct sl_stash* stash = track->stash_owner && slot < SL_STASHES ? SL_STASH_AT(slot) : 0;
    return stash && sl_load(&stash->owner) == track->stash_owner ? stash : 0;
}

static __always_inline void sl_stash_give_back(struct sl_track* track) {
    struct sl_stash* stash = sl_stash_of(track);
    if (stash) {
        sl_cas(&stash->owner, track->stash_owner, 0);
    }
    track->stash_owner = 0;
}

struct sl_stash_search {
    struct sl_track* track;
    __u64 now_ns;
};

SL_STEP sl_stash_step(__u32 i, void* data) {
    struct sl_stash_search* search = (struct sl_stash_search*)data;
    __u32 slot = (i + (__u32)search->now_ns) % SL_STASHES;
    struct sl_stash* stash = SL_STASH_AT(slot);
    if (!stash) {
        return 0;
    }
    const __u64 owner = sl_load(&stash->owner);
    if (owner && search->now_ns - owner < SL_STASH_NS) {
        return 0;
    }
    if (sl_cas(&stash->owner, owner, search->now_ns) != owner) {
        return 0;
    }
    search->track->stash_owner = search->now_ns;
    search->track->stash_slot = slot;
    return 1;
}

/* Takes a buffer for octets from track->next on. 0: none is free. */
static __always_inline struct sl_stash* sl_stash_take(struct sl_track* track, __u64 now_ns) {
    struct sl_stash_search search;
    search.track = track;
    search.now_ns = now_ns;
    track->stash_begin = track->next;
    SL_LOOP(SL_STASHES, sl_stash_step, &search);
    return sl_stash_of(track);
}

/* Keeps an early segment at its place in a buffer. 1: kept; 0: no room; SL_TRACK_GAP: the buffer was taken away. */
static __always_inline int sl_stash_keep(sl_source* source, struct sl_track* track, struct sl_segment* seg) {
    struct sl_stash* stash;
    if (track->stash_owner) {
        stash = sl_stash_of(track);
        if (!stash) {
            return SL_TRACK_GAP;
        }
    } else {
        stash = sl_stash_take(track, SL_SEGMENT_TIME(seg));
        if (!stash) {
            return 0;
        }
    }
    __u64 place = seg->seq - track->stash_begin;
    __u64 length = seg->length;
    if (length > SL_STASH_SEGMENT || place + length > SL_STASH_OCTETS) {
        return 0;
    }
    sl_opaque(place);
    sl_opaque(length);
    place &= SL_STASH_OCTETS - 1;
    length = ((length - 1) & (SL_STASH_SEGMENT - 1)) + 1;
    if (SL_STASH_LOAD(source, seg->offset, stash->octets + place, (__u32)length)) {
        return 0;
    }
    return sl_track_keep(track, seg->seq, seg->seq + seg->length) == 0;
}

/* Copies a window out of a buffer; `place` < SL_STASH_OCTETS. Always a whole one: what is beyond the kept octets does
 * not count. */
static __always_inline void sl_stash_window(const struct sl_stash* stash, __u64 place, __u8* window) {
    sl_opaque(place);
    place &= SL_STASH_OCTETS - 1;
    const __u64* from = (const __u64*)(stash->octets + place);
    __u64* to = (__u64*)window;
    for (__u32 i = 0; i < SL_HTTP_WINDOW_SPACE / 8; ++i) {
        __builtin_memcpy(to + i, from + i, 8);
    }
}

#endif
