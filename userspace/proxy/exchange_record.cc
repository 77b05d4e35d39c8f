// What metrics and logs are told of an exchange, and its way back among the free ones.
#include <charconv>

#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

namespace sluice::proxy {

static int grpc_status_of(const http::ResponseHead& head) {
    const std::string_view* found = head.find("grpc-status");
    for (const http::Field& field : head.trailers) {
        if (http::same_name(field.name, "grpc-status")) {
            found = &field.value;
        }
    }
    int status = -1;
    if (found != nullptr) {
        std::from_chars(found->data(), found->data() + found->size(), status);
    }
    return status;
}

void Exchange::record() {
    Record out;
    out.client = &connection_->client();
    out.host = host_;
    out.rule = rule_;
    out.cluster = cluster_ == nullptr ? nullptr : cluster_->get();
    out.request = &head_;
    out.response = answer_head_;
    out.status = status_;
    out.flags = flags_;
    out.details = details_;
    out.started_ns = started_ns_;
    out.request_end_ns = whole_ns_;
    out.first_byte_ns = first_byte_ns_;
    out.ended_ns = worker_.now_ns();
    out.service_time_ms = service_ms_;
    out.request_bytes = received_;
    out.response_bytes = connection_->written() - sent_from_;
    out.received_body = body_octets_;
    out.sent_body = sent_body_;
    out.attempts = attempts_;
    if (chosen_ && rule_->split != nullptr) {
        out.split = rule_->split.get();
        if (assigned_) {
            out.assigned = &*assigned_;
            out.arm = out.split->arm_of(*assigned_, static_cast<std::uint32_t>(destination_));
        }
    }
    if (try_ != nullptr) {
        out.endpoint = try_->endpoint();
        out.upstream_address = try_->address();
        out.upstream_local_address = try_->local_address();
    }
    out.downstream_local_address = connection_->local_address();
    out.downstream_remote_address = connection_->remote_address();
    const std::string_view* sent_id = head_.find("x-request-id");
    out.request_id = sent_id == nullptr ? std::string_view(request_id_) : *sent_id;
    out.authority = asked_.authority;
    out.upstream_failure = transport_;
    const std::string_view* type = head_.find("content-type");
    out.grpc = type != nullptr && type->starts_with("application/grpc");
    if (out.grpc && answer_head_ != nullptr) {
        out.grpc_status = grpc_status_of(*answer_head_);
    }
    worker_.recorder().finished(out);
}

// Told, and nothing of it goes on: the try ends, timers stop, what was held is let go.
void Exchange::close_out() {
    record();
    end_retry();
    drop_try();
    wait_timer_.stop();
    route_timer_.stop();
    if (held_ != nullptr) {
        worker_.release_table(std::exchange(held_, nullptr));
    }
    stop_keeping_for_mirrors();
}

void Exchange::clear() {
    if (!parser_.idle()) {
        parser_ = http::RequestParser(worker_.limits().head);  // stopped within a message
    }
    head_.clear();
    connection_ = nullptr;
    host_ = nullptr;
    rule_ = nullptr;
    cluster_ = nullptr;
    destination_ = 0;
    assigned_.reset();
    chosen_ = false;
    asked_ = {};
    path_.clear();
    set_cookie_.clear();
    upgrade_ = {};
    request_id_.clear();
    key_.reset();
    pieces_.clear();
    body_octets_ = received_ = 0;
    begun_ = whole_ = keep_for_retry_ = keep_for_mirrors_ = false;
    mirrors_.clear();
    stage_ = Stage::kRequest;
    sent_any_ = may_retry_ = try_open_ = false;
    attempts_ = retries_left_ = started_anew_ = 0;
    endpoints_tried_.clear();
    answer_ = Answer::kNone;
    framing_ = http::Framing::kNone;
    close_ = no_body_ = false;
    status_ = 0;
    flags_ = 0;
    details_ = {};
    transport_.clear();
    started_ns_ = whole_ns_ = clock_ns_ = first_byte_ns_ = 0;
    service_ms_ = sent_body_ = 0;
}

}  // namespace sluice::proxy
