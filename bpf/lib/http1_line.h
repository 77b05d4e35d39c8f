/* The first line of an HTTP/1 message: the stages from a method to its version, or from the version to a reason phrase.
 */
#ifndef SLUICE_BPF_LIB_HTTP1_LINE_H
#define SLUICE_BPF_LIB_HTTP1_LINE_H

#include "http1_state.h"

/* Methods that llhttp knows too, as words of up to eight letters. */
#define SL_HTTP_METHODS(X)                                    \
    X(GET, SL_WORD('G', 'E', 'T', 0, 0, 0, 0, 0))             \
    X(POST, SL_WORD('P', 'O', 'S', 'T', 0, 0, 0, 0))          \
    X(HEAD, SL_WORD('H', 'E', 'A', 'D', 0, 0, 0, 0))          \
    X(PUT, SL_WORD('P', 'U', 'T', 0, 0, 0, 0, 0))             \
    X(DELETE, SL_WORD('D', 'E', 'L', 'E', 'T', 'E', 0, 0))    \
    X(OPTIONS, SL_WORD('O', 'P', 'T', 'I', 'O', 'N', 'S', 0)) \
    X(PATCH, SL_WORD('P', 'A', 'T', 'C', 'H', 0, 0, 0))       \
    X(CONNECT, SL_WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', 0)) \
    X(TRACE, SL_WORD('T', 'R', 'A', 'C', 'E', 0, 0, 0))       \
    X(OTHER, SL_WORD('C', 'O', 'P', 'Y', 0, 0, 0, 0))         \
    X(OTHER, SL_WORD('M', 'O', 'V', 'E', 0, 0, 0, 0))         \
    X(OTHER, SL_WORD('L', 'O', 'C', 'K', 0, 0, 0, 0))         \
    X(OTHER, SL_WORD('U', 'N', 'L', 'O', 'C', 'K', 0, 0))     \
    X(OTHER, SL_WORD('M', 'K', 'C', 'O', 'L', 0, 0, 0))       \
    X(OTHER, SL_WORD('P', 'R', 'O', 'P', 'F', 'I', 'N', 'D')) \
    X(OTHER, SL_WORD('R', 'E', 'P', 'O', 'R', 'T', 0, 0))     \
    X(OTHER, SL_WORD('S', 'E', 'A', 'R', 'C', 'H', 0, 0))     \
    X(OTHER, SL_WORD('P', 'U', 'R', 'G', 'E', 0, 0, 0))

static __always_inline void sl_http_method(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 limit = sl_http_limit(view);
    const __u64 count = sl_octets_before(~sl_octets_in(octets, 'A', 'Z'), limit);
    const __u64 before = scan->collected;
    if (before + count > 8) {
        sl_http_stop(scan, view, SL_REASON_UNOBSERVED_NOT_HTTP, 8 - before);
        return;
    }
    const __u64 token = scan->token | sl_octets_low(octets, count) << ((before & 7) * 8);
    if (count >= limit) {
        scan->token = token;
        scan->collected = (__u8)(before + count);
        view->at += count;
        return;
    }
    const __u8 c = sl_octet(octets, count);
    if (c != ' ') {
        const int hello = c == 0x16 && before + count == 0; /* a TLS handshake record */
        sl_http_stop(scan, view, hello ? SL_REASON_UNOBSERVED_TLS : SL_REASON_UNOBSERVED_NOT_HTTP, count);
        return;
    }
#define SL_HTTP_METHOD_IS(name, word)                             \
    if (token == (word)) {                                        \
        scan->method = SL_METHOD_##name;                          \
        sl_http_to(scan, view, SL_PHASE_TARGET_FIRST, count + 1); \
        return;                                                   \
    }
    SL_HTTP_METHODS(SL_HTTP_METHOD_IS)
#undef SL_HTTP_METHOD_IS
    const int http2 = token == SL_WORD('P', 'R', 'I', 0, 0, 0, 0, 0);
    sl_http_stop(scan, view, http2 ? SL_REASON_UNOBSERVED_HTTP2 : SL_REASON_UNOBSERVED_NOT_HTTP, count);
}

/* CONNECT's target: host and port. */
static __always_inline void sl_http_authority(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 limit = sl_http_limit(view);
    const __u64 accepted = sl_octets_in(octets, '0', ':') | sl_octets_in(octets | SL_OCTETS(0x20), 'a', 'z') |
                           sl_octets_in(octets, '-', '.') | sl_octets_in(octets, '[', '[') |
                           sl_octets_in(octets, ']', ']');
    const __u64 count = sl_octets_before(~accepted, limit);
    if (count >= limit) {
        scan->collected = 1;
        view->at += count;
    } else if (sl_octet(octets, count) == ' ' && count + scan->collected) {
        sl_http_to(scan, view, SL_PHASE_VERSION, count + 1);
    } else {
        sl_http_malformed(scan, view, count);
    }
}

static __always_inline void sl_http_target_first(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u8 c = sl_octet(sl_http_octets(view, 0), 0);
    if (scan->method == SL_METHOD_CONNECT) {
        scan->phase = SL_PHASE_AUTHORITY;
    } else if (c == '/' || c == '*') {
        scan->phase = SL_PHASE_TARGET;
    } else {
        sl_http_malformed(scan, view, 0);
    }
}

/* A target in origin-form, or "*"; a fragment is no part of it. */
static __always_inline void sl_http_target(struct sl_http_state* scan, struct sl_http_view* view) {
    __u64 limit = 0;
    __u64 count = 0;
    SL_UNROLL
    for (int i = 0; i < 3; ++i) {
        const __u64 octets = sl_http_octets(view, 0);
        limit = sl_http_limit(view);
        count = sl_octets_before(
            sl_octets_less_first(octets, '!') | sl_octets_equal_first(octets, '#') | octets | sl_octets_delete(octets),
            limit);
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
    if (sl_http_octet(view, count) == ' ') {
        sl_http_to(scan, view, SL_PHASE_VERSION, count + 1);
    } else {
        sl_http_malformed(scan, view, count);
    }
}

static __always_inline int sl_http_is_version(__u64 octets) {
    return (octets & ~(1ull << 56)) == SL_WORD('H', 'T', 'T', 'P', '/', '1', '.', '0');
}

/* "HTTP/1.0" or "HTTP/1.1" */
static __always_inline void sl_http_version(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 before = scan->collected & 7;
    const __u64 expected = SL_WORD('H', 'T', 'T', 'P', '/', '1', '.', '0') >> (before * 8);
    const __u64 either = (1ull << 56) >> (before * 8);
    const __u64 rest = view->end - view->at;
    const __u64 limit = rest < 8 - before ? rest : 8 - before;
    const int response = scan->flags & SL_HTTP_RESPONSE;
    const __u64 difference = (octets & ~either) ^ expected;
    if (sl_octets_low(difference, limit) == 0) {
        view->at += limit;
        scan->collected = (__u8)(before + limit);
        if (before + limit == 8) {
            scan->phase = response ? SL_PHASE_STATUS : SL_PHASE_CR;
            scan->collected = 0;
        }
        return;
    }
    const __u64 count = sl_octets_before(sl_octets_differ(difference, 0), limit);
    __u8 reason = SL_REASON_UNOBSERVED_MALFORMED;
    if (response && before + count < 7) {
        const int hello = before + count == 0 && sl_octet(octets, 0) == 0x16;
        reason = hello ? SL_REASON_UNOBSERVED_TLS : SL_REASON_UNOBSERVED_NOT_HTTP;
    }
    sl_http_stop(scan, view, reason, count);
}

/* A space, three digits, and a space. */
static __always_inline int sl_http_is_status(__u64 octets, __u64* status) {
    const __u64 hundreds = sl_octet(octets, 1) - '0';
    const __u64 tens = sl_octet(octets, 2) - '0';
    const __u64 ones = sl_octet(octets, 3) - '0';
    *status = hundreds * 100 + tens * 10 + ones;
    return (octets & 0xff000000ffull) == 0x2000000020ull && hundreds - 1 < 5 && tens < 10 && ones < 10;
}

/* A space, three digits, and a space or the line's end. */
static __always_inline void sl_http_status(struct sl_http_state* scan, struct sl_http_view* view) {
    const __u64 octets = sl_http_octets(view, 0);
    const __u64 limit = sl_http_limit(view);
    const __u8 c = sl_octet(octets, 0);
    const __u8 digit = c - '0';
    const __u64 before = scan->collected;
    if (before == 0 && limit >= 5 && sl_http_is_status(octets, &scan->token)) {
        sl_http_to(scan, view, SL_PHASE_VALUE, 5);
        return;
    }
    if (before == 0 && c == ' ') {
        scan->token = 0;
    } else if ((before == 1 && digit >= 1 && digit <= 5) || ((before == 2 || before == 3) && digit <= 9)) {
        scan->token = scan->token * 10 + digit;
    } else if (before == 4 && c == ' ') {
        sl_http_to(scan, view, SL_PHASE_VALUE, 1);
        return;
    } else if (before == 4 && c == '\r') {
        sl_http_line_end(scan, view, 0);
        return;
    } else {
        sl_http_malformed(scan, view, 0);
        return;
    }
    scan->collected = (__u8)(before + 1);
    view->at += 1;
}

#endif
