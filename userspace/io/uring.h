// The ring of the io_uring back end, see uring.cc.
#pragma once

#include <liburing.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <vector>

#include "io/core.h"

namespace sluice::io {

class UringCore final : public Core {
  public:
    explicit UringCore(const LoopOptions& options) : Core(options), messages_(kMessages) {}
    ~UringCore() override;
    Result<> open();
    Backend backend() const override { return Backend::kIoUring; }

    void open_stream(Stream::State& stream) override { mark_dirty(stream); }
    void open_listener(Listener::State& listener) override;
    void stop_listener(Listener::State& listener) override;
    void resume_listener(Listener::State& listener) override { arm(listener); }

  private:
    static constexpr unsigned kRingBuffers = 1024;  // slots of the buffer ring, a power of two
    static constexpr std::uint64_t kFewBuffers =
        64;                                        // in it at first, as few stay in the cache; doubled when it runs dry
    static constexpr std::size_t kParts = 32;      // of one sendmsg
    static constexpr std::size_t kPull = 8;        // buffers of one recvmsg
    static constexpr std::size_t kMessages = 256;  // sendmsg in one submission
    static constexpr std::uint16_t kGroup = 0;

    // What a completion belongs to: a state's address with this in its lowest bits.
    enum Tag : std::uint64_t { kNobody, kWake, kAccept, kConnect, kReceive, kSend, kReset };
    static constexpr std::uint64_t kTags = 7;

    struct Message {
        msghdr head;
        std::array<iovec, kParts> parts;
    };

    void wait(std::uint64_t timeout_ns) override;
    void settle(Stream::State& stream) override;
    void deliver(Stream::State& stream) override;
    void flush() override;

    void begin();
    void submit();
    io_uring_sqe* request();  // a free one: prepare it, then set its user_data
    void arm_wake();
    void arm(Listener::State& listener);
    void arm(Stream::State& stream);
    void pull(Stream::State& stream);
    void ended(Stream::State& stream, int error);
    void watch(Stream::State& stream);
    void watched(Stream::State& stream);
    void cancel(std::uint64_t owner);
    void send(Stream::State& stream);
    void let_go(Stream::State& stream);
    void fill();
    Slice taken(std::uint32_t flags, std::size_t octets);
    void completed(std::uint64_t owner, int result, std::uint32_t flags);
    void received(Stream::State& stream, int result, std::uint32_t flags);
    void sent(Stream::State& stream, int result);
    void accept_done(Listener::State& listener, int result, std::uint32_t flags);

    static std::uint64_t tagged(void* state, Tag tag) { return reinterpret_cast<std::uintptr_t>(state) | tag; }

    io_uring ring_{};
    bool opened_ = false;
    bool enabled_ = false;
    bool running_ring_ = false;  // its descriptor is registered with this thread
    io_uring_buf_ring* buffers_ = nullptr;
    std::uint64_t wanted_ = kFewBuffers;  // buffers in the ring
    bool too_few_ = false;                // it ran dry though the pool has more
    std::array<Buffer*, kRingBuffers> by_id_{};
    std::vector<std::uint16_t> free_ids_;
    std::vector<Message> messages_;  // read by the kernel when it is told of them
    std::size_t messages_used_ = 0;
    std::vector<Listener::State*> early_;  // made before the ring was enabled
};

}  // namespace sluice::io
