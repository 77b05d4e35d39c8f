#include "proxy/mirror.h"

#include <string>
#include <utility>

#include "http/writer.h"
#include "proxy/downstream.h"
#include "proxy/replies.h"
#include "proxy/worker.h"

namespace sluice::proxy {

// One copy; used again for the next.
class Mirrors::Copy final : public TryHandler {
  public:
    explicit Copy(Mirrors& all) : all_(all), timer_(all.worker_.loop(), *this, [](Copy& c) { c.on_timeout(); }) {}

    void start(const ClientConnection& connection, HeldTable* held, const Context& context, const ClusterPtr& cluster,
               const Pieces& body);
    void clear();

    std::size_t place = 0;  // in copies_
    std::uint64_t charged = 0;

  private:
    void on_ready(Try& attempt) override;
    void on_head(Try&, http::ResponseHead& head) override;
    void on_body(Try&, io::Slice data) override { record_.response_bytes += data.size(); }
    void on_end(Try&, http::ResponseHead&) override { over(0); }
    void on_failed(Try&, Failure failure, bool, int) override { over(failure_flag(failure)); }
    void on_drained(Try&) override {}
    void on_raw(Try&, io::Slice) override {}
    void on_raw_end(Try&) override {}
    void on_timeout();
    void over(std::uint32_t flags);

    Mirrors& all_;
    std::unique_ptr<Try> try_;
    std::string head_, tail_;  // text before and behind the body
    Pieces body_;
    TryRecord record_;
    HeldTable* held_ = nullptr;
    std::shared_ptr<const Client> client_;
    std::string cookie_;  // none is set: the answer goes nowhere
    io::Timer timer_;
};

void Mirrors::Copy::start(const ClientConnection& connection, HeldTable* held, const Context& context,
                          const ClusterPtr& cluster, const Pieces& body) {
    Worker& worker = all_.worker_;
    const http::RequestHead& head = *context.asked->head;
    held_ = held;
    ++held->users;
    client_ = connection.dialled().client;
    body_ = body;
    body_.rewind();
    http::Framing framing = head.framing;
    if (framing == http::Framing::kChunked && head.trailers.empty()) {
        framing = http::Framing::kLength;
    }
    write_request(context, head, framing, body_.octets(), head_);
    if (framing == http::Framing::kChunked) {
        if (body_.octets() != 0) {
            http::write_chunk_begin(head_, body_.octets());
            tail_.append("\r\n");
        }
        http::write_last_chunk(tail_, head.trailers);
    }
    record_ = TryRecord{};
    record_.client = client_.get();
    record_.cluster = cluster.get();
    record_.started_ns = worker.now_ns();
    record_.mirror = true;
    if (context.rule->timeout_ns != 0) {
        timer_.start(std::chrono::nanoseconds(context.rule->timeout_ns));
    }
    const std::optional<std::uint64_t> key = hash_key(cluster->model(), *context.asked, connection.number(), cookie_);
    TryRequest request;
    request.cluster = &cluster;  // of the held table
    request.client = client_->number;
    request.netns = connection.dialled().netns;
    request.has_key = key.has_value();
    request.key = key.value_or(0);
    request.head_request = head.method == "HEAD";
    try_ = worker.upstreams().start(request, *this);
    if (try_->ready()) {
        on_ready(*try_);
    }
}

void Mirrors::Copy::on_ready(Try& attempt) {
    attempt.write(head_);
    while (body_.next() != 0) {
        body_.write_next(attempt);
    }
    if (!tail_.empty()) {
        attempt.write(tail_);
    }
    attempt.request_end();
    record_.request_bytes = head_.size() + body_.octets() + tail_.size();
}

void Mirrors::Copy::on_head(Try&, http::ResponseHead& head) {
    record_.response_bytes += head.octets;
    if (head.status >= 200) {
        record_.status = head.status;
        record_.first_byte_ns = all_.worker_.now_ns();
    }
}

void Mirrors::Copy::on_timeout() {
    try_->report_timeout();
    over(bit(Flag::kUpstreamRequestTimeout));
}

void Mirrors::Copy::over(std::uint32_t flags) {
    record_.endpoint = try_->endpoint();
    record_.flags = flags;
    record_.ended_ns = all_.worker_.now_ns();
    all_.worker_.recorder().tried(record_);
    all_.over(*this);
}

void Mirrors::Copy::clear() {
    timer_.stop();
    try_.reset();
    head_.clear();
    tail_.clear();
    body_.clear();
    client_.reset();
    if (held_ != nullptr) {
        all_.worker_.release_table(std::exchange(held_, nullptr));
    }
}

Mirrors::Mirrors(Worker& worker) : worker_(worker) {}

Mirrors::~Mirrors() {
    for (std::size_t i = 0; i < under_way_; ++i) {
        copies_[i]->clear();
    }
}

bool Mirrors::hold(std::uint64_t octets) {
    if (octets_ + octets > worker_.limits().mirror_octets) {
        return false;
    }
    octets_ += octets;
    return true;
}

void Mirrors::send(const ClientConnection& connection, HeldTable* held, const Context& context,
                   const ClusterPtr& cluster, const Pieces* body) {
    const char* skipped = nullptr;
    if (cluster == nullptr) {
        skipped = "cluster_not_found";
    } else if (body == nullptr) {
        skipped = "body";
    } else if (under_way_ >= worker_.limits().mirrors) {
        skipped = "requests";
    } else if (!hold(body->octets())) {
        skipped = "octets";
    }
    if (skipped != nullptr) {
        return worker_.recorder().mirror_skipped(*context.host, cluster.get(), skipped);
    }
    if (under_way_ == copies_.size()) {
        copies_.push_back(std::make_unique<Copy>(*this));
    }
    Copy& copy = *copies_[under_way_];
    copy.place = under_way_++;
    copy.charged = body->octets();
    copy.start(connection, held, context, cluster, *body);
}

void Mirrors::over(Copy& copy) {
    copy.clear();
    let_go(copy.charged);
    const std::size_t last = --under_way_;
    std::swap(copies_[copy.place], copies_[last]);
    std::swap(copies_[copy.place]->place, copies_[last]->place);
}

}  // namespace sluice::proxy
