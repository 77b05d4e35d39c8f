// A watched connection without a kernel: a stream, and what the packet programs do around it.
#pragma once

// Programs read early octets from a map; here from this pool, of which `stashes` are there.
struct sl_stash;
inline sl_stash* stash_at(unsigned slot);
#define SL_STASH_AT(slot) stash_at(slot)
#include "bpf/lib/stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

inline unsigned stashes = SL_STASHES;
inline sl_stash* stash_at(unsigned slot) {
    static std::vector<sl_stash> all(SL_STASHES);
    return slot < stashes ? &all[slot] : nullptr;
}

namespace sluice::test {

struct Counted {
    int status = 0;
    int reason = 0;
    std::uint64_t request_bytes = 0;
    std::uint64_t response_bytes = 0;
    int method = 0;
    auto operator<=>(const Counted&) const = default;
    friend void PrintTo(const Counted& c, std::ostream* out) {
        *out << "{" << c.status << " reason " << c.reason << " " << c.request_bytes << "->" << c.response_bytes
             << " method " << c.method << "}";
    }
};

// A stream with what the packet programs do around it.
struct Watch {
    std::unique_ptr<sl_stream> stream = std::make_unique<sl_stream>();
    std::vector<Counted> counted;
    std::vector<int> statuses;
    std::uint64_t now = 1000;
    bool held = false;
    std::uint32_t left_for = SL_REASON_NONE;  // UNOBSERVED_*

    Watch(std::uint32_t snd, std::uint32_t rcv) { sl_stream_start(stream.get(), snd, rcv); }

    int watched() const { return static_cast<int>(stream->watched); }

    void sent(std::uint32_t seq, const std::string& bytes) {
        if (stream->watched != SL_REASON_NONE || bytes.empty()) {
            return;
        }
        sl_segment seg = segment(seq, bytes, false);
        sl_news news{};
        held = sl_stream_sent(bytes.data(), stream.get(), &seg, &news) == 0;
        take(news);
    }
    void received(std::uint32_t seq, const std::string& bytes, bool fin = false) {
        if (stream->watched != SL_REASON_NONE || (bytes.empty() && !fin)) {
            return;
        }
        sl_segment seg = segment(seq, bytes, fin);
        sl_news news{};
        sl_stream_received(bytes.data(), stream.get(), &seg, &news);
        if (news.status) {
            statuses.push_back(static_cast<int>(news.status));
        }
        take(news);
    }
    void ends(std::uint32_t reason) {
        const bool under_way = sl_stream_ends(stream.get(), &reason);
        stream->watched = SL_STREAM_OFF;
        if (under_way) {
            finish(reason);
        }
    }

  private:
    sl_segment segment(std::uint32_t seq, const std::string& bytes, bool fin) {
        now += 10;
        return {now, 0, static_cast<__u32>(bytes.size()), seq, fin};
    }
    void take(const sl_news& news) {
        if (news.finished) {
            finish(news.reason);
        }
        if (news.unobserved) {
            sl_stream_leave(stream.get(), news.unobserved);
            left_for = news.unobserved;
        }
    }
    void finish(std::uint32_t reason) {
        sl_finished done{};
        int closed = 0;
        if (sl_stream_finish(stream.get(), now, SL_GATE_AS_WANTED, &done, &closed)) {
            counted.push_back(
                {done.status, static_cast<int>(reason), done.request_bytes, done.response_bytes, done.method});
        }
    }
};

}  // namespace sluice::test
