/* The state of the HTTP/1 scanner, and how its stages see the window.
 *
 * A stage judges the octets of one phase and says which phase comes next. Each octet is judged by its phase and by what
 * came before it in the message, never by its place in the window; so a split cannot change an answer. All state that
 * lives from one step to the next is in struct sl_http_state, which programs keep in map values: to the verifier it is
 * unknown, and one pass over the step proves all of them.
 */
#ifndef SLUICE_BPF_LIB_HTTP1_STATE_H
#define SLUICE_BPF_LIB_HTTP1_STATE_H

#include "http1_words.h"
#include "sluice/abi/http.h"

/* For loops whose words are loaded and judged side by side, and for such as would grow the program too much. */
#ifdef __clang__
#define SL_UNROLL _Pragma("unroll")
#define SL_NO_UNROLL _Pragma("nounroll")
#else
#define SL_UNROLL _Pragma("GCC unroll 8")
#define SL_NO_UNROLL _Pragma("GCC unroll 1")
#endif

#define SL_HTTP_WINDOW 256u
#define SL_HTTP_WINDOW_SPACE (SL_HTTP_WINDOW + 8u)
/* Heads (and trailers) longer than this are not followed. Envoy's default is 60 KiB. */
#define SL_HTTP_HEAD_MAX 65536u
#define SL_HTTP_UNTIL_CLOSE 0xffffffffffffffffull /* `left` of a body that ends with the connection */

enum sl_http_found {
    SL_HTTP_MORE = 0,   /* all of the window is used; nothing ended */
    SL_HTTP_HEAD = 1,   /* a head is whole: status or method are known; call sl_http_body() before scanning on */
    SL_HTTP_END = 2,    /* the message is whole; the next byte begins another */
    SL_HTTP_UNSURE = 3, /* scan->unsure says why (enum sl_reason, UNOBSERVED_*); do not scan on */
};

/* Zero is "before the first byte of a message". One direction of one connection; no locking. In programs it must be
 * part of a map value. Only left, status, method and unsure are for callers, to read. */
struct sl_http_state {
    __u64 left;   /* octets of body or chunk that may be passed over unseen, 0 outside; SL_HTTP_UNTIL_CLOSE */
    __u64 length; /* Content-Length or chunk size */
    __u64 token;  /* method so far, lowest byte first, or status so far */
    __u32 head_bytes;
    __u16
        status;  /* of a response, from SL_HTTP_HEAD on; 0 again with the first octet that follows the message or 1xx */
    __u8 method; /* enum sl_method, of a request, likewise */
    __u8 unsure; /* enum sl_reason, with SL_HTTP_UNSURE */
    __u8 phase;  /* enum sl_http_phase */
    __u8 collected;
    __u8 flags;
    __u8 found; /* enum sl_http_found, within one call */
    __u16 at;   /* window: the next octet, its end, and where the head in it begins */
    __u16 end;
    __u16 mark;
    __u8 _pad[6];
};
SL_STATIC_ASSERT(sizeof(struct sl_http_state) == 48, "sl_http_state");

/* What an octet is judged by. collected: octets of the phase that came already, where it matters. */
enum sl_http_phase {
    SL_PHASE_START = 0,
    SL_PHASE_METHOD,
    SL_PHASE_TARGET_FIRST,
    SL_PHASE_TARGET,
    SL_PHASE_AUTHORITY, /* CONNECT's target */
    SL_PHASE_VERSION,
    SL_PHASE_STATUS,     /* " 200", and what follows it */
    SL_PHASE_CR,         /* exactly CR */
    SL_PHASE_LF,         /* the LF of a line */
    SL_PHASE_LINE,       /* the first octet of a header line, or the CR of the empty one */
    SL_PHASE_FRAMING,    /* a name that so far is one of the two that frame the body */
    SL_PHASE_NAME,       /* collected: 0 only before its first octet */
    SL_PHASE_VALUE,      /* also a reason phrase */
    SL_PHASE_DIGITS,     /* Content-Length's value */
    SL_PHASE_CODING,     /* Transfer-Encoding's value */
    SL_PHASE_SPACES,     /* after these two */
    SL_PHASE_LAST_LF,    /* the LF of the empty line */
    SL_PHASE_WHOLE_HEAD, /* sl_http_body() decides */
    SL_PHASE_BODY,
    SL_PHASE_CHUNK_SIZE,
    SL_PHASE_CHUNK_SIZE_LF,
    SL_PHASE_CHUNK,
    SL_PHASE_CHUNK_CR,
    SL_PHASE_CHUNK_LF,
    SL_PHASE_STOPPED,
};

