#include "proxy/downstream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "base/ip.h"
#include "proxy/exchange.h"
#include "proxy/replies.h"
#include "proxy/worker.h"

namespace sluice::proxy {

static constexpr std::uint8_t kLingerSeconds = 30;  // for a client that does not read; else one second, as Envoy

static std::string address_text(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    if (ask(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        return {};
    }
    IpAddress ip;
    std::uint16_t port = 0;
    if (address.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        std::memcpy(ip.bytes.data(), &v6.sin6_addr, 16);
        port = ntohs(v6.sin6_port);
    } else {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        ip.bytes[10] = ip.bytes[11] = 0xff;
        std::memcpy(ip.bytes.data() + 12, &v4.sin_addr, 4);
        port = ntohs(v4.sin_port);
    }
    return endpoint_text(ip, port);
}

ClientConnection::ClientConnection(Worker& worker, Fd socket, std::shared_ptr<const Dialled> dialled)
    : worker_(worker),
      dialled_(std::move(dialled)),
      stream_(worker.loop(), std::move(socket), *this),
      timer_(worker.loop(), *this, [](ClientConnection& c) { c.on_timer(); }),
      number_(worker.random()),
      local_(address_text(stream_.fd(), ::getsockname)),
      remote_(address_text(stream_.fd(), ::getpeername)) {}

ClientConnection::~ClientConnection() = default;

void ClientConnection::start() {
    stream_.read(true);
    wait(Waiting::kNext, worker_.limits().idle_timeout);
    idle_since_ns_ = worker_.now_ns();
}

// ---- octets in -------------------------------------------------------------------------------------------------

void ClientConnection::on_data(io::Slice data) {
    if (mode_ != Mode::kOpen) {
        return;  // lingering: nobody reads it
    }
    if (exchange_ != nullptr && exchange_->tunnelled()) {
        return exchange_->raw(std::move(data));
    }
    if (exchange_ != nullptr && exchange_->whole()) {
        return keep(std::move(data));
    }
    take(std::move(data));
}

// Parses until nothing is left, or a request is whole and must be answered first.
void ClientConnection::take(io::Slice data) {
    taking_ = true;
    while (step(data)) {
    }
    taking_ = false;
    if (mode_ == Mode::kOpen && exchange_ == nullptr) {
        became_idle();
    }
}

// False: wait for more, or for the answer.
bool ClientConnection::step(io::Slice& data) {
    if (exchange_ == nullptr) {
        if (data.empty()) {
            return false;
        }
        exchange_ = worker_.take_exchange();
        exchange_->open(*this);
    }
    const http::Step step = exchange_->parser().next(exchange_->head(), data.text());
    exchange_->received(step.used);
    const io::Slice before = data;
    data.drop_front(step.used);
    switch (step.event) {
        case http::Event::kMore:
            head_late_or_idle();
            return false;
        case http::Event::kHead:
            if (waiting_ == Waiting::kHead) {
                wait_for_nothing();
            }
            exchange_->head_whole();
            break;
        case http::Event::kBody:
            exchange_->body(before.part(static_cast<std::size_t>(step.body.data() - before.data()), step.body.size()));
            break;
        case http::Event::kEnd:
            exchange_->request_whole();
            break;
        case http::Event::kError:
            broken();
            return false;
    }
    if (mode_ != Mode::kOpen) {
        return false;
    }
    if (exchange_ != nullptr && exchange_->whole()) {
        if (!data.empty()) {
            keep(std::move(data));
        }
        return false;
    }
    return true;
}

// The octets are used up within a message, or between two.
void ClientConnection::head_late_or_idle() {
    if (exchange_->parser().idle()) {
        worker_.give_back(std::exchange(exchange_, nullptr));
    } else if (!exchange_->begun() && waiting_ != Waiting::kHead) {
        wait(Waiting::kHead, worker_.limits().header_timeout);
    }
}

// What comes behind a whole request waits for its answer.
void ClientConnection::keep(io::Slice data) {
    rest_ = std::move(data);
    stream_.read(false);
}

void ClientConnection::resume() {
    if (rest_.empty()) {
        return became_idle();
    }
    stream_.read(true);
    take(std::exchange(rest_, {}));
}

void ClientConnection::pause(bool paused) {
    if (paused_ != paused && mode_ == Mode::kOpen) {
        paused_ = paused;
        stream_.read(!paused && rest_.empty());
    }
}

void ClientConnection::tunnel() {
    if (!rest_.empty()) {
        exchange_->raw(std::exchange(rest_, {}));
        stream_.read(!paused_);
    }
    if (half_closed_) {
        exchange_->raw_end();
    }
}

// The client's octets are no request, or stopped being one.
void ClientConnection::broken() {
    const http::Refusal refusal = exchange_->parser().refusal();
    if (exchange_->begun()) {
        return exchange_->malformed(refusal);
    }
    refuse(http::refusal_status(refusal), {}, http::refusal_name(refusal));
}

void ClientConnection::refuse(int status, std::string_view body, const char* why) {
    worker_.recorder().refused(nullptr, why);
    worker_.give_back(std::exchange(exchange_, nullptr));
    std::string& text = worker_.text();
    write_refusal(status, body, text);
    write_head(text);
    close(true);
}

// FIN. In the middle of a request, or between two, the client has left. Behind a whole one it may only have finished
// writing, as RFC 9112 9.6 allows, or be gone: every answer begins with the same octet, and a socket that nobody holds
// any more answers it with a reset.
void ClientConnection::on_end() {
    if (mode_ != Mode::kOpen) {
        return over();
    }
    if (exchange_ == nullptr) {
        return close(false);
    }
    half_closed_ = true;
    if (exchange_->tunnelled()) {
        return exchange_->raw_end();
    }
    if (!exchange_->whole()) {
        return gone();
    }
    if (!exchange_->answering() && !probed_) {
        probed_ = true;
        stream_.write(std::string_view("H"));
    }
}

void ClientConnection::on_closed(int) {
    gone();
}

void ClientConnection::gone() {
    if (exchange_ != nullptr) {
        if (exchange_->begun()) {
            exchange_->client_gone();
        } else {
            worker_.recorder().refused(nullptr, http::refusal_name(http::Refusal::kTooEarlyEnd));
        }
        worker_.give_back(std::exchange(exchange_, nullptr));
    }
    over();
}

// ---- octets out ------------------------------------------------------------------------------------------------

void ClientConnection::write_head(std::string_view text) {
    write(std::exchange(probed_, false) ? text.substr(1) : text);
}

void ClientConnection::write(std::string_view text) {
    written_ += text.size();
    stream_.write(text);
}

void ClientConnection::write(io::Slice data) {
    written_ += data.size();
    stream_.write(std::move(data));
}

void ClientConnection::on_drained() {
    if (exchange_ != nullptr) {
        exchange_->client_drained();
    }
}

void ClientConnection::exchange_over(bool again) {
    const bool unread = !exchange_->whole() || exchange_->tunnelled() || !rest_.empty();
    worker_.give_back(std::exchange(exchange_, nullptr));
    if (!again) {
        return close(unread);
    }
    pause(false);
    if (!taking_) {
        resume();
    }
}

void ClientConnection::exchange_cut(bool reset) {
    const bool unread = !exchange_->whole() || !rest_.empty();
    worker_.give_back(std::exchange(exchange_, nullptr));
    if (reset) {
        stream_.reset();
        return over();
    }
    close(unread);
}

// ---- time, and the end -----------------------------------------------------------------------------------------

void ClientConnection::wait(Waiting what, std::chrono::nanoseconds time) {
    waiting_ = what;
    timer_.start(time);
}

void ClientConnection::wait_for_nothing() {
    waiting_ = Waiting::kNothing;
    timer_.stop();
}

// The timer runs on over requests that come and go; on_timer() looks how long it really was.
void ClientConnection::became_idle() {
    if (half_closed_) {
        return close(false);
    }
    idle_since_ns_ = worker_.now_ns();
    if (worker_.draining()) {
        return drain();
    }
    if (waiting_ != Waiting::kNext) {
        wait(Waiting::kNext, worker_.limits().idle_timeout);
    }
}

void ClientConnection::on_timer() {
    const Waiting what = std::exchange(waiting_, Waiting::kNothing);
    if (what == Waiting::kHead) {
        return refuse(408, "request header timeout", "header_timeout");
    }
    if (what == Waiting::kLinger) {
        if (stream_.queued() != 0 && ++lingered_s_ < kLingerSeconds) {
            return wait(Waiting::kLinger, std::chrono::seconds(1));
        }
        stream_.reset();
        return over();
    }
    if (exchange_ != nullptr) {
        return;
    }
    if (what == Waiting::kLast) {
        return close(false);
    }
    const std::chrono::nanoseconds idle(worker_.now_ns() - idle_since_ns_);
    if (idle < worker_.limits().idle_timeout) {
        return wait(Waiting::kNext, worker_.limits().idle_timeout - idle);
    }
    close(false);
}

// After the last answer. Closing a socket with unread octets resets it, and the client may lose the answer: then only
// FIN is sent, and what still comes is thrown away for a while.
void ClientConnection::close(bool unread) {
    if (!unread || half_closed_) {
        stream_.close();
        return over();
    }
    mode_ = Mode::kLingering;
    rest_ = {};
    stream_.finish();
    stream_.read(true);
    wait(Waiting::kLinger, std::chrono::seconds(1));
}

// The next request may be on its way: it is answered too, with Connection: close.
void ClientConnection::drain() {
    if (mode_ == Mode::kOpen && exchange_ == nullptr) {
        wait(Waiting::kLast, std::chrono::seconds(1));
    }
}

void ClientConnection::cut() {
    if (exchange_ != nullptr) {
        if (exchange_->begun()) {
            exchange_->client_gone();
        }
        worker_.give_back(std::exchange(exchange_, nullptr));
    }
    stream_.reset();
    over();
}

void ClientConnection::over() {
    if (mode_ == Mode::kOver) {
        return;
    }
    mode_ = Mode::kOver;
    timer_.stop();
    rest_ = {};
    worker_.left(*this);
}

}  // namespace sluice::proxy
