/* The turn of a watched connection and its gate (sluice/abi/http.h): one shared word that egress, ingress, the end of
 * the connection and the agent's drain change by compare-and-swap. Beside the public bits it says how far the request
 * under way has come, so that exactly one of them counts it.
 */
#ifndef SLUICE_BPF_LIB_GATE_H
#define SLUICE_BPF_LIB_GATE_H

#include "sluice/abi/http.h"

#define SL_GATE_ASKED 0x100u    /* BUSY, and the request has left whole */
#define SL_GATE_ANSWERED 0x200u /* BUSY, and the answer has come whole */
#define SL_GATE_TURN (SL_GATE_BUSY | SL_GATE_ASKED | SL_GATE_ANSWERED)
/* Counts renewals, so that nobody who saw the gate before one can open it after. */
#define SL_GATE_RENEWAL 0x10000u
#define SL_GATE_PUBLIC (SL_GATE_BUSY | SL_GATE_WANTED | SL_GATE_CLOSED)
/* How often a change is tried against others; each one that gets in the way has come further by it. */
#define SL_GATE_TRIES 8

enum sl_gate_begun {
    SL_GATE_BEGUN,
    SL_GATE_TAKEN, /* a request is under way already */
    SL_GATE_SHUT,  /* closed: hold the octets back */
};

/* A request begins. A gate that was closed (at *closed_ns) for too long opens: nobody came to end the connection. */
static __always_inline enum sl_gate_begun sl_gate_begin(__u32* gate, const __u64* closed_ns, __u64 now_ns) {
    for (int i = 0; i < SL_GATE_TRIES; ++i) {
        const __u32 seen = sl_load(gate);
        if (seen & SL_GATE_BUSY) {
            return SL_GATE_TAKEN;
        }
        if ((seen & SL_GATE_CLOSED) && now_ns - sl_load(closed_ns) < SL_GATE_NS) {
            return SL_GATE_SHUT;
        }
        if (sl_cas(gate, seen, SL_GATE_BUSY) == seen) {
            return SL_GATE_BEGUN;
        }
    }
    return SL_GATE_SHUT;
}

/* Sets ASKED or ANSWERED. 1: both are there now, and the caller is the one who made it so. */
static __always_inline int sl_gate_reach(__u32* gate, __u32 step) {
    for (int i = 0; i < SL_GATE_TRIES; ++i) {
        const __u32 seen = sl_load(gate);
        if (!(seen & SL_GATE_BUSY) || (seen & step)) {
            return 0;
        }
        if (sl_cas(gate, seen, seen | step) == seen) {
            return ((seen | step) & SL_GATE_TURN) == SL_GATE_TURN;
        }
    }
    return 0;
}

enum sl_gate_wish {
    SL_GATE_AS_WANTED, /* close it when that was wanted */
    SL_GATE_CLOSE,     /* close it */
    SL_GATE_OPEN,      /* nobody would come to end the connection */
};

/* The request under way is over. 1: by this call, so the caller counts it. *closed: the gate is. */
static __always_inline int sl_gate_finish(__u32* gate, __u64* closed_ns, enum sl_gate_wish wish, __u64 now_ns,
                                          int* closed) {
    for (int i = 0; i < SL_GATE_TRIES; ++i) {
        const __u32 seen = sl_load(gate);
        if (!(seen & SL_GATE_BUSY)) {
            return 0;
        }
        __u32 after = seen & SL_GATE_CLOSED;
        if (wish == SL_GATE_CLOSE || (wish == SL_GATE_AS_WANTED && (seen & SL_GATE_WANTED))) {
            after = SL_GATE_CLOSED;
        }
        if (after && !(seen & SL_GATE_CLOSED)) {
            sl_store(closed_ns, now_ns);
        }
        if (sl_cas(gate, seen, after) == seen) {
            *closed = after != 0;
            return 1;
        }
    }
    return 0;
}

/* Someone wants to end the connection. Closes the gate at once when no request is under way, or whatever is (`now`);
 * else marks it. A gate that is closed stays so for SL_GATE_NS from now on. 1: closed. */
static __always_inline int sl_gate_want(__u32* gate, __u64* closed_ns, int now, __u64 now_ns) {
    for (int i = 0; i < SL_GATE_TRIES; ++i) {
        const __u32 seen = sl_load(gate);
        const int close = now || (seen & SL_GATE_CLOSED) || !(seen & SL_GATE_BUSY);
        __u32 after = seen | SL_GATE_WANTED;
        if (close) {
            sl_store(closed_ns, now_ns);
            after = ((seen | SL_GATE_CLOSED) & ~SL_GATE_WANTED) + SL_GATE_RENEWAL;
        }
        if (sl_cas(gate, seen, after) == seen) {
            return close;
        }
    }
    return 0;
}

#endif
