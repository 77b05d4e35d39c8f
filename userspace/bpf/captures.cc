// What the agent tells the connect programs about its listeners, and takes from sockops about their connections.
#include <bpf/bpf.h>

#include <cerrno>

#include "bpf/kernel.h"

namespace sluice::bpf {

Result<> Kernel::mark_agent_socket(int socket) const {
    sl_conn mark{};
    mark.tcp_flags = SL_CONN_AGENT;
    if (bpf_map_update_elem(maps_.at("conns").fd.get(), &socket, &mark, BPF_ANY) != 0) {
        return fail_errno("map conns: marking a socket of the agent");
    }
    return {};
}

Result<> Kernel::open_door(std::uint64_t netns_cookie, const sl_door& door) const {
    if (bpf_map_update_elem(maps_.at("doors").fd.get(), &netns_cookie, &door, BPF_ANY) != 0) {
        return fail_errno("map doors (--capacity doors=N)");
    }
    return {};
}

Result<> Kernel::close_door(std::uint64_t netns_cookie) const {
    return erase_entry(maps_.at("doors"), &netns_cookie);
}

std::optional<sl_capture> Kernel::take_capture(const sl_capture_key& key) const {
    sl_capture capture{};
    if (bpf_map_lookup_and_delete_elem(maps_.at("captures").fd.get(), &key, &capture) != 0) {
        return std::nullopt;
    }
    return capture;
}

Result<> Kernel::forget_captures(std::uint64_t before_ns) const {
    std::vector<sl_capture_key> old;
    auto read = for_each_entry_of<sl_capture_key, sl_capture>(
        maps_.at("captures"), [&](const sl_capture_key& key, const sl_capture& capture) {
            if (capture.started_ns < before_ns) {
                old.push_back(key);
            }
        });
    for (const sl_capture_key& key : old) {
        if (auto done = erase_entry(maps_.at("captures"), &key); !done) {
            return done;
        }
    }
    return read;
}

}  // namespace sluice::bpf