#define SL_HTTP_RESPONSE 0x01u
#define SL_HTTP_LENGTH 0x02u  /* Content-Length was seen */
#define SL_HTTP_CHUNKED 0x04u /* Transfer-Encoding */
#define SL_HTTP_TRAILER 0x08u
#define SL_HTTP_CODING_NAME 0x10u /* the FRAMING name is Transfer-Encoding */

#define SL_HTTP_NO_MARK 0xffffu

/* The window as a step sees it: the next octet to judge and the end. */
struct sl_http_view {
    const __u8* window;
    __u64 at;
    __u64 end;
};

static __always_inline const __u8* sl_http_pointer(const struct sl_http_view* view, __u64 offset) {
    __u64 index = view->at + offset;
#ifdef __bpf__
    __asm__ volatile("" : "+r"(index)); /* the masked value is the one that indexes */
#endif
    return view->window + (index & (SL_HTTP_WINDOW - 1));
}

/* Eight octets from `offset` on; those beyond the end do not count. */
static __always_inline __u64 sl_http_octets(const struct sl_http_view* view, __u64 offset) {
    return sl_octets_load(sl_http_pointer(view, offset));
}

static __always_inline __u8 sl_http_octet(const struct sl_http_view* view, __u64 offset) {
    return *sl_http_pointer(view, offset);
}

/* How many octets count, at most eight. */
static __always_inline __u64 sl_http_limit(const struct sl_http_view* view) {
    const __u64 rest = view->end - view->at;
    return rest < 8 ? rest : 8;
}

/* At the octet at view->at + used: not sure. */
static __always_inline void sl_http_stop(struct sl_http_state* scan, struct sl_http_view* view, __u8 reason,
                                         __u64 used) {
    view->at += used;
    scan->unsure = reason;
    scan->found = SL_HTTP_UNSURE;
    scan->phase = SL_PHASE_STOPPED;
}

static __always_inline void sl_http_malformed(struct sl_http_state* scan, struct sl_http_view* view, __u64 used) {
    sl_http_stop(scan, view, SL_REASON_UNOBSERVED_MALFORMED, used);
}

static __always_inline void sl_http_to(struct sl_http_state* scan, struct sl_http_view* view, __u8 phase, __u64 used) {
    view->at += used;
    scan->phase = phase;
    scan->collected = 0;
}

/* At view->at + used is a CR: takes it, and the LF if it is there already. */
static __always_inline void sl_http_line_end(struct sl_http_state* scan, struct sl_http_view* view, __u64 used) {
    const int both = view->at + used + 1 < view->end && sl_http_octet(view, used + 1) == '\n';
    sl_http_to(scan, view, both ? SL_PHASE_LINE : SL_PHASE_LF, used + 1 + both);
}

/* The verifier forgets what branches taught it of the view, so that paths that lead here look the same to it. */
static __always_inline void sl_http_forget(struct sl_http_view* view) {
#ifdef __bpf__
    __asm__ volatile("" : "+r"(view->at), "+r"(view->end));
    view->at &= 2 * SL_HTTP_WINDOW - 1;
    view->end &= 2 * SL_HTTP_WINDOW - 1;
#else
    (void)view;
#endif
}

/* Whether the stage of this phase may follow in the same step. */
static __always_inline int sl_http_next(const struct sl_http_state* scan, struct sl_http_view* view, __u8 phase) {
    sl_http_forget(view);
    return scan->phase == phase && view->at < view->end;
}

#endif
