// What is watched of HTTP connections: counters of finished requests, open connections, and the gates that end them.
#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "bpf/kernel.h"
#include "bpf/programs.h"

namespace sluice::bpf {

namespace {

// Runs an iterator once; `fn` gets what its program wrote, in pieces of any size.
Result<> run_iterator(int link, const std::function<void(const char*, std::size_t)>& fn) {
    const Fd run(bpf_iter_create(link));
    if (!run) {
        return fail_errno("iterate over connections");
    }
    std::vector<char> buffer(64 * 1024);
    ssize_t n = 0;
    while ((n = read(run.get(), buffer.data(), buffer.size())) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
        if (n > 0) {
            fn(buffer.data(), static_cast<std::size_t>(n));
        }
    }
    return n < 0 ? fail_errno("iterate over connections") : Result<>();
}

// Whose counters lie there; nothing when nobody's do, or no longer.
std::optional<sl_slot_key> held_key(const sl_request_slot& slot) {
    const sl_slot_key key{sl_load(&slot.who), sl_load(&slot.what)};
    if (key.who == 0 || key.what == 0 || key.what == SL_SLOT_LEFT) {
        return std::nullopt;
    }
    return key;
}

sl_request_counts counts_now(const sl_request_slot& slot) {
    sl_request_counts counts{};
    const auto* from = reinterpret_cast<const __u64*>(&slot.counts);
    auto* to = reinterpret_cast<__u64*>(&counts);
    for (std::size_t i = 0; i < sizeof counts / sizeof(__u64); ++i) {
        to[i] = sl_load(from + i);
    }
    return counts;
}

}  // namespace

Result<> Kernel::report_open_connections() {
    if (heap_) {
        return Result<>();
    }
    return run_iterator(iterators_.at(kReportProgram).get(), [](const char*, std::size_t) {});
}

Result<> Kernel::for_each_request(
    const std::function<void(const sl_request_key&, const sl_request_counts&)>& fn) const {
    if (heap_) {
        return Result<>();
    }
    for (const sl_request_slot& slot : request_slots_) {
        if (const auto key = held_key(slot)) {
            fn(sl_slot_request_key(*key), counts_now(slot));
        }
    }
    return for_each_entry_of<sl_request_key, sl_request_counts>(maps_.at("requests"), fn);
}

Result<> Kernel::free_left_slots() {
    const auto is_left = [](const sl_request_slot& slot) { return sl_load(&slot.what) == SL_SLOT_LEFT; };
    if (std::ranges::none_of(request_slots_, is_left)) {
        return {};
    }
    if (auto done = grace_period(); !done) {
        return done;
    }
    for (sl_request_slot& slot : request_slots_) {
        if (is_left(slot)) {
            slot.counts = {};
            slot.who = 0;
            sl_store(&slot.what, __u64{0});
        }
    }
    return {};
}

Result<> Kernel::erase_requests(const std::function<bool(const sl_request_key&)>& fn) {
    if (heap_) {
        return Result<>();
    }
    for (sl_request_slot& slot : request_slots_) {
        const auto key = held_key(slot);
        if (key && fn(sl_slot_request_key(*key))) {
            sl_store(&slot.what, static_cast<__u64>(SL_SLOT_LEFT));
        }
    }
    if (auto done = free_left_slots(); !done) {
        return done;
    }
    return erase_entries<sl_request_key>(maps_.at("requests"),
                                         [&](const sl_request_key& key) { return key.workload != SL_NONE && fn(key); });
}

Result<> Kernel::for_each_connection(const std::function<void(const sl_connection&)>& fn) const {
    if (heap_) {
        return Result<>();
    }
    std::vector<char> rest;  // a record may be cut in two by the buffer's end
    return run_iterator(iterators_.at(kConnectionsProgram).get(), [&](const char* data, std::size_t size) {
        rest.insert(rest.end(), data, data + size);
        std::size_t at = 0;
        for (; at + sizeof(sl_connection) <= rest.size(); at += sizeof(sl_connection)) {
            sl_connection connection{};
            std::memcpy(&connection, rest.data() + at, sizeof connection);
            fn(connection);
        }
        rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(at));
    });
}

Result<> Kernel::close_gates(std::span<const std::pair<std::uint64_t, sl_drain_mode>> connections) {
    if (heap_) {
        return Result<>();
    }
    const Map& drains = maps_.at("drains");
    while (!connections.empty()) {
        const auto part = connections.first(std::min<std::size_t>(connections.size(), drains.max_entries));
        connections = connections.subspan(part.size());
        Result<> done;
        for (const auto& [cookie, mode] : part) {
            const std::uint32_t value = mode;
            if (bpf_map_update_elem(drains.fd.get(), &cookie, &value, BPF_ANY) != 0 && done) {
                done = fail_errno("map drains: insert");
            }
        }
        if (done) {
            done = run_iterator(iterators_.at(kCloseGatesProgram).get(), [](const char*, std::size_t) {});
        }
        for (const auto& [cookie, mode] : part) {
            bpf_map_delete_elem(drains.fd.get(), &cookie);
        }
        if (!done) {
            return done;
        }
    }
    return {};
}

}  // namespace sluice::bpf
