/* MD5 (RFC 1321), for sticky splits: the bucket of a user is in the arithmetic of those who assigned users before, not
 * a defence against anybody. Text in pieces of any size; no table is copied in, constants are RFC 1321's. */
#ifndef SLUICE_BPF_LIB_MD5_H
#define SLUICE_BPF_LIB_MD5_H

#include "sluice/abi/base.h"

#define SL_MD5_BLOCK 64u

struct sl_md5 {
    __u32 state[4];
    __u64 length; /* octets so far */
    __u8 block[SL_MD5_BLOCK];
};

static __always_inline void sl_md5_begin(struct sl_md5* md5) {
    md5->state[0] = 0x67452301u;
    md5->state[1] = 0xefcdab89u;
    md5->state[2] = 0x98badcfeu;
    md5->state[3] = 0x10325476u;
    md5->length = 0;
}

static __always_inline __u32 sl_md5_word(const __u8* block, __u32 index) {
    return (__u32)block[4 * index] | (__u32)block[4 * index + 1] << 8 | (__u32)block[4 * index + 2] << 16 |
           (__u32)block[4 * index + 3] << 24;
}

/* Step i of the four rounds on the state {a, b, c, d}; `sine` is floor(2^32 * |sin(i + 1)|). */
static __always_inline void sl_md5_step(__u32* s, const __u8* block, __u32 i, __u32 sine, __u32 shift) {
    const __u32 b = s[1];
    const __u32 c = s[2];
    const __u32 d = s[3];
    const __u32 round = i / 16;
    const __u32 mixed = round == 0   ? (b & c) | (~b & d)
                        : round == 1 ? (d & b) | (~d & c)
                        : round == 2 ? b ^ c ^ d
                                     : c ^ (b | ~d);
    const __u32 index = (round == 0 ? i : round == 1 ? 5 * i + 1 : round == 2 ? 3 * i + 5 : 7 * i) & 15;
    const __u32 sum = s[0] + mixed + sine + sl_md5_word(block, index);
    s[0] = d;
    s[3] = c;
    s[2] = b;
    s[1] = b + (sum << shift | sum >> (32 - shift));
}

static __always_inline void sl_md5_blocks(struct sl_md5* md5) {
    static const __u32 sines[64] = {
        0xd76aa478u, 0xe8c7b756u, 0x242070dbu, 0xc1bdceeeu, 0xf57c0fafu, 0x4787c62au, 0xa8304613u, 0xfd469501u,
        0x698098d8u, 0x8b44f7afu, 0xffff5bb1u, 0x895cd7beu, 0x6b901122u, 0xfd987193u, 0xa679438eu, 0x49b40821u,
        0xf61e2562u, 0xc040b340u, 0x265e5a51u, 0xe9b6c7aau, 0xd62f105du, 0x02441453u, 0xd8a1e681u, 0xe7d3fbc8u,
        0x21e1cde6u, 0xc33707d6u, 0xf4d50d87u, 0x455a14edu, 0xa9e3e905u, 0xfcefa3f8u, 0x676f02d9u, 0x8d2a4c8au,
        0xfffa3942u, 0x8771f681u, 0x6d9d6122u, 0xfde5380cu, 0xa4beea44u, 0x4bdecfa9u, 0xf6bb4b60u, 0xbebfbc70u,
        0x289b7ec6u, 0xeaa127fau, 0xd4ef3085u, 0x04881d05u, 0xd9d4d039u, 0xe6db99e5u, 0x1fa27cf8u, 0xc4ac5665u,
        0xf4292244u, 0x432aff97u, 0xab9423a7u, 0xfc93a039u, 0x655b59c3u, 0x8f0ccc92u, 0xffeff47du, 0x85845dd1u,
        0x6fa87e4fu, 0xfe2ce6e0u, 0xa3014314u, 0x4e0811a1u, 0xf7537e82u, 0xbd3af235u, 0x2ad7d2bbu, 0xeb86d391u};
    static const __u8 shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    __u32 s[4] = {md5->state[0], md5->state[1], md5->state[2], md5->state[3]};
    for (__u32 i = 0; i < 64; ++i) {
        sl_md5_step(s, md5->block, i, sines[i], shifts[i / 16][i & 3]);
    }
    for (__u32 i = 0; i < 4; ++i) {
        md5->state[i] += s[i];
    }
}

static __always_inline void sl_md5_octet(struct sl_md5* md5, __u8 octet) {
    md5->block[md5->length++ & (SL_MD5_BLOCK - 1)] = octet;
    if ((md5->length & (SL_MD5_BLOCK - 1)) == 0) {
        sl_md5_blocks(md5);
    }
}

static __always_inline void sl_md5_add(struct sl_md5* md5, const void* text, __u64 size) {
    for (__u64 i = 0; i < size; ++i) {
        sl_md5_octet(md5, ((const __u8*)text)[i]);
    }
}

/* The digest is the octets of state[0..3], lowest first. Nothing may be added afterwards. */
static __always_inline void sl_md5_end(struct sl_md5* md5) {
    const __u64 bits = md5->length * 8;
    sl_md5_octet(md5, 0x80);
    while ((md5->length & (SL_MD5_BLOCK - 1)) != SL_MD5_BLOCK - 8) {
        sl_md5_octet(md5, 0);
    }
    for (__u32 i = 0; i < 8; ++i) {
        sl_md5_octet(md5, (__u8)(bits >> (8 * i)));
    }
}

/* The first eight hex digits of the ended digest, as a number. */
static __always_inline __u32 sl_md5_head(const struct sl_md5* md5) {
    return __builtin_bswap32(md5->state[0]);
}

#endif
