// States of streams and listeners from making to recycling, and what both back ends do with them alike.
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "io/core.h"

namespace sluice::io {
namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

void close_fd(int& fd) {
    if (fd >= 0) {
        ::close(std::exchange(fd, -1));
    }
}

}  // namespace

Slice SliceQueue::pop() {
    Slice first = std::move(slices_[head_++]);
    if (head_ == slices_.size()) {
        clear();
    }
    return first;
}

void SliceQueue::consume(std::size_t octets) {
    while (octets > 0) {
        Slice& first = slices_[head_];
        if (octets < first.size()) {
            first.drop_front(octets);
            break;
        }
        octets -= first.size();
        first = Slice{};
        ++head_;
    }
    if (empty()) {
        clear();
    } else if (head_ >= 64 && head_ * 2 >= slices_.size()) {  // a queue that is never empty does not grow for ever
        slices_.erase(slices_.begin(), slices_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
}

void SliceQueue::clear() {
    slices_.clear();
    head_ = 0;
}

Stream::State::State(Core& owner) : core(owner), give_up(owner, *this, [](State& state) { state.core.drop(state); }) {}

Listener::State::State(Core& owner) : core(owner), pause(owner, *this, [](State& state) { state.resume(); }) {}

void Listener::State::resume() {
    if (handler != nullptr && fd >= 0) {
        core.resume_listener(*this);
    }
}

void Core::bury() {
    std::erase_if(buried_, [this](Stream::State* stream) {
        if (stream->pins > 0 || stream->is.dirty || stream->is.ready || stream->is.starved) {
            return false;
        }
        close_fd(stream->fd);
        stream->out.clear();
        stream->queued = 0;
        stream->error = 0;
        stream->is = {};
        free_.push_back(stream);
        return true;
    });
    std::erase_if(buried_listeners_, [this](Listener::State* listener) {
        if (listener->pins > 0) {
            return false;
        }
        listener->armed = false;
        free_listeners_.push_back(listener);
        return true;
    });
}

Stream::State& Core::make_stream(int fd, StreamHandler& handler) {
    if (free_.empty()) {
        streams_.push_back(std::make_unique<Stream::State>(*this));
        free_.push_back(streams_.back().get());
    }
    Stream::State& stream = *free_.back();
    free_.pop_back();
    stream.fd = fd;
    stream.handler = &handler;
    return stream;
}

void Core::drop(Stream::State& stream) {
    if (std::exchange(stream.is.gone, true)) {
        return;
    }
    stream.handler = nullptr;
    stream.is.read_on = false;
    stream.give_up.stop();
    stream.held.clear();
    buried_.push_back(&stream);
    if (stream.pins == 0) {
        stream.out.clear();
        ++stats_.system_calls;
        close_fd(stream.fd);
    } else {
        mark_dirty(stream);  // the kernel has to let go of it first
    }
}

void Core::connected(Stream::State& stream, int error) {
    stream.is.connecting = false;
    if (error != 0) {
        fail_stream(stream, error);
        report_failure(stream);
        return;
    }
    mark_dirty(stream);
    if (stream.live()) {
        stream.handler->on_connected();
    }
}

void Core::after_writing(Stream::State& stream) {
    if (stream.is.finish && !std::exchange(stream.is.finished, true)) {
        ++stats_.system_calls;
        ::shutdown(stream.fd, SHUT_WR);
    }
    if (stream.live() && std::exchange(stream.is.want_drained, false)) {
        stream.handler->on_drained();
    }
    if (stream.is.closing && !stream.is.gone) {
        drop(stream);
    }
}

void Core::fail_stream(Stream::State& stream, int error) {
    if (std::exchange(stream.is.failed, true)) {
        return;
    }
    stream.error = error;
    stream.queued = 0;
    if (!stream.is.sending) {
        stream.out.clear();
    }
    if (stream.is.closing) {
        drop(stream);
    } else {
        mark_ready(stream);
    }
}

void Core::write_failed(Stream::State& stream, int error) {
    fail_stream(stream, error);
    if (!stream.is.gone) {
        stream.is.readable = true;
        ++stats_.system_calls;
        ::shutdown(stream.fd, SHUT_RDWR);
    }
}

void Core::report_failure(Stream::State& stream) {
    if (StreamHandler* handler = std::exchange(stream.handler, nullptr)) {
        handler->on_closed(stream.error);
    }
}

std::size_t Core::unread(const Stream::State& stream) {
    int octets = 0;
    ++stats_.system_calls;
    return ::ioctl(stream.fd, FIONREAD, &octets) == 0 ? static_cast<std::size_t>(octets) : 0;
}

void Core::write(Stream::State& stream, Slice data) {
    stream.queued += data.size();
    stream.out.push(std::move(data));
    mark_dirty(stream);
}

void Core::write(Stream::State& stream, std::string_view data) {
    stream.queued += data.size();
    while (!data.empty()) {
        if (text_.empty() || text_used_ == text_.size()) {
            text_ = Slice(pool_.take_beyond(), 0, pool_.octets());
            text_used_ = 0;
        }
        const std::size_t count = std::min(data.size(), text_.size() - text_used_);
        std::memcpy(const_cast<char*>(text_.data()) + text_used_, data.data(), count);
        const bool follows =
            !stream.out.empty() && stream.out.back().data() + stream.out.back().size() == text_.data() + text_used_;
        if (follows) {
            const std::size_t before = stream.out.back().size();
            stream.out.back() = text_.part(text_used_ - before, before + count);
        } else {
            stream.out.push(text_.part(text_used_, count));
        }
        text_used_ += count;
        data.remove_prefix(count);
    }
    mark_dirty(stream);
}

Listener::State& Core::make_listener(int fd, AcceptHandler& handler) {
    if (free_listeners_.empty()) {
        listeners_.push_back(std::make_unique<Listener::State>(*this));
        free_listeners_.push_back(listeners_.back().get());
    }
    Listener::State& listener = *free_listeners_.back();
    free_listeners_.pop_back();
    listener.fd = fd;
    listener.handler = &handler;
    return listener;
}

void Core::drop_listener(Listener::State& listener) {
    listener.pause.stop();
    listener.handler = nullptr;
    if (listener.fd >= 0) {
        stop_listener(listener);
        close_fd(listener.fd);
    }
    buried_listeners_.push_back(&listener);
}

void Core::accepted(Listener::State& listener, int fd) {
    Fd socket(fd);
    if (listener.handler != nullptr) {
        listener.handler->on_accept(std::move(socket));
    }
}

bool Core::accept_pauses(int error) {
    switch (error) {
        case EINTR:
        case ECONNABORTED:
        case EPERM:
        case EPROTO:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENONET:
        case ENOPROTOOPT:
            return false;
        default:
            return true;
    }
}

void Core::accept_failed(Listener::State& listener, int error) {
    listener.pause.start(kAcceptPause);
    if (listener.handler != nullptr) {
        listener.handler->on_accept_error(error);
    }
}

}  // namespace sluice::io
