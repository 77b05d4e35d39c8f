/* Follows one direction of an HTTP/1 connection without keeping it: where heads begin and end, what they say of the
 * body, where the message ends. Any split of the bytes gives the same answer; all state is in struct sl_http_state.
 *
 * It answers only what llhttp (strict) would answer too, and "not sure" for the rest: tests/fuzz/http1_fuzz.cc
 * compares. Accepted is: HTTP/1.0 and 1.1, lines that end with CR LF, single spaces in the first line, a method that is
 * known, a target in origin-form ("*" and CONNECT's host and port too), names that are tokens, values without control
 * characters, one Content-Length or one Transfer-Encoding that is just "chunked", chunks without extensions. Of what is
 * a message by RFC 9112 too, the rest is: blank lines before it, absolute-form targets, other methods, folded lines.
 *
 * Bytes come in windows that the caller copied: WINDOW octets and eight more that may be read but do not count. In
 * programs the window, like the scan, must be part of a map value: words are loaded from any address of it.
 */
#ifndef SLUICE_BPF_LIB_HTTP1_H
#define SLUICE_BPF_LIB_HTTP1_H

#include "http1_body.h"
#include "http1_header.h"
#include "http1_line.h"
#include "http1_quick.h"
#include "loop.h"

/* Stages that mostly follow each other run in one step. */
static __always_inline void sl_http_first_line(struct sl_http_state* scan, struct sl_http_view* view) {
    if (scan->phase == SL_PHASE_METHOD) {
        sl_http_method(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_TARGET_FIRST)) {
        sl_http_target_first(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_TARGET)) {
        sl_http_target(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_AUTHORITY)) {
        sl_http_authority(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_VERSION)) {
        sl_http_version(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_STATUS)) {
        sl_http_status(scan, view);
    }
}

static __always_inline void sl_http_header(struct sl_http_state* scan, struct sl_http_view* view) {
    if (scan->phase == SL_PHASE_LINE) {
        sl_http_line(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_NAME)) {
        sl_http_name(scan, view);
    }
    if (sl_http_next(scan, view, SL_PHASE_VALUE)) {
        sl_http_value(scan, view);
    }
}

struct sl_http_cursor {
    struct sl_http_state* scan;
    const __u8* window;
};

/* Stages of one step: a call costs nearly as much as a stage (8 ns where returns are guarded against speculation), but
 * the verifier walks each. */
#define SL_HTTP_STAGES 2u

/* The stage or stages of the phase that the scan is in. */
static __always_inline void sl_http_stage(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u8 phase = scan->phase;
    if (phase == SL_PHASE_LINE || phase == SL_PHASE_NAME || phase == SL_PHASE_VALUE) {
        sl_http_header(scan, view);
    } else if (phase <= SL_PHASE_STATUS) {
        sl_http_first_line(scan, view);
    } else if (phase == SL_PHASE_DIGITS || phase == SL_PHASE_CHUNK_SIZE) {
        sl_http_number(scan, view);
    } else if (phase == SL_PHASE_FRAMING) {
        sl_http_framing(scan, view);
    } else if (phase == SL_PHASE_CODING) {
        sl_http_coding(scan, view);
    } else if (phase == SL_PHASE_BODY || phase == SL_PHASE_CHUNK) {
        view->at += sl_http_take(scan, view->end - view->at);
    } else {
        sl_http_single(scan, view);
    }
}

SL_STEP sl_http_step(__u32 i, void* data) {
    const struct sl_http_cursor* cursor = (const struct sl_http_cursor*)data;
    struct sl_http_state* scan = cursor->scan;
    struct sl_http_view view = {cursor->window, scan->at, scan->end};
    (void)i;
    SL_NO_UNROLL
    for (__u32 stages = 0; stages < SL_HTTP_STAGES; ++stages) {
        if (view.at >= view.end || scan->found != SL_HTTP_MORE) {
            return 1;
        }
        sl_http_forget(&view);
        sl_http_stage(scan, &view);
        scan->at = (__u16)view.at;
    }
    if (scan->found == SL_HTTP_MORE && sl_http_next(scan, &view, SL_PHASE_LINE)) {
        sl_http_quick_lines(scan, &view);
        scan->at = (__u16)view.at;
    }
    return 0;
}

/* The message is over, or its head, and another may follow. Keeps status and method. */
static __always_inline void sl_http_again(struct sl_http_state* scan) {
    scan->left = 0;
    scan->length = 0;
    scan->head_bytes = 0;
    scan->phase = SL_PHASE_START;
    scan->collected = 0;
    scan->flags = 0;
}

