// The answer's way back to the client, and raw octets once the protocol was changed.
#include "http/writer.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/retry.h"
#include "proxy/worker.h"

namespace sluice::proxy {

static constexpr std::uint64_t kUnwantedMost = 64 * 1024;  // octets of an answer that is only read to keep a connection

void Exchange::on_head(Try& attempt, http::ResponseHead& head) {
    tried_.response_bytes += head.octets;
    if (head.status < 200) {
        if (head.status != 101) {
            return inform(head);
        }
        return upgrading() ? switch_protocols(attempt, head) : void();  // else it fails as a protocol error
    }
    try_timer_.stop();
    tried_.status = head.status;
    tried_.first_byte_ns = worker_.now_ns();
    const Verdict what = verdict(covers(rule_->retry.on, head));
    if (what == Verdict::kRetry) {
        endpoints_tried_.push_back(attempt.endpoint());
        unwanted_ = true;  // read to its end while the next try waits, so that the connection can be used again
        return back_off();
    }
    note(what);
    begin_answer(head);
}

// 1xx. A client of HTTP/1.0 knows none, and one that does not read gets no more of them.
void Exchange::inform(const http::ResponseHead& head) {
    if (head_.minor == 0 || connection_->queued() > worker_.limits().buffered) {
        return;
    }
    answer_ = Answer::kInformed;
    Context told = context();
    told.service_time_ms = UINT64_MAX;
    std::string& text = worker_.text();
    write_response(told, head, http::Framing::kNone, 0, {}, false, text);
    connection_->write_head(text);
}

// How the client is told where the body ends; of an answer that has none by its nature (HEAD, 304) the length that it
// would have.
http::Framing Exchange::answer_framing(const http::ResponseHead& head, std::uint64_t& length) const {
    length = head.length;
    if (no_body_) {
        const bool told = head.framing == http::Framing::kLength && head.status != 204;
        return told ? http::Framing::kLength : http::Framing::kNone;
    }
    if (head.framing == http::Framing::kChunked || head.framing == http::Framing::kUntilClose) {
        return head_.minor == 0 ? http::Framing::kUntilClose : http::Framing::kChunked;
    }
    return head.framing;
}

void Exchange::begin_answer(const http::ResponseHead& head) {
    answer_ = Answer::kBegun;
    answer_head_ = &head;
    status_ = head.status;
    details_ = "via_upstream";
    first_byte_ns_ = worker_.now_ns();
    close_ = must_close();
    no_body_ = head_.method == "HEAD" || head.status == 204 || head.status == 304;
    service_ms_ = whole_ ? (first_byte_ns_ - clock_ns_) / 1'000'000 : UINT64_MAX;
    std::uint64_t length = 0;
    framing_ = answer_framing(head, length);
    std::string& text = worker_.text();
    write_response(context(), head, framing_, length, set_cookie_, close_, text);
    connection_->write_head(text);
}

void Exchange::on_body(Try& attempt, io::Slice data) {
    tried_.response_bytes += data.size();
    if (unwanted_) {
        if (tried_.response_bytes > kUnwantedMost) {
            try_ended(0);
            drop_try();
        }
        return;
    }
    sent_body_ += data.size();
    if (framing_ == http::Framing::kChunked) {
        std::string& text = worker_.text();
        http::write_chunk_begin(text, data.size());
        connection_->write(text);
        connection_->write(std::move(data));
        connection_->write(std::string_view("\r\n"));
    } else {
        connection_->write(std::move(data));
    }
    if (connection_->queued() > worker_.limits().buffered) {
        attempt.read(false);
        connection_->want_drained();
    }
}

void Exchange::client_drained() {
    if (try_ != nullptr && !unwanted_ && (answer_ == Answer::kBegun || stage_ == Stage::kTunnel)) {
        try_->read(true);
    }
}

void Exchange::on_end(Try&, http::ResponseHead& head) {
    try_ended(0);
    if (unwanted_) {
        return drop_try();
    }
    answer_head_ = &head;
    if (framing_ == http::Framing::kChunked) {
        std::string& text = worker_.text();
        http::write_last_chunk(text, head.trailers);
        connection_->write(text);
    }
    finish(!close_);
}

// The answer stops short of its end. Where its end is the connection's, only a reset shows that.
void Exchange::cut(std::string_view details, std::uint32_t flags) {
    flags_ |= flags;
    details_ = details;
    answer_head_ = nullptr;
    ClientConnection& connection = *connection_;
    const bool reset = framing_ == http::Framing::kUntilClose;
    close_out();
    connection.exchange_cut(reset);
}

void Exchange::finish(bool again) {
    ClientConnection& connection = *connection_;
    close_out();
    connection.exchange_over(again);
}

// ---- after an upgrade ----------------------------------------------------------------------------------------

void Exchange::switch_protocols(Try& attempt, const http::ResponseHead& head) {
    end_retry();
    route_timer_.stop();
    try_timer_.stop();
    stage_ = Stage::kTunnel;
    attempt.upgraded();
    begin_answer(head);
    connection_->tunnel();
}

void Exchange::raw(io::Slice data) {
    body_octets_ += data.size();
    tried_.request_bytes += data.size();
    try_->write(std::move(data));
    if (try_->queued() > worker_.limits().buffered) {
        connection_->pause(true);
        try_->want_drained();
    }
}

void Exchange::raw_end() {
    try_->finish_raw();
}

void Exchange::on_raw(Try& attempt, io::Slice data) {
    tried_.response_bytes += data.size();
    sent_body_ += data.size();
    connection_->write(std::move(data));
    if (connection_->queued() > worker_.limits().buffered) {
        attempt.read(false);
        connection_->want_drained();
    }
}

// As in HTTP the answer's end is the end of the exchange; the client's FIN is only passed on.
void Exchange::on_raw_end(Try&) {
    try_ended(0);
    finish(false);
}

}  // namespace sluice::proxy
