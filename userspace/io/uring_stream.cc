// What a stream asks of the ring, and what comes of it.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/uring.h"

namespace sluice::io {

void UringCore::arm(Stream::State& stream) {
    const std::uint64_t owner = tagged(&stream, kReceive);
    io_uring_sqe* sqe = request();
    ::io_uring_prep_recv(sqe, stream.fd, nullptr, 0, 0);
    sqe->user_data = owner;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kGroup;
    sqe->ioprio |= IORING_RECV_MULTISHOT;
    stream.is.armed = true;
    stream.is.cancelling = false;
    ++stream.pins;
}

// Receives at once what is there, up to kPull buffers. A stream whose user stops reading is received so: by as much as
// it may take, which is little enough to bound what waits and enough to be sent on in large segments.
void UringCore::pull(Stream::State& stream) {
    std::array<Slice, kPull> buffers;
    std::array<iovec, kPull> parts;
    std::size_t count = 0;
    for (Buffer* buffer; count < kPull && (buffer = pool_.take()) != nullptr; ++count) {
        buffers[count] = Slice(buffer, 0, buffer->capacity);
        parts[count] = {buffer->octets, buffer->capacity};
    }
    if (count == 0) {
        return starve(stream);
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    ssize_t got;
    do {
        ++stats_.system_calls;
        got = ::recvmsg(stream.fd, &message, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        stream.is.paced = false;
        if (got < 0 && errno == EAGAIN) {
            return mark_dirty(stream);
        }
        return ended(stream, got < 0 ? errno : 0);
    }
    auto left = static_cast<std::size_t>(got);
    for (std::size_t i = 0; left > 0; ++i) {
        const std::size_t size = std::min(left, buffers[i].size());
        stream.held.push(buffers[i].part(0, size));
        left -= size;
    }
    stream.is.paced = static_cast<std::size_t>(got) == count * pool_.octets();
    stream.is.paced ? mark_ready(stream) : mark_dirty(stream);
}

// Nothing more is received: FIN, or an error.
void UringCore::ended(Stream::State& stream, int error) {
    stream.is.ended = true;
    if (error != 0) {
        fail_stream(stream, error);
    } else {
        watch(stream);
    }
}

// Behind FIN nothing is received that would tell of a reset. Errors and hang-ups are reported unasked.
void UringCore::watch(Stream::State& stream) {
    io_uring_sqe* sqe = request();
    ::io_uring_prep_poll_add(sqe, stream.fd, 0);
    sqe->user_data = tagged(&stream, kReset);
    stream.is.watched = true;
    ++stream.pins;
}

void UringCore::watched(Stream::State& stream) {
    stream.is.watched = false;
    --stream.pins;
    int error = 0;
    socklen_t length = sizeof(error);
    if (stream.live() && ::getsockopt(stream.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) {
        ++stats_.system_calls;
        fail_stream(stream, error);
        deliver(stream);
    }
}

void UringCore::received(Stream::State& stream, int result, std::uint32_t flags) {
    Slice data = taken(flags, result > 0 ? static_cast<std::size_t>(result) : 0);
    const bool more = flags & IORING_CQE_F_MORE;
    if (!more) {
        --stream.pins;
        stream.is.armed = false;
        stream.is.cancelling = false;
    }
    if (!stream.live()) {
        return;
    }
    if (result > 0) {
        if (stream.is.read_on && stream.held.empty()) {
            stream.handler->on_data(std::move(data));
        } else {
            stream.is.paced = true;
            stream.held.push(std::move(data));
            if (more) {
                mark_dirty(stream);
            }
        }
    } else if (result == -ENOBUFS) {
        if (pool_.available() || in_ring_ > 0) {
            too_few_ = true;
        } else {
            starve(stream);
        }
    } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
        ended(stream, -result);
    }
    if (!more && stream.live()) {
        mark_dirty(stream);
        deliver(stream);
    }
}

void UringCore::deliver(Stream::State& stream) {
    const auto reads = [&stream] { return stream.live() && stream.is.read_on; };
    const auto give = [&] {
        while (reads() && !stream.held.empty()) {
            stream.handler->on_data(stream.held.pop());
        }
    };
    give();
    if (reads() && stream.is.paced && !stream.is.armed && !stream.is.ended && !stream.is.starved) {
        pull(stream);
        give();
    }
    if (!stream.live() || !stream.held.empty()) {
        return;
    }
    if (!stream.is.failed) {
        if (stream.is.ended && stream.is.read_on && !std::exchange(stream.is.end_told, true)) {
            stream.handler->on_end();
        }
        return;
    }
    // Writing failed: what was received before is delivered first.
    if (stream.is.ended || (!stream.is.armed && !stream.is.read_on && unread(stream) == 0)) {
        report_failure(stream);
    } else if (!stream.is.armed && stream.is.read_on) {
        mark_dirty(stream);
    }
}

void UringCore::send(Stream::State& stream) {
    const std::uint64_t owner = tagged(&stream, kSend);
    const std::size_t count = std::min(stream.out.count(), kParts);
    io_uring_sqe* sqe;
    if (count == 1) {
        sqe = request();
        ::io_uring_prep_send(sqe, stream.fd, stream.out[0].data(), stream.out[0].size(), MSG_NOSIGNAL);
    } else {
        if (messages_used_ == kMessages) {
            submit();
        }
        Message& message = messages_[messages_used_ % kMessages];
        ++messages_used_;
        for (std::size_t i = 0; i < count; ++i) {
            message.parts[i] = {const_cast<char*>(stream.out[i].data()), stream.out[i].size()};
        }
        message.head = {};
        message.head.msg_iov = message.parts.data();
        message.head.msg_iovlen = count;
        sqe = request();
        ::io_uring_prep_sendmsg(sqe, stream.fd, &message.head, MSG_NOSIGNAL);
    }
    sqe->user_data = owner;
    stream.is.sending = true;
    ++stream.pins;
}

void UringCore::sent(Stream::State& stream, int result) {
    stream.is.sending = false;
    --stream.pins;
    if (stream.is.gone || stream.is.failed) {
        stream.out.clear();
        return;
    }
    if (result >= 0) {
        stream.out.consume(static_cast<std::size_t>(result));
        stream.queued -= static_cast<std::size_t>(result);
    } else if (result != -EINTR && result != -EAGAIN) {
        write_failed(stream, -result);
        stream.out.clear();
        return;
    }
    if (!stream.out.empty() || stream.is.finish || stream.is.want_drained || stream.is.closing) {
        mark_dirty(stream);
    }
}

// Closes a stream that the kernel still works on. The requests hold the socket, so they are cancelled first; all of it
// happens in one submission.
void UringCore::let_go(Stream::State& stream) {
    if (stream.fd < 0) {
        return;
    }
    if (stream.is.armed && !stream.is.cancelling) {
        cancel(tagged(&stream, kReceive));
    }
    if (stream.is.sending) {
        cancel(tagged(&stream, kSend));
    }
    if (stream.is.watched) {
        cancel(tagged(&stream, kReset));
    }
    if (stream.is.connecting) {
        cancel(tagged(&stream, kConnect));
    }
    io_uring_sqe* sqe = request();
    ::io_uring_prep_close(sqe, std::exchange(stream.fd, -1));
    sqe->user_data = kNobody;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void UringCore::settle(Stream::State& stream) {
    if (stream.is.gone) {
        let_go(stream);
        return;
    }
    if (stream.is.connecting) {
        if (!std::exchange(stream.is.asked, true)) {
            const std::uint64_t owner = tagged(&stream, kConnect);
            io_uring_sqe* sqe = request();
            ::io_uring_prep_connect(sqe, stream.fd, reinterpret_cast<const sockaddr*>(&stream.address),
                                    stream.address_length);
            sqe->user_data = owner;
            ++stream.pins;
        }
        return;
    }
    if (stream.live()) {
        if (stream.is.read_on && !stream.is.armed && !stream.is.ended && !stream.is.starved) {
            stream.is.paced ? mark_ready(stream) : arm(stream);
        } else if (!stream.is.read_on && stream.is.armed && !stream.held.empty() &&
                   !std::exchange(stream.is.cancelling, true)) {
            cancel(tagged(&stream, kReceive));
        }
    }
    if (stream.is.failed || stream.is.sending) {
        return;
    }
    if (stream.out.empty()) {
        after_writing(stream);
    } else {
        send(stream);
    }
}

}  // namespace sluice::io
