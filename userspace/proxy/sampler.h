// Finished requests for those who watch them as they end (`sluice tail`), and copies for those who judge them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

#include "proxy/record.h"
#include "sluice/abi/http.h"

namespace sluice::proxy {

// As the kernel's samples, with what only the proxy knows. Texts end with 0 and are cut off where they are longer.
struct Sample {
    sl_sample seen{};         // of a proxied request without cookie, reason and method
    bool proxied = false;     // else all that follows means nothing
    bool mirror = false;      // a copy by a mirror rule: only times, status, flags, cluster and endpoint are told
    std::uint16_t port = 0;   // of the service that was asked for; 0: none was found
    std::uint32_t flags = 0;  // Flag
    std::uint32_t attempts = 0;
    std::array<char, 128> host{};   // of that service
    std::array<char, 64> client{};  // "ns/name" of its workload; empty: unknown
    std::array<char, 16> method{};
    std::array<char, 48> route{};
    std::array<char, 96> details{};
};

// One worker's ring of them; what finds it full is counted as lost.
class Sampler final : public Recorder {
  public:
    static constexpr std::size_t kSamples = 1024;

    // `tables` are those of the publisher: requests are taken while their control.sample_until_ns lies ahead.
    explicit Sampler(const sl_tables& tables) : tables_(tables) {}

    void finished(const Record& record) override;
    void tried(const TryRecord& record) override;  // of copies alone
    void mirror_skipped(const VirtualHost&, const Cluster*, const char*) override {}
    void refused(const VirtualHost*, const char*) override {}

    // Calls for each sample since the last call, oldest first. One other thread at a time.
    void take(const std::function<void(const Sample&)>& call) const;
    // Any thread.
    std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

  private:
    bool wanted(std::uint64_t ended_ns) const;
    // Where the next one goes, once published by advancing head_; null: there is no room, which is counted.
    Sample* place();

    const sl_tables& tables_;
    std::array<Sample, kSamples> samples_;
    std::atomic<std::uint64_t> head_{0}, lost_{0};
    mutable std::atomic<std::uint64_t> tail_{0};
};

}  // namespace sluice::proxy
