#include "daemon/rollout_host.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/identity.h"
#include "daemon/texts.h"
#include "model/names.h"

namespace sluice::daemon {

namespace {

constexpr std::size_t kHostMax = 200;  // of a host in a file's name; longer ones are hashed

const config::Canary& spec_of(const config::Object& object) {
    return std::get<config::Canary>(object.spec);
}

std::string lock_path(const std::string& directory, const config::Object& object) {
    std::string host = model::readings(spec_of(object).host, object.key.ns).front();
    if (host.size() > kHostMax) {
        const Identity id = Identity::of(host);
        host = fmt::format("{:016x}{:016x}", id.hi, id.lo);
    }
    return directory + "/.sluice-canary-" + host + ".lock";
}

std::string own_name() {
    std::array<char, 256> machine{};
    ::gethostname(machine.data(), machine.size() - 1);
    return fmt::format("process {} on {}", ::getpid(), machine.data());
}

// Whether the name still leads to the open file: whoever gives a lease back removes the name first.
bool is_named(int fd, const std::string& path) {
    struct stat open {};
    struct stat named {};
    return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

class Lease {
  public:
    Lease(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { ::unlink(path_.c_str()); }

  private:
    Fd fd_;  // the lock ends with it
    const std::string path_;
};

std::string holder(int fd) {
    std::array<char, 512> text{};
    const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
    std::string out(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    out.resize(std::min(out.find('\n'), out.size()));
    return out.empty() ? "another agent" : out;
}

// The rules of several VirtualServices for one host hold for clients of different namespaces: those of the canary's own
// count, else what all see.
std::set<config::ObjectKey> sources_of(const model::Mesh& mesh, const config::Object& canary) {
    std::set<config::ObjectKey> found;
    for (const std::string& host : model::readings(spec_of(canary).host, canary.key.ns)) {
        for (const std::string& scope : {canary.key.ns, std::string()}) {
            for (auto it = mesh.services().lower_bound({scope, host, 0});
                 it != mesh.services().end() && it->first.scope == scope && it->first.host == host; ++it) {
                if (it->second->route->source) {
                    found.insert(it->second->route->source->key);
                }
            }
            if (!found.empty()) {
                return found;
            }
        }
    }
    return found;
}

}  // namespace

RolloutHost::RolloutHost(Controller& controller, std::string directory, std::function<void()> changed)
    : controller_(controller), directory_(std::move(directory)), changed_(std::move(changed)) {}

std::vector<config::ObjectPtr> RolloutHost::canaries() {
    return controller_.objects(config::Kind::kCanary);
}

Result<std::string> RolloutHost::text(const config::Object& canary) {
    auto document = controller_.document(canary.key);
    if (!document) {
        return std::unexpected(std::move(document.error()));
    }
    return std::move(document->text);
}

Result<config::ObjectKey> RolloutHost::rule_key(const config::Object& canary) {
    std::set<config::ObjectKey> found;
    controller_.view([&](const model::Mesh& mesh, const admin::ViewContext&) { found = sources_of(mesh, canary); });
    if (found.empty()) {
        return fail_errno(
            ENOENT, "no VirtualService routes " + spec_of(canary).host + " for clients of namespace " + canary.key.ns);
    }
    if (found.size() > 1) {
        return fail(fmt::format("{} and {} both route {}, on different ports; a canary moves one rule",
                                found.begin()->text(), std::next(found.begin())->text(), spec_of(canary).host));
    }
    return *found.begin();
}

Result<rollout::RuleDocument> RolloutHost::rule(const config::Object& canary) {
    auto key = rule_key(canary);
    if (!key) {
        return std::unexpected(std::move(key.error()));
    }
    auto document = controller_.document(*key);
    if (!document) {
        return std::unexpected(std::move(document.error()));
    }
    return rollout::RuleDocument{std::move(document->object), std::move(document->text), document->generation};
}

Result<> RolloutHost::startable(const config::Object& canary, const rollout::RuleDocument& rule) {
    const config::Canary& spec = spec_of(canary);
    std::string split;
    controller_.view([&](const model::Mesh& mesh, const admin::ViewContext&) {
        for (const auto& [key, service] : mesh.services()) {
            for (const model::HttpRoute& route : service->route->http) {
                const bool named = route.source && route.source->key == rule.object->key &&
                                   (spec.route.empty() || route.name == spec.route);
                const bool moved = std::ranges::any_of(route.destinations, [&](const model::Destination& to) {
                    return to.cluster && (to.cluster->subset == spec.champion || to.cluster->subset == spec.challenger);
                });
                if (named && moved && route.experiment != nullptr && !route.experiment->arms.empty()) {
                    split = route.experiment_source->key.text();
                }
            }
        }
    });
    return split.empty() ? Result<>()
                         : fail(split +
                                " splits the rule by arms of its own, so weights of the rule do nothing; end it "
                                "first, or take its arms out");
}

Result<std::uint64_t> RolloutHost::put(const config::Object& canary, const std::string& expected,
                                       const std::string& text, const std::string& message, const std::string& who) {
    auto key = rule_key(canary);
    if (!key) {
        return std::unexpected(std::move(key.error()));
    }
    const std::string name = "canary " + canary.key.name;
    state::Actor actor = own_actor();
    actor.user = who.empty() || who == "controller" ? name : who;
    const Controller::ReplaceReport report = controller_.replace(
        {.key = *key,
         .expected = expected,
         .request = {.documents = text, .file = name, .message = message, .dry_run = false, .peer = {}},
         .actor = std::move(actor)});
    if (report.moved) {
        return fail_errno(ECANCELED, "the document of " + key->text() + " was changed meanwhile");
    }
    changed_();
    if (report.apply.outcome != ApplyReport::Outcome::kDone) {
        return fail(report.apply.errors.empty() ? "refused" : lines(report.apply.errors));
    }
    return report.apply.generation;
}

Result<std::shared_ptr<void>> RolloutHost::lease(const config::Object& canary) {
    const std::string path = lock_path(directory_, canary);
    for (;;) {
        Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
        if (!fd) {
            return fail_errno("cannot make " + path + ", which keeps other agents from the same canary");
        }
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
            return errno == EWOULDBLOCK ? fail(holder(fd.get())) : fail_errno("cannot lock " + path);
        }
        if (!is_named(fd.get(), path)) {
            continue;  // given back between our open and our lock
        }
        const std::string name = own_name() + ", " + canary.key.text() + "\n";
        if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), name.data(), name.size(), 0) < 0) {
            return fail_errno("cannot write " + path);
        }
        return std::make_shared<Lease>(std::move(fd), path);
    }
}

}  // namespace sluice::daemon
