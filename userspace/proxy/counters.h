// What one worker counts of finished requests, for metrics.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "proxy/append_list.h"
#include "proxy/record.h"
#include "telemetry/reading.h"

namespace sluice::proxy {

// The worker counts, any other thread reads: words are single-writer atomics, so that counting takes no lock and no
// locked instruction, and reading makes nobody wait. Rows are made on first use and stay; past kRowsMax requests are
// counted in one row a side, `other`.
class Counters : public Recorder {
  public:
    static constexpr std::size_t kRowsMax = 16384;
    static constexpr std::size_t kNamedMax = 4096;

    // `tables` are those of the publisher.
    explicit Counters(const sl_tables& tables) : tables_(tables), rows_at_(2 * kRowsMax), named_at_(2 * kNamedMax) {}

    // A request, as reporter="source" tells it: its own start and end, with retries, back-off and injected delays.
    void finished(const Record& record) override;
    // A try, as a proxy at the endpoint would have reported it (reporter="destination"). There is none, so what such a
    // proxy answers for its application is put in: 503 UF and UC where the connection could not be made or ended
    // without an answer, 502 UPE for one that is not HTTP. Whoever gave up on it (a time-out, the client) is its client
    // that went away: DC. Of a copy (mirror) status and flag stay as they are.
    void tried(const TryRecord& record) override;
    void mirror_skipped(const VirtualHost& host, const Cluster* cluster, const char* why) override;
    void refused(const VirtualHost* host, const char* why) override;

    // Any thread: calls for every row, with what was counted so far.
    using Visit = std::function<void(const telemetry::ProxiedLabels&, const sl_request_counts&)>;
    void visit(const Visit& call) const;
    // Any thread: adds what was counted so far.
    void read(telemetry::Reading& reading) const;

  private:
    struct Key {
        std::uint64_t from = 0;     // identity of the client's workload
        std::uint64_t service = 0;  // of the cluster's identity, or a hash of the host
        std::uint32_t to = 0;       // number of the endpoint's workload
        std::uint32_t reused = 0;   // how often that number was found to mean another workload
        std::uint32_t flags = 0;
        std::uint16_t status = 0;
        std::int8_t grpc = -1;  // status; -1: not gRPC, -2: gRPC without an answer
        telemetry::ProxiedLabels::Side side = telemetry::ProxiedLabels::Side::kSource;
        bool other = false;
        bool operator==(const Key&) const = default;
        std::uint64_t hash() const;
    };
    struct Row {
        Key key{};
        telemetry::ProxiedLabels labels{};
        sl_request_counts counts{};
        // The worker's alone: the model by which `to` was last found to mean labels.to. Held, so that its address does
        // not become another's.
        const model::Cluster* checked = nullptr;
        std::weak_ptr<const model::Cluster> held{};
    };
    struct Named {
        std::uint64_t key = 0;
        telemetry::ProxiedCount shown{};  // its count is unused
        std::uint64_t count = 0;
    };
    struct Measured {
        std::uint64_t started_ns, first_byte_ns, ended_ns, request_bytes, response_bytes;
    };

    template <typename Describe>
    Row& row(Key key, const Cluster* cluster, const sl_endpoint* endpoint, const Describe& describe);
    Row& add_row(Row made, std::size_t at);
    Row& other_row(telemetry::ProxiedLabels::Side side);
    static void count(Row& row, const Measured& measured);
    void count_named(telemetry::ProxiedCount::What what, const VirtualHost* host, const Cluster* cluster,
                     std::string_view why);

    const sl_tables& tables_;
    AppendList<Row, kRowsMax> rows_;
    AppendList<Named, kNamedMax> named_;
    // Open addressing; the worker's alone.
    std::vector<Row*> rows_at_;
    std::vector<Named*> named_at_;
};

}  // namespace sluice::proxy
