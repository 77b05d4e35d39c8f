/* Eight octets at a time, in one 64-bit word whose lowest byte came first (little-endian machines only).
 *
 * A set of octets is a word with 0x80 in each byte that belongs to it. Sets marked "first" are exact up to their first
 * member only, which is all that looking for a first octet needs (Mycroft's zero byte test borrows upwards).
 */
#ifndef SLUICE_BPF_LIB_HTTP1_WORDS_H
#define SLUICE_BPF_LIB_HTTP1_WORDS_H

#include "sluice/abi/base.h"

#define SL_OCTETS(c) ((__u64)(c)*0x0101010101010101ull)
#define SL_HIGH SL_OCTETS(0x80)
/* The word of eight octets that came in this order. */
#define SL_WORD(a, b, c, d, e, f, g, h)                                                                         \
    ((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 | \
     (__u64)(g) << 48 | (__u64)(h) << 56)

/* Eight octets at any address. Programs may load them so from map values and packets, but not from their stack. */
static __always_inline __u64 sl_octets_load(const __u8* from) {
#ifdef __bpf__
    return *(const __u64*)from;
#else
    __u64 octets;
    __builtin_memcpy(&octets, from, sizeof octets);
    return octets;
#endif
}

static __always_inline __u8 sl_octet(__u64 octets, __u64 index) {
    return (__u8)(octets >> ((index & 7) * 8));
}

/* The lowest `count` octets, count <= 8. */
static __always_inline __u64 sl_octets_low(__u64 octets, __u64 count) {
    return count ? octets & (~0ull >> (64 - count * 8)) : 0;
}

/* Where the first octet of a set is that has one. */
static __always_inline __u64 sl_octets_first(__u64 set) {
    /* The lowest bit, shifted down to 1 << 8i, moves byte 7 - i of the factor, which is i, to the top. */
    return (((set & (0 - set)) >> 7) * 0x0001020304050607ull) >> 56;
}

/* How many octets come before the first one of `set`, at most `limit` (<= 8). */
static __always_inline __u64 sl_octets_before(__u64 set, __u64 limit) {
    set &= SL_HIGH;
    if (limit < 8) {
        set |= 0x80ull << (limit * 8);
    }
    return set ? sl_octets_first(set) : 8;
}

/* lowest <= octet <= highest, both below 0x80. Exact. */
static __always_inline __u64 sl_octets_in(__u64 octets, __u8 lowest, __u8 highest) {
    const __u64 seven = octets & ~SL_HIGH;
    return ((seven + SL_OCTETS(0x80 - lowest)) ^ (seven + SL_OCTETS(0x7f - highest))) & ~octets;
}

static __always_inline __u64 sl_octets_differ(__u64 octets, __u64 other) {
    const __u64 difference = octets ^ other;
    return ((difference & ~SL_HIGH) + ~SL_HIGH) | difference;
}

/* First. octet == c */
static __always_inline __u64 sl_octets_equal_first(__u64 octets, __u8 c) {
    const __u64 difference = octets ^ SL_OCTETS(c);
    return (difference - SL_OCTETS(1)) & ~difference;
}

/* First. octet < c, c <= 0x80 */
static __always_inline __u64 sl_octets_less_first(__u64 octets, __u8 c) {
    return (octets - SL_OCTETS(c)) & ~octets;
}

/* 0x7f. Exact. */
static __always_inline __u64 sl_octets_delete(__u64 octets) {
    return ((octets & ~SL_HIGH) + SL_OCTETS(1)) & ~octets;
}

static __always_inline __u64 sl_octets_digit(__u64 octets) {
    return sl_octets_in(octets, '0', '9');
}

static __always_inline __u64 sl_octets_hex(__u64 octets) {
    return sl_octets_digit(octets) | sl_octets_in(octets | SL_OCTETS(0x20), 'a', 'f');
}

/* The value of `count` decimal digits, count <= 8. */
static __always_inline __u64 sl_octets_decimal(__u64 octets, __u64 count) {
    if (!count) {
        return 0;
    }
    octets = (octets & SL_OCTETS(0x0f)) << (64 - count * 8);
    octets = octets * 10 + (octets >> 8); /* pairs, in every other byte */
    octets = (octets & 0x00ff00ff00ff00ffull) * 100 + ((octets >> 16) & 0x00ff00ff00ff00ffull);
    octets = (octets & 0x0000ffff0000ffffull) * 10000 + ((octets >> 32) & 0x0000ffff0000ffffull);
    return octets & 0xffffffffull;
}

/* The value of `count` hexadecimal digits, count <= 8. */
static __always_inline __u64 sl_octets_hexadecimal(__u64 octets, __u64 count) {
    if (!count) {
        return 0;
    }
    octets = ((octets & SL_OCTETS(0x0f)) + ((octets >> 6) & SL_OCTETS(1)) * 9) << (64 - count * 8);
    octets = ((octets << 4) | (octets >> 8)) & 0x00ff00ff00ff00ffull;
    octets = ((octets << 8) | (octets >> 16)) & 0x0000ffff0000ffffull;
    return ((octets << 16) | (octets >> 32)) & 0xffffffffull;
}

#endif
