// The io_uring back end, for kernels from 6.0 on. A turn is one system call: it submits what the turn before asked for
// and waits. Streams receive by a request that stays armed (multishot) into buffers that the kernel picks from a ring;
// the ring is filled again from the pool before each wait.
//
// A stream whose user stops reading stays armed until something comes: that is kept, and the receive is cancelled with
// the next system call, so that what is kept is what one turn brings. From then on the stream is received by plain
// calls of a bounded size, until it has read all that there was: one buffer a request would make small segments of what
// is sent on, and cost half as much again for bodies of a megabyte.
#include "io/uring.h"

#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace sluice::io {
namespace {

constexpr unsigned kRequests = 512;      // submission queue
constexpr unsigned kCompletions = 8192;  // completion queue; the kernel keeps what does not fit

}  // namespace

// The flags cost nothing where they are known: completions are made by our own thread, and only when it asks for them.
// The ring is enabled by run(), so that its thread is the one that may submit.
Result<> UringCore::open() {
    if (!wake_) {
        return fail_errno("event loop: eventfd");
    }
    constexpr unsigned kAlways = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER;
    int error = 0;
    for (const unsigned flags :
         {IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0u}) {
        io_uring_params parameters{};
        parameters.flags = kAlways | flags;
        parameters.cq_entries = kCompletions;
        error = -::io_uring_queue_init_params(kRequests, &ring_, &parameters);
        if (error != EINVAL) {
            break;
        }
    }
    if (error != 0) {
        return fail_errno(error, "io_uring (Linux 6.0 or newer, not switched off by kernel.io_uring_disabled)");
    }
    opened_ = true;
    void* memory = ::mmap(nullptr, kRingBuffers * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return fail_errno("io_uring: memory of the buffer ring");
    }
    buffers_ = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_reg ring{};
    ring.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    ring.ring_entries = kRingBuffers;
    ring.bgid = kGroup;
    if (const int failed = ::io_uring_register_buf_ring(&ring_, &ring, 0); failed != 0) {
        return fail_errno(-failed, "io_uring: buffer ring");
    }
    ::io_uring_buf_ring_init(buffers_);
    for (unsigned id = kRingBuffers; id > 0; --id) {
        free_ids_.push_back(static_cast<std::uint16_t>(id - 1));
    }
    return {};
}

UringCore::~UringCore() {
    if (opened_) {
        ::io_uring_queue_exit(&ring_);
    }
    if (buffers_ != nullptr) {
        ::munmap(buffers_, kRingBuffers * sizeof(io_uring_buf));
    }
}

void UringCore::begin() {
    if (!running_ring_) {
        running_ring_ = true;
        if (!enabled_) {
            enabled_ = true;
            // liburing 2.3 does not export its own function for this.
            ::io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
            arm_wake();
        }
        ::io_uring_register_ring_fd(&ring_);  // spares a look-up a system call; without it all works as well
        for (Listener::State* listener : early_) {
            arm(*listener);
        }
        early_.clear();
    }
}

void UringCore::flush() {
    submit();
    ::io_uring_unregister_ring_fd(&ring_);
    running_ring_ = false;
}

void UringCore::submit() {
    ++stats_.system_calls;
    ::io_uring_submit(&ring_);
    if (::io_uring_sq_ready(&ring_) == 0) {
        messages_used_ = 0;
    }
}

// The next free request; a full queue is submitted first.
io_uring_sqe* UringCore::request() {
    io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
        submit();
        sqe = ::io_uring_get_sqe(&ring_);
    }
    return sqe;
}

