/* Numbers that frame a body, the body itself, and what only separates. */
#ifndef SLUICE_BPF_LIB_HTTP1_BODY_H
#define SLUICE_BPF_LIB_HTTP1_BODY_H

#include "http1_header.h"
#include "http1_state.h"

static const __u64 sl_http_tens[16] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* Takes the body's next octets, of `available`; returns how many. */
static __always_inline __u64 sl_http_take(struct sl_http_state* scan, __u64 available) {
    const __u64 left = scan->left;
    if (left == SL_HTTP_UNTIL_CLOSE) {
        return available;
    }
    if (left > available) {
        scan->left = left - available;
        return available;
    }
    scan->left = 0;
    if (scan->phase == SL_PHASE_CHUNK) {
        scan->phase = SL_PHASE_CHUNK_CR;
    } else {
        scan->found = SL_HTTP_END;
    }
    return left;
}

/* After the LF of a chunk's size. */
static __always_inline void sl_http_chunk(struct sl_http_state* scan, struct sl_http_view* view, __u64 used) {
    if (scan->length) {
        scan->left = scan->length;
        sl_http_to(scan, view, SL_PHASE_CHUNK, used);
        return;
    }
    scan->flags |= SL_HTTP_TRAILER;
    scan->head_bytes = 0;
    sl_http_to(scan, view, SL_PHASE_LINE, used);
    scan->mark = (__u16)view->at;
}

/* Content-Length's value, or a chunk's size: digits up to the line's end; blanks around a value. */
static __always_inline void sl_http_number(struct sl_http_state* scan, struct sl_http_view* view) {
    const int chunk = scan->phase == SL_PHASE_CHUNK_SIZE;
    const __u64 before = scan->collected;
    __u64 octets = sl_http_octets(view, 0);
    __u64 limit = sl_http_limit(view);
    if (!chunk && before == 0 && ((__u8)octets == ' ' || (__u8)octets == '\t')) {
        octets >>= 8;
        view->at += 1;
        if (--limit == 0) {
            return;
        }
    }
    const __u64 count = sl_octets_before(~(chunk ? sl_octets_hex(octets) : sl_octets_digit(octets)), limit);
    const __u8 c = sl_octet(octets, count);
    if (!chunk && before + count == 0 && (c == ' ' || c == '\t')) {
        view->at += 1;
        return;
    }
    /* 15 digits of either kind are far from an overflow. */
    if (before + count > 15 || before + count == 0) {
        sl_http_malformed(scan, view, before + count ? 15 - before : 0);
        return;
    }
    scan->length = chunk ? scan->length << (count * 4 & 63) | sl_octets_hexadecimal(octets, count)
                         : scan->length * sl_http_tens[count & 15] + sl_octets_decimal(octets, count);
    if (count >= limit) {
        scan->collected = (__u8)(before + count);
        view->at += count;
    } else if (c == '\r' && !chunk) {
        sl_http_line_end(scan, view, count);
    } else if (c == '\r' && count + 1 < limit && sl_octet(octets, count + 1) == '\n') {
        sl_http_chunk(scan, view, count + 2);
    } else if (c == '\r') {
        sl_http_to(scan, view, SL_PHASE_CHUNK_SIZE_LF, count + 1);
    } else if (c == ' ' && !chunk) {
        sl_http_to(scan, view, SL_PHASE_SPACES, count + 1);
    } else {
        sl_http_malformed(scan, view, count);
    }
}

/* Octets that only lead from one phase to another. */
static __always_inline void sl_http_single(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 limit = sl_http_limit(view);
    const __u8 c = sl_octet(octets, 0);
    const __u8 phase = scan->phase;
    if (c == '\r' && (phase == SL_PHASE_CR || phase == SL_PHASE_SPACES)) {
        sl_http_line_end(scan, view, 0);
    } else if (c == ' ' && phase == SL_PHASE_SPACES) {
        view->at += 1;
    } else if (c == '\r' && phase == SL_PHASE_CHUNK_CR) {
        const int both = limit > 1 && sl_octet(octets, 1) == '\n';
        scan->length = 0;
        sl_http_to(scan, view, both ? SL_PHASE_CHUNK_SIZE : SL_PHASE_CHUNK_LF, both ? 2 : 1);
    } else if (c == '\n' && phase == SL_PHASE_LF) {
        sl_http_to(scan, view, SL_PHASE_LINE, 1);
    } else if (c == '\n' && phase == SL_PHASE_LAST_LF) {
        sl_http_head_end(scan, view, 1);
    } else if (c == '\n' && phase == SL_PHASE_CHUNK_LF) {
        sl_http_to(scan, view, SL_PHASE_CHUNK_SIZE, 1);
    } else if (c == '\n' && phase == SL_PHASE_CHUNK_SIZE_LF) {
        sl_http_chunk(scan, view, 1);
    } else {
        sl_http_stop(scan, view, phase == SL_PHASE_STOPPED ? scan->unsure : (__u8)SL_REASON_UNOBSERVED_MALFORMED, 0);
    }
}

#endif
