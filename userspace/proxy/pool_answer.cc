// A connection's answers: parsed, told to the try's handler, and what becomes of the connection behind them.
#include "bpf/lib/outlier.h"
#include "proxy/pool.h"

namespace sluice::proxy {

void Connection::parse(io::Slice data) {
    Try::State& attempt = *attempt_;
    for (;;) {
        if (!attempt.reading && !data.empty()) {
            stalled_data_ = std::move(data);
            stalled_ = true;
            return;
        }
        const http::Step step = parser_->next(attempt.head, data.text());
        io::Slice body;
        if (step.event == http::Event::kBody) {
            body = data.part(static_cast<std::size_t>(step.body.data() - data.data()), step.body.size());
        }
        data.drop_front(step.used);
        switch (step.event) {
            case http::Event::kMore:
                return;
            case http::Event::kHead:
                if (!head_came(attempt, data)) {
                    return;
                }
                break;
            case http::Event::kBody:
                attempt.handler->on_body(*attempt.self, std::move(body));
                if (attempt_ != &attempt) {
                    return;
                }
                break;
            case http::Event::kEnd:
                if (!std::exchange(informational_, false)) {
                    answer_ended(data.empty());
                    return;
                }
                break;
            case http::Event::kError:
                fail(Failure::kProtocolError, 0);
                return;
        }
    }
}

// False: there is nothing more to parse; the attempt may be gone.
bool Connection::head_came(Try::State& attempt, const io::Slice& rest) {
    const int status = attempt.head.status;
    informational_ = status < 200 && status != 101;
    const bool switches = status == 101 || (attempt.connect_request && status >= 200 && status < 300);
    if (!informational_) {
        attempt.answered = true;
        owner_->balancer.answered(host_->pool.key.number, attempt.endpoint, status, owner_->loop.now_ns());
    }
    attempt.handler->on_head(*attempt.self, attempt.head);
    if (attempt_ != &attempt) {
        return false;
    }
    if (!switches) {
        return true;
    }
    if (!attempt.raw) {
        fail(Failure::kProtocolError, 0);
    } else if (!rest.empty()) {
        attempt.handler->on_raw(*attempt.self, rest);
    }
    return false;
}

bool Connection::reusable(const Try::State& attempt) const {
    const model::Cluster& model = host_->pool.model();
    const std::uint32_t most = model.pool.max_requests_per_connection;
    return attempt.whole && attempt.head.keep_alive && stream_->queued() == 0 && (most == 0 || served_ < most) &&
           !expired(owner_->loop.now_ns());
}

// `clean`: no octet follows it. The connection goes to the next before the handler hears, who may want it again.
void Connection::answer_ended(bool clean) {
    Upstreams::Impl& owner = *owner_;
    Try::State& attempt = *detach();
    owner.over(attempt);
    owner.stats.poisoned += clean ? 0 : 1;
    if (clean && !finished_ && reusable(attempt)) {
        host_->offer(*this);
    } else {
        end(attempt.whole && clean ? How::kClose : How::kReset);
    }
    attempt.handler->on_end(*attempt.self, attempt.head);
}

void Connection::resume() {
    const Pin pin(*this);
    stalled_ = false;
    parse(std::exchange(stalled_data_, {}));
    if (stage_ == Stage::kBusy && attempt_ != nullptr && !stalled_) {
        if (finished_) {
            finish_error_ == 0 ? peer_finished() : fail(Failure::kTermination, finish_error_, How::kGone);
        } else if (attempt_->reading) {
            stream_->read(true);
        }
    }
}

void Connection::read(bool on) {
    if (!on) {
        stream_->read(false);
    } else if (stalled_) {
        owner_->later(*attempt_, Try::State::Due::kResume);
    } else {
        stream_->read(true);
    }
}

void Connection::peer_finished() {
    finished_ = true;
    const http::Step step = parser_->end(attempt_->head);
    if (step.event == http::Event::kEnd) {
        answer_ended(true);
    } else {
        fail(Failure::kTermination, 0);
    }
}

// The attempt fails with its connection.
void Connection::fail(Failure failure, int error, How how) {
    Upstreams::Impl& owner = *owner_;
    const bool sent = attempt_->written > stream_->queued();
    Try::State& attempt = *detach();
    // An endpoint that ended an idle connection before a request could leave for it has not failed.
    if (sent || served_ == 1) {
        owner.balancer.failed(host_->pool.key.number, attempt.endpoint, SL_FAILURE_CONNECT, owner.loop.now_ns());
    }
    owner.over(attempt);
    end(how);
    attempt.handler->on_failed(*attempt.self, failure, sent, error);
}

}  // namespace sluice::proxy
