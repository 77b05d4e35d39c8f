// Tries at endpoints: the request's way there, time-outs, retries.
#include <algorithm>

#include "http/writer.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/retry.h"
#include "proxy/worker.h"

namespace sluice::proxy {

void Exchange::start_try() {
    stage_ = Stage::kWaiting;
    ++attempts_;
    try_open_ = true;
    tried_ = TryRecord{};
    tried_.client = &connection_->client();
    tried_.cluster = cluster_->get();
    tried_.started_ns = worker_.now_ns();
    TryRequest request;
    request.cluster = cluster_;
    request.client = connection_->client().number;
    request.netns = connection_->dialled().netns;
    request.has_key = key_.has_value();
    request.key = key_.value_or(0);
    request.head_request = head_.method == "HEAD";
    if (rule_->retry.avoid_previous) {
        request.avoid = endpoints_tried_.data();
        request.avoid_count = endpoints_tried_.size();
    }
    try_ = worker_.upstreams().start(request, *this);
    if (try_->ready()) {
        on_ready(*try_);
    }
}

void Exchange::on_ready(Try& attempt) {
    stage_ = Stage::kSent;
    std::string& text = worker_.text();
    write_request(context(), head_, head_.framing, head_.length, text);
    tried_.request_bytes += text.size();
    attempt.write(text);
    pieces_.rewind();
    flush();
    if (whole_) {
        end_request();
    }
}

// Gives the endpoint what is there of the body; its sender waits while too much of it is queued.
void Exchange::flush() {
    while (const std::size_t size = pieces_.next()) {
        if (head_.framing == http::Framing::kChunked) {
            std::string& text = worker_.text();
            http::write_chunk_begin(text, size);
            try_->write(text);
            pieces_.write_next(*try_);
            try_->write(std::string_view("\r\n"));
            tried_.request_bytes += text.size() + 2;
        } else {
            pieces_.write_next(*try_);
        }
        tried_.request_bytes += size;
    }
    if (!keep_for_retry_ && !keep_for_mirrors_) {
        pieces_.drop_written();
    }
    const bool full = !whole_ && try_->queued() > worker_.limits().buffered;
    if (full) {
        try_->want_drained();
    }
    connection_->pause(full);
}

// The request is whole, and so is what its endpoint got.
void Exchange::end_request() {
    if (head_.framing == http::Framing::kChunked) {
        std::string& text = worker_.text();
        http::write_last_chunk(text, head_.trailers);
        tried_.request_bytes += text.size();
        try_->write(text);
    }
    try_->request_end();
    if (rule_->retry.per_try_ns != 0 && answer_ == Answer::kNone) {
        try_timer_.start(std::chrono::nanoseconds(rule_->retry.per_try_ns));
    }
    send_mirrors();
}

// Copies go out once, when the request is whole and an endpoint was found for it.
void Exchange::send_mirrors() {
    if (mirrors_.empty()) {
        return;
    }
    Context copied = context();
    copied.mirror = true;
    copied.shadow_suffix = worker_.shadow_suffix();
    for (const std::uint32_t i : mirrors_) {
        worker_.mirrors().send(*connection_, held_, copied, rule_->mirrors[i].first,
                               keep_for_mirrors_ ? &pieces_ : nullptr);
    }
    mirrors_.clear();
    stop_keeping_for_mirrors();
}

void Exchange::stop_keeping_for_mirrors() {
    keep_for_mirrors_ = false;
    worker_.mirrors().let_go(std::exchange(mirror_charge_, 0));
}

// More than may be kept is not: then the request is not tried again, or not copied.
void Exchange::limit_body(std::size_t added) {
    if (keep_for_retry_ && body_octets_ > worker_.limits().retry_body) {
        keep_for_retry_ = may_retry_ = false;
    }
    if (!keep_for_mirrors_) {
        return;
    }
    if (body_octets_ <= worker_.limits().mirror_body && worker_.mirrors().hold(added)) {
        mirror_charge_ += added;
    } else {
        stop_keeping_for_mirrors();
    }
}

void Exchange::on_drained(Try&) {
    if (stage_ == Stage::kTunnel || stage_ == Stage::kSent) {
        connection_->pause(false);
    }
}

void Exchange::on_failed(Try& attempt, Failure failure, bool sent, int error) {
    if (unwanted_) {
        return drop_try();
    }
    sent_any_ = sent_any_ || sent;
    if (failure == Failure::kTermination && !sent && start_anew()) {
        return;
    }
    try_ended(failure_flag(failure));
    if (stage_ == Stage::kTunnel || answer_ == Answer::kBegun) {
        write_cut_details(failure, details_text_);
        return cut(details_text_, failure_flag(failure));
    }
    const Verdict what = verdict(covers(rule_->retry.on, failure, sent_any_));
    if (what == Verdict::kRetry) {
        endpoints_tried_.push_back(attempt.endpoint());
        drop_try();
        return back_off();
    }
    note(what);
    transport_.clear();
    write_transport_failure(failure, error, transport_);
    const bool before =
        failure == Failure::kNoHealthyUpstream || failure == Failure::kNoCluster || failure == Failure::kOverflow;
    if (whole_ && !before) {
        send_mirrors();
    }
    reply(failure_reply(failure, attempts_ > 1, transport_, body_text_, details_text_));
}

// An idle connection's end crossed the request, of which not one octet left: another one is taken, and nothing counts.
bool Exchange::start_anew() {
    static constexpr std::uint32_t kMost = 3;
    if (answer_ != Answer::kNone || (has_body() && !keep_for_retry_) || ++started_anew_ > kMost) {
        return false;
    }
    try_open_ = false;
    drop_try();
    --attempts_;
    start_try();
    return true;
}

// Whether the try that just failed, or was answered with what the conditions cover, is made again. Counts it.
Exchange::Verdict Exchange::verdict(bool covered) {
    end_retry();
    if (!may_retry_ || !covered || answer_ != Answer::kNone) {
        return Verdict::kFinal;
    }
    if (retries_left_ == 0) {
        return Verdict::kExhausted;
    }
    --retries_left_;
    std::shared_ptr<Breakers> breakers = (*cluster_)->breakers(connection_->client().number);
    if (breakers->retries.load(std::memory_order_relaxed) >= (*cluster_)->model().pool.max_retries) {
        breakers->retries_overflow.fetch_add(1, std::memory_order_relaxed);
        return Verdict::kOverflow;
    }
    breakers->retries.fetch_add(1, std::memory_order_relaxed);
    retrying_ = std::move(breakers);
    return Verdict::kRetry;
}

void Exchange::end_retry() {
    if (retrying_ != nullptr) {
        retrying_->retries.fetch_sub(1, std::memory_order_relaxed);
        retrying_.reset();
    }
}

void Exchange::note(Verdict what) {
    if (what == Verdict::kExhausted) {
        flags_ |= bit(Flag::kUpstreamRetryLimitExceeded);
    } else if (what == Verdict::kOverflow) {
        flags_ |= bit(Flag::kUpstreamOverflow);
    }
}

void Exchange::back_off() {
    stage_ = Stage::kBackOff;
    try_timer_.stop();
    const std::uint64_t wait = backoff_ns(rule_->retry, rule_->retry.attempts - retries_left_, worker_.random());
    wait_timer_.start(std::chrono::nanoseconds(wait));
}

void Exchange::on_wait() {
    if (stage_ == Stage::kDelay) {
        return inject_abort();
    }
    drop_try();
    start_try();
}

void Exchange::on_route_timeout() {
    if (try_ != nullptr && !unwanted_) {
        try_->report_timeout();
    }
    if (answer_ == Answer::kBegun) {
        if (try_open_) {
            try_ended(bit(Flag::kUpstreamRequestTimeout));
        }
        return cut(kTimeoutReply.details, kTimeoutReply.flags);
    }
    reply(kTimeoutReply);
}

void Exchange::on_try_timeout() {
    if (answer_ == Answer::kBegun || stage_ != Stage::kSent) {
        return;
    }
    sent_any_ = true;
    try_->report_timeout();
    try_ended(bit(Flag::kUpstreamRequestTimeout));
    const Verdict what = verdict(covers_timeout(rule_->retry.on));
    if (what == Verdict::kRetry) {
        endpoints_tried_.push_back(try_->endpoint());
        drop_try();
        return back_off();
    }
    note(what);
    reply(kTryTimeoutReply);
}

// Tells what became of the try; once for each.
void Exchange::try_ended(std::uint32_t flags) {
    try_open_ = false;
    tried_.endpoint = try_->endpoint();
    if (tried_.endpoint == SL_NONE) {
        return;  // no endpoint was asked
    }
    tried_.flags = flags;
    tried_.ended_ns = worker_.now_ns();
    worker_.recorder().tried(tried_);
}

void Exchange::drop_try() {
    try_timer_.stop();
    if (try_open_) {
        try_ended(0);
    }
    unwanted_ = false;
    answer_head_ = nullptr;
    try_.reset();
}

}  // namespace sluice::proxy
