/* Heads as nearly all are: lines whole in the window, of plain octets, framed by a Content-Length or by nothing. They
 * are taken line by line, without the bookkeeping that the stages need to stop at any octet. What is not so is left to
 * the stages, untouched.
 */
#ifndef SLUICE_BPF_LIB_HTTP1_QUICK_H
#define SLUICE_BPF_LIB_HTTP1_QUICK_H

#include "http1_header.h"
#include "http1_line.h"

/* Of one line: words of a target, words of a value, and words of a name (one more for each digit in it). Lines at once.
 */
#define SL_HTTP_QUICK_TARGET 8
#define SL_HTTP_QUICK_VALUE 8
#define SL_HTTP_QUICK_NAME 4
#define SL_HTTP_QUICK_LINES 8

#define SL_HTTP_CR_LF ('\r' | '\n' << 8)

/* Keeps view->at within what the verifier may assume of it. */
static __always_inline void sl_http_quick_forget(struct sl_http_view* view) {
#ifdef __bpf__
    __asm__ volatile("" : "+r"(view->at));
    view->at &= 2 * SL_HTTP_WINDOW - 1;
#else
    (void)view;
#endif
}

/* A name and its colon. Leaves view->at in front of the colon, by less than eight octets of the name: the value's end
 * is looked for from there, without waiting for the colon's place. Here and below what lies beyond the window's end is
 * looked at too: the caller asks in the end whether all of it was within. */
static __always_inline int sl_http_quick_name(struct sl_http_view* view) {
    const __u64 begin = view->at;
    SL_NO_UNROLL
    for (int i = 0; i < SL_HTTP_QUICK_NAME; ++i) {
        const __u64 octets = sl_http_octets(view, 0);
        const __u64 stop =
            ~(sl_octets_in(octets | SL_OCTETS(0x20), 'a', 'z') | sl_octets_in(octets, '-', '-')) & SL_HIGH;
        sl_http_quick_forget(view);
        if (!stop) {
            view->at += 8;
            continue;
        }
        const __u64 count = sl_octets_first(stop);
        const __u8 c = sl_http_octet(view, count);
        if (c == ':') {
            return view->at + count != begin;
        }
        if ((__u8)(c - '0') > 9) {
            return 0;
        }
        view->at += count + 1;
    }
    return 0;
}

/* CR LF at view->at: moves behind it. */
static __always_inline int sl_http_quick_end(struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    view->at += 2;
    return (__u16)octets == SL_HTTP_CR_LF;
}

/* Moves behind a value and its CR LF. */
static __always_inline int sl_http_quick_value(struct sl_http_view* view) {
    SL_NO_UNROLL
    for (int i = 0; i < SL_HTTP_QUICK_VALUE; ++i) {
        const __u64 octets = sl_http_octets(view, 0);
        /* First. Below 0x20 or above 0x7e; one that is not borrows and carries nothing. */
        const __u64 stop = ((octets - SL_OCTETS(0x20)) | octets | (octets + SL_OCTETS(1))) & SL_HIGH;
        sl_http_quick_forget(view);
        if (stop) {
            view->at += sl_octets_first(stop);
            return sl_http_quick_end(view);
        }
        view->at += 8;
    }
    return 0;
}

/* A line of Content-Length with up to seven digits. */
static __always_inline int sl_http_quick_length(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 name = sl_http_octets(view, 8) | SL_WORD(0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0, 0);
    const __u8 flags = scan->flags;
    view->at += 16;
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 stop = ~sl_octets_digit(octets) & SL_HIGH;
    if (name != SL_WORD('l', 'e', 'n', 'g', 't', 'h', ':', ' ') || !stop ||
        flags & (SL_HTTP_LENGTH | SL_HTTP_CHUNKED | SL_HTTP_TRAILER)) {
        return 0;
    }
    const __u64 count = sl_octets_first(stop);
    sl_http_quick_forget(view);
    view->at += count;
    if (!count || !sl_http_quick_end(view) || view->at > view->end) {
        return 0;
    }
    scan->flags = flags | SL_HTTP_LENGTH;
    scan->length = sl_octets_decimal(octets, count);
    return 1;
}

