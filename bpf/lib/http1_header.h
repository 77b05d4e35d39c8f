/* Header lines and trailers: the stages of names and values, and of the two names that frame the body. */
#ifndef SLUICE_BPF_LIB_HTTP1_HEADER_H
#define SLUICE_BPF_LIB_HTTP1_HEADER_H

#include "http1_state.h"

/* Names with their colon, in lower case. Padded by 'A', which no folded octet equals. */
static const __u8 sl_http_names[2][40] = {"content-length:AAAAAAAAAAAAAAAAAAAAAAAA",
                                          "transfer-encoding:AAAAAAAAAAAAAAAAAAAAA"};

/* The LF of an empty line is at view->at + used - 1. */
static __always_inline void sl_http_head_end(struct sl_http_state* scan, struct sl_http_view* view, __u64 used) {
    const __u32 flags = scan->flags;
    if (flags & SL_HTTP_TRAILER) {
        view->at += used;
        scan->found = SL_HTTP_END;
        return;
    }
    const __u64 status = flags & SL_HTTP_RESPONSE ? scan->token : 0;
    const int bare = flags & SL_HTTP_RESPONSE ? status < 200 || status == 204 : scan->method == SL_METHOD_CONNECT;
    /* These have no body; one that says otherwise is read differently by different peers. */
    if (bare && (scan->length || flags & SL_HTTP_CHUNKED)) {
        sl_http_malformed(scan, view, used - 1);
        return;
    }
    scan->status = (__u16)status;
    view->at += used;
    scan->found = SL_HTTP_HEAD;
    scan->phase = SL_PHASE_WHOLE_HEAD;
}

/* A framing name was read; its colon is at view->at + used - 1. */
static __always_inline void sl_http_framed(struct sl_http_state* scan, struct sl_http_view* view, int coding,
                                           __u64 used) {
    const __u32 flags = scan->flags;
    if (flags & (SL_HTTP_LENGTH | SL_HTTP_CHUNKED | SL_HTTP_TRAILER)) {
        sl_http_malformed(scan, view, used - 1);
        return;
    }
    scan->flags = (__u8)(flags | (coding ? SL_HTTP_CHUNKED : SL_HTTP_LENGTH));
    sl_http_to(scan, view, coding ? SL_PHASE_CODING : SL_PHASE_DIGITS, used);
}

/* ! # $ % & ' * + . ^ _ ` | ~ (the tokens' octets that names hardly have), as sets of 32 from 0x20, 0x40 and 0x60. */
static __always_inline int sl_http_rare(__u8 c) {
    const __u32 set = c >> 5 == 1 ? 0x00004cfau : c >> 5 == 2 ? 0xc0000000u : c >> 5 == 3 ? 0x50000001u : 0;
    return set >> (c & 31) & 1;
}

/* The first octet of a line: the empty line's CR, or a name. Names that frame the body are known at once if they are
 * in the window whole. */
static __always_inline void sl_http_line(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u8 c = sl_octet(octets, 0);
    const __u64 rest = view->end - view->at;
    if (c == '\r') {
        if (rest >= 2 && sl_octet(octets, 1) == '\n') {
            sl_http_head_end(scan, view, 2);
        } else {
            sl_http_to(scan, view, SL_PHASE_LAST_LF, 1);
        }
        return;
    }
    const __u8 folded = c | 0x20;
    scan->collected = 0;
    scan->phase = SL_PHASE_NAME;
    if (folded != 'c' && folded != 't') {
        return;
    }
    const int coding = folded == 't';
    if (rest < 18) {
        scan->flags = (__u8)((scan->flags & ~SL_HTTP_CODING_NAME) | (coding ? SL_HTTP_CODING_NAME : 0));
        scan->phase = SL_PHASE_FRAMING;
        return;
    }
    /* 0x20 folds letters; elsewhere it would take CR for "-", so other octets must be as they are. */
    if (!coding && (octets | 0x0020202020202020ull) == SL_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
        const __u64 next = sl_http_octets(view, 8);
        if (sl_octets_low(next | 0x0000202020202020ull, 7) == SL_WORD('l', 'e', 'n', 'g', 't', 'h', ':', 0)) {
            sl_http_framed(scan, view, 0, 15);
        }
    } else if (coding && (octets | SL_OCTETS(0x20)) == SL_WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
        const __u64 next = sl_http_octets(view, 8);
        const __u64 last = sl_http_octets(view, 10);
        if ((next | 0x2020202020202000ull) == SL_WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') &&
            (last | 0x0020000000000000ull) >> 48 == (__u64)('g' | ':' << 8)) {
            sl_http_framed(scan, view, 1, 18);
        }
    }
}

