/* The key of consistentHash.useSourceIp: XXH64 (seed 0) of the 16 address bytes, network order, IPv4 v4-mapped.
 * XXH64 specification: github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md; this is its path for 16 bytes. */
#ifndef SLUICE_BPF_LIB_HASH_H
#define SLUICE_BPF_LIB_HASH_H

#include "sluice/abi/base.h"

#define SL_XXH_PRIME_1 0x9e3779b185ebca87ull
#define SL_XXH_PRIME_2 0xc2b2ae3d27d4eb4full
#define SL_XXH_PRIME_3 0x165667b19e3779f9ull
#define SL_XXH_PRIME_4 0x85ebca77c2b2ae63ull
#define SL_XXH_PRIME_5 0x27d4eb2f165667c5ull

static __always_inline __u64 sl_rotate_left(__u64 value, __u32 bits) {
    return (value << bits) | (value >> (64 - bits));
}

static __always_inline __u64 sl_hash_mix(__u64 hash, __u64 word) {
    hash ^= sl_rotate_left(word * SL_XXH_PRIME_2, 31) * SL_XXH_PRIME_1;
    return sl_rotate_left(hash, 27) * SL_XXH_PRIME_1 + SL_XXH_PRIME_4;
}

/* `first` and `second` are bytes 0..7 and 8..15 as a little-endian machine loads them. */
static __always_inline __u64 sl_hash_words(__u64 first, __u64 second) {
    __u64 hash = SL_XXH_PRIME_5 + 16;
    hash = sl_hash_mix(hash, first);
    hash = sl_hash_mix(hash, second);
    hash ^= hash >> 33;
    hash *= SL_XXH_PRIME_2;
    hash ^= hash >> 29;
    hash *= SL_XXH_PRIME_3;
    hash ^= hash >> 32;
    return hash;
}

static __always_inline __u64 sl_hash_address(const __u8* address) {
    __u64 words[2];
    __builtin_memcpy(words, address, sizeof(words));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    words[0] = __builtin_bswap64(words[0]);
    words[1] = __builtin_bswap64(words[1]);
#endif
    return sl_hash_words(words[0], words[1]);
}

#endif
