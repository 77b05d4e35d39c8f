#include "daemon/privileges.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <memory>

namespace sluice::daemon {

namespace {

constexpr std::array<cap_value_t, 5> kKept{CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE};

struct FreeCaps {
    void operator()(cap_t caps) const { cap_free(caps); }
};
using Caps = std::unique_ptr<std::remove_pointer_t<cap_t>, FreeCaps>;

bool is_kept(cap_value_t value) {
    return std::ranges::find(kKept, value) != kKept.end();
}

}  // namespace

Result<> drop_privileges() {
    Caps now(cap_get_proc());
    Caps wanted(cap_init());
    if (!now || !wanted) {
        return fail_errno("reading capabilities");
    }
    bool may_shrink_bounds = false;
    cap_flag_value_t held = CAP_CLEAR;
    if (cap_get_flag(now.get(), CAP_SETPCAP, CAP_EFFECTIVE, &held) == 0) {
        may_shrink_bounds = held == CAP_SET;
    }
    for (cap_value_t value = 0; may_shrink_bounds && value < cap_max_bits(); ++value) {
        if (!is_kept(value) && cap_drop_bound(value) != 0) {
            return fail_errno("dropping a capability from the bounding set");
        }
    }
    for (cap_value_t value : kKept) {
        if (cap_get_flag(now.get(), value, CAP_PERMITTED, &held) == 0 && held == CAP_SET) {
            cap_set_flag(wanted.get(), CAP_PERMITTED, 1, &value, CAP_SET);
            cap_set_flag(wanted.get(), CAP_EFFECTIVE, 1, &value, CAP_SET);
        }
    }
    if (cap_reset_ambient() != 0 || cap_set_proc(wanted.get()) != 0) {
        return fail_errno("dropping capabilities");
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno("PR_SET_NO_NEW_PRIVS");
    }
    return {};
}

void drop_thread_privileges() {
    if (const Caps none(cap_init()); none) {
        cap_set_proc(none.get());
    }
}

std::vector<std::string> effective_capabilities() {
    std::vector<std::string> names;
    Caps now(cap_get_proc());
    for (cap_value_t value = 0; now && value < cap_max_bits(); ++value) {
        cap_flag_value_t held = CAP_CLEAR;
        if (cap_get_flag(now.get(), value, CAP_EFFECTIVE, &held) == 0 && held == CAP_SET) {
            std::unique_ptr<char, int (*)(void*)> name(cap_to_name(value), cap_free);
            names.emplace_back(name ? name.get() : std::to_string(value));
        }
    }
    return names;
}

}  // namespace sluice::daemon
