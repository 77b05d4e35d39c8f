#include "daemon/texts.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <optional>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace sluice::daemon {

std::vector<std::string> texts(const Diagnostics& diagnostics, Severity severity) {
    std::vector<std::string> out;
    for (const Diagnostic& diagnostic : diagnostics.items) {
        if (diagnostic.severity == severity) {
            out.push_back(diagnostic.text());
        }
    }
    return out;
}

std::string lines(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts) {
        out += (out.empty() ? "" : "\n") + text;
    }
    return out;
}

std::string time_text(std::chrono::system_clock::time_point time) {
    return time.time_since_epoch().count() == 0 ? "" : fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time));
}

state::Actor own_actor() {
    return {static_cast<std::int64_t>(::getuid()), ::getpid(), "sluiced"};
}

state::Actor peer_actor(std::int64_t uid, std::int64_t pid) {
    state::Actor actor{uid, pid, "uid " + std::to_string(uid)};
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (uid >= 0 && ::getpwuid_r(static_cast<uid_t>(uid), &entry, buffer.data(), buffer.size(), &found) == 0 && found) {
        actor.user = found->pw_name;
    }
    return actor;
}

state::Actor owner_actor(const std::vector<std::string>& files) {
    std::optional<uid_t> owner;
    for (const std::string& file : files) {
        struct stat status {};
        if (::stat(file.c_str(), &status) != 0) {
            continue;
        }
        if (owner && *owner != status.st_uid) {
            return own_actor();
        }
        owner = status.st_uid;
    }
    return owner ? peer_actor(*owner, -1) : own_actor();
}

state::HistoryRow history_row(std::uint64_t generation, state::Actor actor, state::ChangeSource source,
                              std::string summary, const std::vector<std::string>& errors, std::string message) {
    state::HistoryRow row;
    row.generation = generation;
    row.time = std::chrono::system_clock::now();
    row.actor = std::move(actor);
    row.source = source;
    row.summary = std::move(summary);
    row.ok = errors.empty();
    row.errors = lines(errors);
    row.message = std::move(message);
    return row;
}

}  // namespace sluice::daemon