/* The first octets of a message, mostly the whole head. */
static __always_inline void sl_http_begin(struct sl_http_state* scan, int response, const __u8* window, __u32 length) {
    struct sl_http_view view = {window, 0, length};
    scan->phase = response ? SL_PHASE_VERSION : SL_PHASE_METHOD;
    scan->flags = response ? SL_HTTP_RESPONSE : 0;
    scan->token = 0;
    scan->status = 0;
    scan->method = SL_METHOD_OTHER;
    sl_http_forget(&view);
    sl_http_quick_first(scan, &view, response);
    if (scan->phase == SL_PHASE_LINE) {
        sl_http_quick_lines(scan, &view);
    }
    scan->at = (__u16)view.at;
}

/* Looks at window[0..length), length <= SL_HTTP_WINDOW (0, or more: MORE, and nothing is taken). *used: how many octets
 * were taken; fewer than `length` only for HEAD and END, whose last octet is the last one taken, and for UNSURE, where
 * it is the first octet that is not as it must be. `response`: the same for all octets of a direction. */
static __always_inline enum sl_http_found sl_http_scan(struct sl_http_state* scan, int response, const __u8* window,
                                                       __u32 length, __u32* used) {
    *used = 0;
    if (length == 0 || length > SL_HTTP_WINDOW) {
        return SL_HTTP_MORE;
    }
    scan->found = SL_HTTP_MORE;
    scan->at = 0;
    scan->end = (__u16)length;
    scan->mark = scan->phase < SL_PHASE_WHOLE_HEAD ? 0 : SL_HTTP_NO_MARK;
    if (scan->phase == SL_PHASE_START) {
        sl_http_begin(scan, response, window, length);
    }
    if (scan->found == SL_HTTP_MORE && scan->at < scan->end) {
        struct sl_http_cursor cursor = {scan, window};
        /* Of two stages one takes an octet at least. */
        SL_LOOP(2 * SL_HTTP_WINDOW / SL_HTTP_STAGES + 1, sl_http_step, &cursor);
    }
    enum sl_http_found found = (enum sl_http_found)scan->found;
    const __u32 at = scan->at;
    const __u32 mark = scan->mark;
    *used = at;
    if (mark != SL_HTTP_NO_MARK) {
        const __u32 judged = at + (found == SL_HTTP_UNSURE);
        scan->head_bytes += judged - mark;
        if (scan->head_bytes > SL_HTTP_HEAD_MAX) {
            *used = judged - (scan->head_bytes - SL_HTTP_HEAD_MAX); /* the same octet whatever the windows */
            scan->unsure = SL_REASON_UNOBSERVED_HEAD_TOO_LARGE;
            scan->phase = SL_PHASE_STOPPED;
            return SL_HTTP_UNSURE;
        }
    }
    if (found == SL_HTTP_END) {
        sl_http_again(scan);
    }
    return found;
}

/* After SL_HTTP_HEAD: decides how the body is framed, as RFC 9112 6.3 does. `no_body`: the head answers HEAD, or a
 * CONNECT or 101 was dealt with by the caller. MORE: a body follows (or the final head, after 1xx but 101); END: the
 * message is whole already. */
static __always_inline enum sl_http_found sl_http_body(struct sl_http_state* scan, int response, int no_body) {
    const __u16 status = scan->status;
    if (response && status < 200 && status != 101) {
        sl_http_again(scan);
        return SL_HTTP_MORE;
    }
    const __u32 flags = scan->flags;
    scan->collected = 0;
    if (no_body || (response && (status == 101 || status == 204 || status == 304))) {
        sl_http_again(scan);
        return SL_HTTP_END;
    }
    if (flags & SL_HTTP_CHUNKED) {
        scan->phase = SL_PHASE_CHUNK_SIZE;
        return SL_HTTP_MORE;
    }
    scan->phase = SL_PHASE_BODY;
    scan->left = scan->length;
    if (response && !(flags & SL_HTTP_LENGTH)) {
        scan->left = SL_HTTP_UNTIL_CLOSE;
    }
    if (scan->left == 0) {
        sl_http_again(scan);
        return SL_HTTP_END;
    }
    return SL_HTTP_MORE;
}

/* Octets that need not be looked at now, of `available`; accounts for them. *found: END when they end the message. */
static __always_inline __u64 sl_http_skip(struct sl_http_state* scan, __u64 available, enum sl_http_found* found) {
    *found = SL_HTTP_MORE;
    if (scan->left == 0) {
        return 0;
    }
    scan->found = SL_HTTP_MORE;
    const __u64 taken = sl_http_take(scan, available);
    if (scan->found == SL_HTTP_END) {
        sl_http_again(scan);
        *found = SL_HTTP_END;
    }
    return taken;
}

#endif