void UringCore::wait(std::uint64_t timeout_ns) {
    begin();
    fill();
    ++stats_.system_calls;
    if (timeout_ns == 0 || ::io_uring_cq_ready(&ring_) > 0) {
        ::io_uring_submit_and_get_events(&ring_);
    } else {
        __kernel_timespec limit{.tv_sec = static_cast<long long>(timeout_ns / 1'000'000'000),
                                .tv_nsec = static_cast<long long>(timeout_ns % 1'000'000'000)};
        io_uring_cqe* first = nullptr;
        ::io_uring_submit_and_wait_timeout(&ring_, &first, 1, timeout_ns == kForever ? nullptr : &limit, nullptr);
    }
    if (::io_uring_sq_ready(&ring_) == 0) {
        messages_used_ = 0;
    }
    begin_turn();
    for (unsigned left = ::io_uring_cq_ready(&ring_); left > 0; --left) {
        io_uring_cqe* cqe = nullptr;
        if (::io_uring_peek_cqe(&ring_, &cqe) != 0 || cqe == nullptr) {
            break;
        }
        const std::uint64_t owner = cqe->user_data;
        const int result = cqe->res;
        const std::uint32_t flags = cqe->flags;
        ::io_uring_cqe_seen(&ring_, cqe);
        completed(owner, result, flags);
    }
}

void UringCore::completed(std::uint64_t owner, int result, std::uint32_t flags) {
    void* state = reinterpret_cast<void*>(owner & ~kTags);
    switch (owner & kTags) {
        case kWake:
            if (!(flags & IORING_CQE_F_MORE)) {
                arm_wake();
            }
            break;
        case kAccept:
            accept_done(*static_cast<Listener::State*>(state), result, flags);
            break;
        case kConnect: {
            auto& stream = *static_cast<Stream::State*>(state);
            --stream.pins;
            if (!stream.is.gone) {
                connected(stream, -result);
            }
            break;
        }
        case kReceive:
            received(*static_cast<Stream::State*>(state), result, flags);
            break;
        case kSend:
            sent(*static_cast<Stream::State*>(state), result);
            break;
        case kReset:
            watched(*static_cast<Stream::State*>(state));
            break;
        default:
            break;
    }
}

// Each write of the eventfd is a completion, so that it need not be read.
void UringCore::arm_wake() {
    io_uring_sqe* sqe = request();
    ::io_uring_prep_poll_multishot(sqe, wake_.get(), POLLIN);
    sqe->user_data = kWake;
}

void UringCore::cancel(std::uint64_t owner) {
    io_uring_sqe* sqe = request();
    ::io_uring_prep_cancel64(sqe, owner, 0);
    sqe->user_data = kNobody;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

// Buffers for the kernel to receive into.
void UringCore::fill() {
    if (std::exchange(too_few_, false)) {
        wanted_ = std::min<std::uint64_t>(wanted_ * 2, kRingBuffers);
    }
    int added = 0;
    while (in_ring_ < wanted_ && !free_ids_.empty()) {
        Buffer* buffer = pool_.take();
        if (buffer == nullptr) {
            break;
        }
        const std::uint16_t id = free_ids_.back();
        free_ids_.pop_back();
        by_id_[id] = buffer;
        ::io_uring_buf_ring_add(buffers_, buffer->octets, buffer->capacity, id, ::io_uring_buf_ring_mask(kRingBuffers),
                                added++);
        ++in_ring_;
    }
    if (added > 0) {
        ::io_uring_buf_ring_advance(buffers_, added);
    }
}

// The buffer that a completion names, as a slice; it is no longer in the ring.
Slice UringCore::taken(std::uint32_t flags, std::size_t octets) {
    if (!(flags & IORING_CQE_F_BUFFER)) {
        return {};
    }
    const auto id = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    free_ids_.push_back(id);
    --in_ring_;
    return Slice(std::exchange(by_id_[id], nullptr), 0, static_cast<std::uint32_t>(octets));
}

void UringCore::open_listener(Listener::State& listener) {
    if (running_ring_) {
        arm(listener);
    } else {
        early_.push_back(&listener);
    }
}

void UringCore::arm(Listener::State& listener) {
    const std::uint64_t owner = tagged(&listener, kAccept);
    io_uring_sqe* sqe = request();
    ::io_uring_prep_multishot_accept(sqe, listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    sqe->user_data = owner;
    listener.armed = true;
    ++listener.pins;
}

// In step with the kernel, because whoever takes the socket over must get every connection from now on.
void UringCore::stop_listener(Listener::State& listener) {
    std::erase(early_, &listener);
    if (!listener.armed) {
        return;
    }
    submit();
    io_uring_sync_cancel_reg which{};
    which.addr = tagged(&listener, kAccept);
    which.fd = -1;
    which.timeout = {.tv_sec = -1, .tv_nsec = -1};
    ++stats_.system_calls;
    ::io_uring_register_sync_cancel(&ring_, &which);
}

void UringCore::accept_done(Listener::State& listener, int result, std::uint32_t flags) {
    if (!(flags & IORING_CQE_F_MORE)) {
        listener.armed = false;
        --listener.pins;
    }
    if (result >= 0) {
        accepted(listener, result);
    } else if (result != -ECANCELED && accept_pauses(-result) && listener.fd >= 0) {
        accept_failed(listener, -result);
        return;
    }
    if (!listener.armed && listener.handler != nullptr && listener.fd >= 0 && !listener.pause.running()) {
        arm(listener);
    }
}

Result<std::unique_ptr<Core>> open_uring(const LoopOptions& options) {
    auto core = std::make_unique<UringCore>(options);
    if (auto opened = core->open(); !opened) {
        return std::unexpected(std::move(opened.error()));
    }
    return core;
}

}  // namespace sluice::io