/* A name that is split over windows and so far is one of the two that frame the body. */
static __always_inline void sl_http_framing(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 limit = sl_http_limit(view);
    const __u64 coding = scan->flags & SL_HTTP_CODING_NAME ? 1 : 0;
    const __u64 before = scan->collected;
    const __u64 expected = sl_octets_load(&sl_http_names[coding][before & 31]);
    /* Folds case where a letter is wanted. */
    const __u64 folded = octets | ((expected & SL_OCTETS(0x40)) >> 1);
    const __u64 used = sl_octets_before(sl_octets_differ(folded, expected), limit);
    if (before + used == (coding ? 18 : 15)) {
        sl_http_framed(scan, view, coding != 0, used);
        return;
    }
    view->at += used;
    scan->collected = (__u8)(before + used);
    if (used < limit) {
        scan->phase = SL_PHASE_NAME;
    }
}

/* A header's name, to its colon. */
static __always_inline void sl_http_name(struct sl_http_state* scan, struct sl_http_view* view) {
    __u64 limit = 0;
    __u64 count = 0;
    SL_UNROLL
    for (int i = 0; i < 3; ++i) {
        const __u64 octets = sl_http_octets(view, 0);
        limit = sl_http_limit(view);
        count = sl_octets_before(~(sl_octets_in(octets | SL_OCTETS(0x20), 'a', 'z') | sl_octets_digit(octets) |
                                   sl_octets_in(octets, '-', '-')),
                                 limit);
        if (count < limit) {
            break;
        }
        scan->collected = 1;
        view->at += count;
        if (view->at >= view->end) {
            return;
        }
        sl_http_forget(view);
    }
    if (count >= limit) {
        return;
    }
    const __u8 c = sl_http_octet(view, count);
    if (c == ':' && count + scan->collected) {
        sl_http_to(scan, view, SL_PHASE_VALUE, count + 1);
    } else if (sl_http_rare(c)) {
        scan->collected = 1;
        view->at += count + 1;
    } else {
        sl_http_malformed(scan, view, count);
    }
}

/* A header's value or a reason phrase, up to its CR: what is no control character, and tabs. */
static __always_inline void sl_http_value(struct sl_http_state* scan, struct sl_http_view* view) {
    __u64 limit = 0;
    __u64 count = 0;
    SL_UNROLL
    for (int i = 0; i < 4; ++i) {
        const __u64 octets = sl_http_octets(view, 0);
        limit = sl_http_limit(view);
        count = sl_octets_before(sl_octets_less_first(octets, 0x20) | sl_octets_delete(octets), limit);
        if (count < limit) {
            break;
        }
        view->at += count;
        if (view->at >= view->end) {
            return;
        }
        sl_http_forget(view);
    }
    if (count >= limit) {
        return;
    }
    const __u8 c = sl_http_octet(view, count);
    if (c == '\r') {
        sl_http_line_end(scan, view, count);
    } else if (c == '\t') {
        view->at += count + 1;
    } else {
        sl_http_malformed(scan, view, count);
    }
}

/* Transfer-Encoding's value: exactly "chunked". */
static __always_inline void sl_http_coding(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 before = scan->collected & 7;
    const __u8 c = sl_octet(octets, 0);
    if (before == 0 && (c == ' ' || c == '\t')) {
        view->at += 1;
        return;
    }
    const __u64 expected = SL_WORD('c', 'h', 'u', 'n', 'k', 'e', 'd', 0) >> (before * 8);
    const __u64 rest = view->end - view->at;
    const __u64 limit = rest < 7 - before ? rest : 7 - before;
    const __u64 count = sl_octets_before(sl_octets_differ(octets | SL_OCTETS(0x20), expected), limit);
    if (count < limit) {
        sl_http_malformed(scan, view, count);
    } else if (before + count == 7) {
        sl_http_to(scan, view, SL_PHASE_SPACES, count);
    } else {
        scan->collected = (__u8)(before + count);
        view->at += count;
    }
}

#endif
