/* Buckets of Istio's histograms (SL_HISTOGRAM_BOUNDS_X2): the first whose bound is not below the value. A search
 * without branches, so that it costs the verifier one path and the CPU five loads. */
#ifndef SLUICE_BPF_LIB_HISTOGRAM_H
#define SLUICE_BPF_LIB_HISTOGRAM_H

#include "sluice/abi/http.h"
#include "tables.h"

#define SL_HISTOGRAM_TOP (1ull << 40)
/* Padded to a power of two. */
static const __u64 sl_histogram_bounds[32] = {
    SL_HISTOGRAM_BOUNDS_X2, SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP,
    SL_HISTOGRAM_TOP,       SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP,
    SL_HISTOGRAM_TOP,       SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP, SL_HISTOGRAM_TOP,
};

/* Moves `at` past the next `half` bounds when the last of them is below the value. The mask, of the bits that can be
 * set by then, tells the verifier so. */
#define SL_HISTOGRAM_HALF(at, half, value, unit)                                            \
    do {                                                                                    \
        (at) += ((sl_histogram_bounds[(at) + (half)-1] * (unit) - (value)) >> 63) * (half); \
        sl_opaque(at);                                                                      \
        (at) &= 32 - (half);                                                                \
    } while (0)

/* Of a value that counts `unit` for half of what the bounds count. */
static __always_inline __u64 sl_histogram_bucket(__u64 value, __u64 unit) {
    __u64 at = 0;
    if (value > SL_HISTOGRAM_TOP * unit) {
        value = SL_HISTOGRAM_TOP * unit;
    }
    SL_HISTOGRAM_HALF(at, 16, value, unit);
    SL_HISTOGRAM_HALF(at, 8, value, unit);
    SL_HISTOGRAM_HALF(at, 4, value, unit);
    SL_HISTOGRAM_HALF(at, 2, value, unit);
    SL_HISTOGRAM_HALF(at, 1, value, unit);
    if (at >= SL_HISTOGRAM_BUCKETS) {
        at = SL_HISTOGRAM_BUCKETS - 1;
    }
    sl_bounded(at, SL_HISTOGRAM_BUCKETS);
    return at;
}

static __always_inline __u64 sl_histogram_bytes(__u64 bytes) {
    return sl_histogram_bucket(bytes < SL_HISTOGRAM_TOP ? 2 * bytes : SL_HISTOGRAM_TOP, 1);
}

static __always_inline __u64 sl_histogram_duration(__u64 ns) {
    return sl_histogram_bucket(ns, SL_HISTOGRAM_HALF_MS_NS);
}

#endif
