#include "bpf/rings.h"

#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bpf/libbpf_log.h"

namespace sluice::bpf {

Kernel::Ring::~Ring() {
    ring_buffer__free(ring);
}

Result<std::unique_ptr<Kernel::Ring>> Kernel::Ring::open(const Map& map, std::size_t record_size) {
    const auto receive = [](void* context, void* data, std::size_t size) {
        const auto* self = static_cast<Ring*>(context);
        if (self->sink && size >= self->record_size) {
            (*self->sink)(data);
        }
        return 0;
    };
    LibbpfLog log;
    auto result = std::make_unique<Ring>();
    result->record_size = record_size;
    result->ring = ring_buffer__new(map.fd.get(), receive, result.get(), nullptr);
    if (!result->ring) {
        return log.fail(errno, "map " + map.name);
    }
    return result;
}

Result<> Kernel::Ring::consume(const std::function<void(const void*)>& fn) {
    sink = &fn;
    const int count = ring_buffer__consume(ring);
    sink = nullptr;
    return count < 0 ? fail_errno(-count, "read a ring") : Result<>();
}

Result<> Kernel::open_rings() {
    auto events = Ring::open(maps_.at("events"), sizeof(sl_event));
    auto samples = Ring::open(maps_.at("samples"), sizeof(sl_sample));
    if (!events || !samples) {
        return std::unexpected(!events ? events.error() : samples.error());
    }
    events_ = std::move(*events);
    samples_ = std::move(*samples);
    return {};
}

int Kernel::event_fd() const {
    return heap_ ? -1 : ring_buffer__epoll_fd(events_->ring);
}

Result<> Kernel::poll_events(const std::function<void(const sl_event&)>& fn) {
    if (heap_) {
        return Result<>();
    }
    return events_->consume([&](const void* data) {
        sl_event event{};
        std::memcpy(&event, data, sizeof event);
        fn(event);
    });
}

Result<> Kernel::poll_samples(const std::function<void(const sl_sample&)>& fn) {
    if (heap_) {
        return Result<>();
    }
    return samples_->consume([&](const void* data) {
        sl_sample sample{};
        std::memcpy(&sample, data, sizeof sample);
        fn(sample);
    });
}

// Producer minus consumer position, the first words of the ring's pages.
std::uint64_t ring_used(const Map& map) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, 2 * page, PROT_READ, MAP_SHARED, map.fd.get(), 0);
    if (memory == MAP_FAILED) {
        return 0;
    }
    const auto* consumer = static_cast<const std::uint64_t*>(memory);
    const auto* producer = consumer + page / sizeof *consumer;
    const std::uint64_t used = sl_load(producer) - sl_load(consumer);
    munmap(memory, 2 * page);
    return used;
}

}  // namespace sluice::bpf
