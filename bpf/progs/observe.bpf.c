/* The packets of watched connections: requests as they leave, answers as they come.
 *
 * A socket without stream (not of the mesh, or not of an HTTP port) costs one look into its storage. Nothing is ever
 * changed, and nothing held back but the begin of a request whose gate is closed.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps/streams.h"
#include "requests.h"

char LICENSE[] SEC("license") = "GPL";

#define SL_PASS 1
#define SL_HOLD 0
#define SL_IPV6_HEADER 40
/* How often an ingress run asks for the lock that another CPU holds: for some milliseconds, as a hypervisor may have
 * taken that CPU away. */
#define SL_LOCK_TRIES (1u << 18)

static __always_inline struct sl_stream* sl_stream_of(struct __sk_buff* skb) {
    struct bpf_sock* sk = skb->sk;
    if (!sk) {
        return 0;
    }
    struct sl_stream* stream = bpf_sk_storage_get(&streams, sk, 0, 0); /* none for what is no full socket */
    return stream && sl_load(&stream->watched) == SL_REASON_NONE ? stream : 0;
}

/* Where the payload is; 0: not a TCP segment that can be read. data begins with the IP header, and headers are linear.
 */
static __always_inline int sl_segment_of(struct __sk_buff* skb, struct sl_segment* seg) {
    const __u8* data = (const __u8*)(long)skb->data;
    const __u8* end = (const __u8*)(long)skb->data_end;
    if (data + 40 > end) { /* no IPv4 or IPv6 TCP header is shorter */
        return 0;
    }
    __u32 header = SL_IPV6_HEADER;
    __u8 protocol = data[6];
    if (data[0] >> 4 == 4) {
        header = (data[0] & 0xf) * 4;
        protocol = data[9];
    }
    const struct tcphdr* tcp = (const struct tcphdr*)(data + header);
    if (protocol != IPPROTO_TCP || (const __u8*)(tcp + 1) > end) {
        return 0;
    }
    header += tcp->doff * 4;
    if (skb->len < header) {
        return 0;
    }
    seg->now_ns = 0;
    seg->offset = header;
    seg->length = skb->len - header;
    seg->seq = bpf_ntohl(tcp->seq);
    seg->fin = tcp->fin;
    return 1;
}

SEC("cgroup_skb/egress")
int sl_egress(struct __sk_buff* skb) {
    struct sl_stream* stream = sl_stream_of(skb);
    struct sl_segment seg;
    if (!stream || !sl_segment_of(skb, &seg) || !seg.length) {
        return SL_PASS;
    }
    seg.now_ns = skb->tstamp; /* TCP's own time of sending */
    struct sl_news news = {};
    if (!sl_stream_sent(skb, stream, &seg, &news)) {
        sl_count(SL_REASON_GATED);
        return SL_HOLD;
    }
    if (news.finished) {
        sl_finish(stream, SL_REASON_NONE, SL_SEGMENT_TIME(&seg));
    }
    if (news.unobserved) {
        sl_unobserve(stream, news.unobserved);
    }
    return SL_PASS;
}

struct sl_locking {
    struct sl_stream* stream;
    __u64 held;
};

SL_STEP sl_lock_step(__u32 i, void* data) {
    struct sl_locking* locking = (struct sl_locking*)data;
    (void)i;
    /* Looked at first: taking the line away at each try would hold up who has it. */
    locking->held = sl_load(&locking->stream->lock) == 0 && sl_cas(&locking->stream->lock, 0, 1) == 0;
    return (long)locking->held;
}

/* Answers may come on two CPUs at once; never on one, as softirqs do not interrupt each other. */
static __always_inline int sl_stream_lock(struct sl_stream* stream) {
    struct sl_locking locking = {.stream = stream};
    if (sl_cas(&stream->lock, 0, 1) == 0) {
        return 1;
    }
    SL_LOOP(SL_LOCK_TRIES, sl_lock_step, &locking);
    return locking.held != 0;
}

SEC("cgroup_skb/ingress")
int sl_ingress(struct __sk_buff* skb) {
    struct sl_stream* stream = sl_stream_of(skb);
    struct sl_segment seg;
    if (!stream || !sl_segment_of(skb, &seg) || !(seg.length | seg.fin)) {
        return SL_PASS;
    }
    if (!sl_stream_lock(stream)) {
        sl_unobserve(stream, SL_REASON_UNOBSERVED_BUSY);
        return SL_PASS;
    }
    struct sl_news news = {};
    sl_stream_received(skb, stream, &seg, &news);
    if (news.status && sl_answer_matters(stream, news.status)) {
        sl_answered(stream, news.status, SL_SEGMENT_TIME(&seg));
    }
    if (news.finished) {
        sl_finish(stream, news.reason, SL_SEGMENT_TIME(&seg));
    }
    if (news.unobserved) {
        sl_unobserve(stream, news.unobserved);
    }
    sl_xchg(&stream->lock, 0);
    return SL_PASS;
}
