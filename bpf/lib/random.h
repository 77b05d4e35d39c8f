/* Random words for one decision: SplitMix64 (Steele, Lea, Flood 2014) from one 64-bit seed, so that a decision may draw
 * as often as it needs while programs call the kernel's generator once or twice. */
#ifndef SLUICE_BPF_LIB_RANDOM_H
#define SLUICE_BPF_LIB_RANDOM_H

#include "sluice/abi/base.h"

struct sl_random {
    __u64 state;
};

static __always_inline __u64 sl_random_next(struct sl_random* random) {
    __u64 z = (random->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Uniform in [0, bound), bound > 0, from the upper half of one draw (multiply-shift; bias < bound / 2^32). */
static __always_inline __u32 sl_random_below(struct sl_random* random, __u32 bound) {
    return (__u32)(((sl_random_next(random) >> 32) * bound) >> 32);
}

#endif
