#include "proxy/exchange.h"

#include <algorithm>

#include "bpf/lib/request.h"
#include "http/writer.h"
#include "proxy/downstream.h"
#include "proxy/worker.h"

namespace sluice::proxy {

Exchange::Exchange(Worker& worker)
    : worker_(worker),
      parser_(worker.limits().head),
      wait_timer_(worker.loop(), *this, [](Exchange& e) { e.on_wait(); }),
      route_timer_(worker.loop(), *this, [](Exchange& e) { e.on_route_timeout(); }),
      try_timer_(worker.loop(), *this, [](Exchange& e) { e.on_try_timeout(); }) {}

Exchange::~Exchange() = default;

void Exchange::open(ClientConnection& connection) {
    connection_ = &connection;
    started_ns_ = worker_.now_ns();
    sent_from_ = connection.written();
}

void Exchange::head_whole() {
    begun_ = true;
    const bool allowed = allow_upgrade(head_, upgrade_);
    const bool empty =
        head_.framing == http::Framing::kNone || (head_.framing == http::Framing::kLength && head_.length == 0);
    if (upgrading() || (allowed && empty && parser_.next(head_, {}).event == http::Event::kEnd)) {
        whole_ = true;
        whole_ns_ = worker_.now_ns();
    }
    if (head_.find("x-request-id") == nullptr) {
        const std::uint64_t high = worker_.random();
        make_request_id(high, worker_.random(), request_id_);
    }
    const Dialled& dialled = connection_->dialled();
    asked_.head = &head_;
    if (!ask(head_, connection_->client(), dialled.port, path_, asked_)) {
        worker_.recorder().refused(nullptr, "path");
        return reply(kBadPathReply);
    }
    held_ = worker_.hold_table();
    if (held_ != nullptr) {
        const Table& table = *held_->table;
        const VirtualHost* here =
            dialled.host.empty() ? nullptr : table.find(connection_->client().scope, dialled.host, dialled.port);
        host_ = table.find(connection_->client(), here, dialled.port, asked_.authority);
    }
    if (!allowed) {
        return reply(kUpgradeReply);
    }
    rule_ = host_ == nullptr ? nullptr : host_->match(asked_);
    if (rule_ == nullptr) {
        return reply(kNoRouteReply);
    }
    if (rule_->config != nullptr && rule_->config->fault && rule_->config->fault->delay &&
        drawn(rule_->config->fault->delay->share, worker_.random())) {
        flags_ |= bit(Flag::kDelayInjected);
        stage_ = Stage::kDelay;
        return wait_timer_.start(rule_->config->fault->delay->duration);
    }
    inject_abort();
}

void Exchange::inject_abort() {
    const auto* fault = rule_->config != nullptr && rule_->config->fault ? &*rule_->config->fault : nullptr;
    if (fault == nullptr || !fault->abort || !drawn(fault->abort->share, worker_.random())) {
        return forward();
    }
    int status = fault->abort->status;
    if (fault->abort->grpc_status) {
        const std::string_view* type = head_.find("content-type");
        const bool grpc = type != nullptr && type->starts_with("application/grpc");
        status = grpc ? http_status_of_grpc(*fault->abort->grpc_status) : 200;
    }
    reply({status, bit(Flag::kFaultInjected), "fault filter abort", "fault_filter_abort"});
}

// From here on the route's clock runs, once the request is whole.
void Exchange::forward() {
    stage_ = Stage::kWaiting;
    std::string& text = worker_.text();
    int status = 0;
    if (write_local_action(context(), must_close(), text, status)) {
        close_ = has_body();  // as written (istio-measured 38)
        connection_->write_head(text);
        return answered_locally({status, 0, "", "direct_response"});
    }
    if (!choose_destination()) {
        return reply(kNoClusterReply);
    }
    key_ = hash_key((*cluster_)->model(), asked_, connection_->number(), set_cookie_);
    retries_left_ = rule_->retry.attempts;
    may_retry_ = keep_for_retry_ = retries_left_ > 0;
    for (std::uint32_t i = 0; i < rule_->mirrors.size(); ++i) {
        if (upgrade_.empty() && drawn(rule_->mirrors[i].second, worker_.random())) {
            mirrors_.push_back(i);
        }
    }
    keep_for_mirrors_ = !mirrors_.empty();
    if (whole_) {
        begin_clock();
    }
    start_try();
}

// Draws the destination; with on-subset-down: spill another one stands in for one without a usable endpoint.
bool Exchange::choose_destination() {
    const std::optional<std::size_t> drawn_one = choose(*rule_, asked_, worker_.random(), &assigned_);
    if (!drawn_one) {
        return false;
    }
    chosen_ = true;
    destination_ = *drawn_one;
    cluster_ = &rule_->destinations[destination_].cluster;
    if (*cluster_ == nullptr) {
        cluster_ = nullptr;
        return false;
    }
    const sl_tables& tables = worker_.tables();
    if (rule_->spill && (*cluster_)->current(tables) &&
        !sl_cluster_number_usable(&tables, (*cluster_)->number(), SL_REACH_V4 | SL_REACH_V6, worker_.now_ns())) {
        sl_ask asked{};
        asked.reach = SL_REACH_V4 | SL_REACH_V6;
        asked.now_ns = worker_.now_ns();
        asked.random.state = worker_.random();
        const std::uint32_t other = sl_choose_spill_column(&tables, rule_->columns.data(),
                                                           static_cast<std::uint32_t>(rule_->columns.size()), &asked);
        if (other < rule_->destinations.size() && rule_->destinations[other].cluster != nullptr) {
            destination_ = other;
            cluster_ = &rule_->destinations[other].cluster;
        }
    }
    return true;
}

void Exchange::begin_clock() {
    clock_ns_ = worker_.now_ns();
    if (rule_->timeout_ns != 0) {
        route_timer_.start(std::chrono::nanoseconds(rule_->timeout_ns));
    }
}

void Exchange::body(io::Slice piece) {
    body_octets_ += piece.size();
    pieces_.add(piece);
    limit_body(piece.size());
    if (stage_ == Stage::kSent) {
        flush();
    }
    // While no connection takes it, a body waits within its bound, and then its sender does.
    if (stage_ != Stage::kSent && pieces_.unwritten() > worker_.limits().buffered) {
        connection_->pause(true);
    }
}

void Exchange::request_whole() {
    whole_ = true;
    whole_ns_ = worker_.now_ns();
    if (stage_ == Stage::kRequest || stage_ == Stage::kDelay) {
        return;
    }
    if (clock_ns_ == 0) {
        begin_clock();
    }
    if (stage_ == Stage::kSent) {
        end_request();
    }
}

void Exchange::malformed(http::Refusal refusal) {
    worker_.recorder().refused(host_, http::refusal_name(refusal));
    close_ = true;
    if (answering()) {
        return cut("http1.codec_error", bit(Flag::kDownstreamProtocolError));
    }
    const int status = http::refusal_status(refusal);
    reply({status, bit(Flag::kDownstreamProtocolError), http::reason_phrase(status), "http1.codec_error"});
}

void Exchange::client_gone() {
    flags_ |= bit(Flag::kDownstreamConnectionTermination);
    details_ = "downstream_remote_disconnect";
    if (try_open_ && !unwanted_) {
        try_ended(bit(Flag::kDownstreamConnectionTermination));
    }
    close_out();
}

bool Exchange::has_body() const {
    return head_.framing == http::Framing::kChunked || (head_.framing == http::Framing::kLength && head_.length != 0);
}

// An answer with the request unread, to a client of HTTP/1.0 or that asked for it, and while draining, is the last.
bool Exchange::must_close() const {
    return close_ || !whole_ || !head_.keep_alive || head_.minor == 0 || upgrading() || connection_->half_closed() ||
           worker_.draining();
}

void Exchange::reply(const Reply& what) {
    std::string& text = worker_.text();
    write_local_reply(context(), what.status, what.body, what.overloaded, must_close(), text);
    connection_->write_head(text);
    answered_locally(what);
}

void Exchange::answered_locally(const Reply& what) {
    close_ = must_close();
    answer_ = Answer::kBegun;
    status_ = what.status;
    flags_ |= what.flags;
    details_ = what.details;
    answer_head_ = nullptr;
    if (first_byte_ns_ == 0) {
        first_byte_ns_ = worker_.now_ns();
    }
    if (try_open_ && !unwanted_) {
        try_ended(what.flags);
    }
    finish(!close_);
}

Context Exchange::context() const {
    Context context;
    context.asked = &asked_;
    context.host = host_;
    context.rule = rule_;
    context.destination = destination_;
    context.attempt = std::max(attempts_, 1u);
    context.request_id = request_id_;
    context.date = worker_.date();
    context.upgrade = upgrade_;
    context.service_time_ms = service_ms_;
    if (rule_ != nullptr) {
        std::uint64_t left = 0;
        if (rule_->timeout_ns != 0) {
            const std::uint64_t gone = clock_ns_ == 0 ? 0 : worker_.now_ns() - clock_ns_;
            left = std::max<std::uint64_t>(rule_->timeout_ns - std::min(gone, rule_->timeout_ns), 1'000'000);
        }
        const std::uint64_t one = rule_->retry.per_try_ns;
        context.remaining_ms = (one != 0 && (left == 0 || one < left) ? one : left) / 1'000'000;
    }
    return context;
}

}  // namespace sluice::proxy
