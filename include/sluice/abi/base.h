/* Base types and shared-word access for structs that kernel programs and userspace both touch.
 *
 * Compiled three ways: BPF C (clang -target bpf), C and C++. Everything in include/sluice/abi/ is host byte order
 * unless its type says __be16/__be32; all padding is explicit; sizes and key offsets are asserted beside each struct.
 */
#ifndef SLUICE_ABI_BASE_H
#define SLUICE_ABI_BASE_H

#include <linux/types.h>

#ifdef __cplusplus
#define SL_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define SL_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#ifdef __cplusplus
#define SL_OFFSETOF(type, member) __builtin_offsetof(type, member)
#else
#define SL_OFFSETOF(type, member) __builtin_offsetof(struct type, member)
#endif

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Bumped when a table layout changes; names the pin directory `sluice/v<abi>`. */
#define SL_ABI_VERSION 4

/* "No row": the all-ones index is never a valid row of any table. */
#define SL_NONE 0xffffffffu

/* A slot that no reader may choose: newer than every generation. */
#define SL_GENERATION_EMPTY 0xffffffffffffffffull

/* Shared words. BPF (clang 14, -mcpu=v3) has no atomic load, store or fence: volatile access and __sync read-modify-
 * write are what it offers, and aligned words are never torn. Natively __atomic, so that TSan sees every access. */
#ifdef __bpf__
#define sl_load(p) (*(const volatile __typeof__(*(p))*)(p))
#define sl_store(p, v) (*(volatile __typeof__(*(p))*)(p) = (v))
#define sl_add(p, v) __sync_fetch_and_add((p), (v))
#define sl_sub(p, v) __sync_fetch_and_add((p), -(v))
#define sl_xchg(p, v) __sync_lock_test_and_set((p), (v))
/* Returns the value found; the exchange happened when it equals `expected`. */
#define sl_cas(p, expected, desired) __sync_val_compare_and_swap((p), (expected), (desired))
#else
#define sl_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sl_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define sl_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define sl_sub(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define sl_xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define sl_cas(p, expected, desired)                                                                        \
    __extension__({                                                                                         \
        __typeof__(*(p)) sl_cas_found_ = (expected);                                                        \
        __atomic_compare_exchange_n((p), &sl_cas_found_, (desired), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
        sl_cas_found_;                                                                                      \
    })
#endif

/* A 128-bit identity: the XXH3 hash of a canonical name (see userspace/base/identity.h). */
struct sl_id {
    __u64 hi;
    __u64 lo;
};

#endif