/* The line at view->at. 0: it is for the stages. */
static __always_inline int sl_http_quick_line(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    /* 0x20 folds letters; that it takes CR for "-" too only sends a line to the stages. */
    const __u64 folded = octets | SL_OCTETS(0x20);
    if (folded == SL_WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
        return 0;
    }
    if (folded == SL_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') && (sl_http_octet(view, 8) | 0x20) == 'l') {
        return sl_octet(octets, 7) == '-' && sl_http_quick_length(scan, view);
    }
    return sl_http_quick_name(view) && sl_http_quick_value(view) && view->at <= view->end;
}

/* The first line of an answer. */
static __always_inline int sl_http_quick_status(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 version = sl_http_octets(view, 0);
    const __u64 octets = sl_http_octets(view, 8);
    view->at += 13;
    return sl_http_is_version(version) && sl_http_is_status(octets, &scan->token) && sl_http_quick_value(view);
}

/* The first line of a request, with one of the methods that are most used. */
static __always_inline int sl_http_quick_request(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    if ((__u32)octets == (__u32)SL_WORD('G', 'E', 'T', ' ', 0, 0, 0, 0)) {
        scan->method = SL_METHOD_GET;
        view->at += 4;
    } else if ((octets & ~0ull >> 24) == SL_WORD('P', 'O', 'S', 'T', ' ', 0, 0, 0)) {
        scan->method = SL_METHOD_POST;
        view->at += 5;
    } else {
        return 0;
    }
    if (sl_http_octet(view, 0) != '/') {
        return 0;
    }
    SL_NO_UNROLL
    for (int i = 0; i < SL_HTTP_QUICK_TARGET; ++i) {
        const __u64 target = sl_http_octets(view, 0);
        /* First. Below 0x21 or above 0x7e, and '#'. */
        const __u64 stop =
            ((target - SL_OCTETS(0x21)) | target | (target + SL_OCTETS(1)) | sl_octets_equal_first(target, '#')) &
            SL_HIGH;
        sl_http_quick_forget(view);
        if (!stop) {
            view->at += 8;
            continue;
        }
        view->at += sl_octets_first(stop);
        if (sl_http_octet(view, 0) != ' ' || !sl_http_is_version(sl_http_octets(view, 1))) {
            return 0;
        }
        view->at += 9;
        return sl_http_quick_end(view);
    }
    return 0;
}

/* Takes the first line, at the begin of a message. */
static __always_inline void sl_http_quick_first(struct sl_http_state* scan, struct sl_http_view* view, int response) {
    struct sl_http_view line = *view;
    if ((response ? sl_http_quick_status(scan, &line) : sl_http_quick_request(scan, &line)) && line.at <= line.end) {
        view->at = line.at;
        scan->phase = SL_PHASE_LINE;
    }
}

/* Takes lines from view->at on, of a head or trailer, and a head's end. */
static __always_inline void sl_http_quick_lines(struct sl_http_state* scan, struct sl_http_view* view) {
    SL_NO_UNROLL
    for (int i = 0; i < SL_HTTP_QUICK_LINES; ++i) {
        /* `end` is read again, so that the verifier knows no more of it in one line than in another. */
        struct sl_http_view line = {view->window, view->at, sl_load(&scan->end)};
        sl_http_quick_forget(&line);
        if ((__u16)sl_http_octets(&line, 0) == SL_HTTP_CR_LF) {
            if (line.at + 2 <= line.end && !(scan->flags & SL_HTTP_TRAILER)) {
                sl_http_head_end(scan, view, 2);
            }
            return;
        }
        if (!sl_http_quick_line(scan, &line)) {
            return;
        }
        view->at = line.at;
    }
}

#endif
