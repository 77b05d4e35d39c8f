/* Loops whose length the verifier must not unroll: bpf_loop in programs (its step is verified once), `for` natively.
 *
 * SL_LOOP(n, step, data) calls step(0..n-1, data) until one returns non-zero. In programs n <= 1 << 23. State that a
 * step uses for indexing must be unknown to the verifier from the start (read from a table or random, never counted up
 * from a constant), or the verifier follows it through every value.
 */
#ifndef SLUICE_BPF_LIB_LOOP_H
#define SLUICE_BPF_LIB_LOOP_H

#include "sluice/abi/base.h"

/* A step is a function of its own in programs, so it cannot be inlined there. So is an SL_FUNCTION, natively an
 * ordinary one: it has a stack frame of its own and is verified once, by itself, whoever calls it. */
#ifdef __bpf__
#define SL_FUNCTION __attribute__((noinline, unused))
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#define SL_STEP static __attribute__((noinline, unused)) long
#define SL_LOOP(n, step, data) bpf_loop((n), (void*)(step), (data), 0)
#else
#define SL_FUNCTION static inline
#define SL_STEP static inline long
#define SL_LOOP(n, step, data)                                              \
    do {                                                                    \
        const __u32 sl_loop_n_ = (n);                                       \
        for (__u32 sl_loop_i_ = 0; sl_loop_i_ < sl_loop_n_; ++sl_loop_i_) { \
            if (step(sl_loop_i_, (data)) != 0) {                            \
                break;                                                      \
            }                                                               \
        }                                                                   \
    } while (0)
#endif

#endif
