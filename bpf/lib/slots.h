/* Where a finished request is counted, found without a hash table: each key has one place, and who comes first holds
 * it. Who finds another there counts in the `requests` map instead, and readers sum both. Two loads and two compares
 * are what nearly every request needs; looking the row up in a hash map took a tenth of the time of an answer.
 *
 * A slot goes from free to held by compare-and-swap of `what`; `who` follows, and nobody counts before it is there. It
 * becomes free again only in the agent's hands: LEFT first, which no key equals, and free after a grace period, when no
 * program can be counting in it any more.
 */
#ifndef SLUICE_BPF_LIB_SLOTS_H
#define SLUICE_BPF_LIB_SLOTS_H

#include "sluice/abi/http.h"
#include "tables.h"

/* The place of a key among `count` slots; 0: there are none. Fibonacci hashing of each word, so that keys that differ
 * in few bits lie apart. */
static __always_inline struct sl_request_slot* sl_slot_at(struct sl_request_slot* slots, __u32 count,
                                                          struct sl_slot_key key) {
    const __u64 mixed = key.who * 0x9e3779b97f4a7c15ull + key.what * 0xc2b2ae3d27d4eb4full;
    __u64 place = (mixed >> 32) * count >> 32;
    sl_opaque(place);
    if (place >= count) {
        return 0;
    }
    sl_bounded(place, count);
    return slots + place;
}

static __always_inline int sl_slot_holds(const struct sl_request_slot* slot, struct sl_slot_key key) {
    return sl_load(&slot->who) == key.who && sl_load(&slot->what) == key.what;
}

/* 1: the slot was free and is the key's now. */
static __always_inline int sl_slot_claim(struct sl_request_slot* slot, struct sl_slot_key key) {
    if (sl_cas(&slot->what, 0, key.what) != 0) {
        return 0;
    }
    sl_store(&slot->who, key.who);
    return 1;
}

#endif
