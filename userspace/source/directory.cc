#include "source/directory.h"

#include <fcntl.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <unordered_map>

#include "base/fd.h"
#include "source/directory_impl.h"

namespace sluice::source {

namespace {

void report(Scan& scan, const std::string& file, std::string message, Severity severity = Severity::kError) {
    scan.diagnostics.add({severity, file, 0, 0, {}, std::move(message)});
}

std::pair<std::string, std::string> split_path(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) {
        return {".", path};
    }
    return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// Reads and parses one file. Nothing when it cannot be read; the scan then has the error.
std::optional<Candidate> parse_file(const std::string& file, FileBytes bytes, const config::ParseLimits& limits,
                                    Scan& scan) {
    Candidate candidate;
    config::parse(bytes.bytes, file, limits, candidate.objects, scan.diagnostics);
    ++scan.files_parsed;
    std::ranges::sort(candidate.objects, {}, [](const config::ObjectPtr& object) { return object->begin; });
    FileState state{bytes.signature, bytes.read_at_ns, bytes_digest(bytes.bytes), {}};
    state.documents.reserve(candidate.objects.size());
    for (const config::ObjectPtr& object : candidate.objects) {
        state.documents.push_back(
            {object->key, object->begin, object->end, object->place.line, object->digest, object->list_item});
    }
    candidate.state = std::move(state);
    return candidate;
}

}  // namespace

Scan Directory::Impl::scan(bool everything) {
    Scan scan;
    pending.reset();
    Candidates candidates;
    const Suspects suspects = watch.take();
    retry.insert(suspects.files.begin(), suspects.files.end());
    complete_next = complete_next || everything || suspects.everything;
    collect(complete_next, candidates, scan);
    for (const auto& [file, candidate] : candidates) {
        retry.insert(file);
    }
    if (scan.diagnostics.has_errors() || find_duplicates(candidates, scan)) {
        return scan;
    }
    scan.changes = differences(candidates);
    pending = std::move(candidates);
    if (scan.changes.empty()) {
        accept();
    } else {
        for (auto& [file, candidate] : *pending) {
            candidate.objects.clear();
            candidate.objects.shrink_to_fit();
        }
    }
    return scan;
}

void Directory::Impl::collect(bool everything, Candidates& candidates, Scan& scan) {
    if (everything) {
        collect_tree(candidates, scan);
        return;
    }
    for (const std::string& file : retry) {
        look_at(file, nullptr, candidates, scan);
    }
    std::size_t count = catalog.files().size();
    std::uint64_t total = 0;
    for (const auto& [file, state] : catalog.files()) {
        total += candidates.contains(file) ? 0 : state.signature.size;
    }
    for (const auto& [file, candidate] : candidates) {
        const bool known = catalog.files().contains(file);
        count += (candidate.state ? 1 : 0);
        count -= (known ? 1 : 0);
        total += candidate.state ? candidate.state->signature.size : 0;
    }
    (void)within_limits(count, total, scan);
}

bool Directory::Impl::within_limits(std::size_t count, std::uint64_t total, Scan& scan) const {
    if (count > limits.files) {
        report(scan, path, "has more than " + std::to_string(limits.files) + " rule files (limit files)");
    } else if (total > limits.total_bytes) {
        report(scan, path,
               "rule files have " + std::to_string(total) + " bytes together, allowed are " +
                   std::to_string(limits.total_bytes) + " (limit total_bytes)");
    } else {
        return true;
    }
    return false;
}

void Directory::Impl::collect_tree(Candidates& candidates, Scan& scan) {
    const auto [parent, name] = split_path(path);
    (void)watch.add_outside(parent,
                            name);  // may be out of reach; then a replaced root is seen by the next complete scan
    auto tree = list_tree(path, limits.files, limits.depth, [&](const std::string& directory) {
        if (auto added = watch.add(directory); !added && added.error().code != ENOENT) {
            report(scan, directory, added.error().text(), Severity::kWarning);
        }
    });
    if (!tree) {
        report(scan, path, tree.error().text());
        return;
    }
    leftovers = std::move(tree->leftovers);
    for (TreeProblem& problem : tree->problems) {
        report(scan, problem.path, std::move(problem.message), problem.error ? Severity::kError : Severity::kWarning);
    }
    std::uint64_t total = 0;
    for (const TreeFile& file : tree->files) {
        total += file.signature.size;
    }
    if (!within_limits(tree->files.size(), total, scan)) {
        return;
    }
    std::set<std::string_view> present;
    for (const TreeFile& file : tree->files) {
        present.insert(file.path);
        if (file.symlink) {
            watch_link(file.path, scan);
        }
        look_at(file.path, &file.signature, candidates, scan);
    }
    for (const auto& [file, state] : catalog.files()) {
        if (!present.contains(file)) {
            candidates[file] = Candidate{};
        }
    }
}

void Directory::Impl::watch_link(const std::string& file, Scan& scan) {
    char target[PATH_MAX];
    if (::realpath(file.c_str(), target) == nullptr) {
        return;  // listing it has reported why
    }
    const auto [directory, name] = split_path(target);
    if (auto added = watch.add_outside(directory, name); !added) {
        report(scan, file, "target of the symbolic link " + added.error().text(), Severity::kWarning);
    }
}

// Adds the file to the candidates when it is gone or has other bytes than the catalog knows.
void Directory::Impl::look_at(const std::string& file, const Signature* signature, Candidates& candidates, Scan& scan) {
    const auto known = catalog.files().find(file);
    struct stat status {};
    if (signature == nullptr) {
        if (::lstat(file.c_str(), &status) != 0 && errno == ENOENT) {
            if (known != catalog.files().end()) {
                candidates[file] = Candidate{};
            }
            return;
        }
        if (S_ISLNK(status.st_mode)) {
            watch_link(file, scan);
            (void)::stat(file.c_str(), &status);  // reading it says what is wrong
        }
    }
    const Signature now = signature != nullptr ? *signature : Signature::of(status);
    if (known != catalog.files().end() && known->second.proves(now)) {
        return;
    }
    auto bytes = read_file(file, limits.parse.file_bytes);
    if (!bytes) {
        report(scan, file, bytes.error().text());
        candidates[file] = Candidate{};  // only remembered: the scan has an error
        return;
    }
    if (known != catalog.files().end() && known->second.digest == bytes_digest(bytes->bytes)) {
        catalog.touch(file, bytes->signature, bytes->read_at_ns);
        return;
    }
    if (auto candidate = parse_file(file, std::move(*bytes), limits.parse, scan)) {
        candidates[file] = std::move(*candidate);
    }
}

bool Directory::Impl::find_duplicates(const Candidates& candidates, Scan& scan) const {
    std::unordered_map<Identity, std::pair<const std::string*, int>, IdentityHash> seen;
    bool found = false;
    for (const auto& [file, candidate] : candidates) {
        for (const config::ObjectPtr& object : candidate.objects) {
            const auto [first, fresh] = seen.try_emplace(Identity::of(object->key.text()), &file, object->place.line);
            std::pair<const std::string*, int> other = first->second;
            if (fresh) {
                const Catalog::Found known = catalog.find(object->key);
                if (known.file == nullptr || candidates.contains(*known.file)) {
                    continue;
                }
                other = {known.file, known.document->line};
            }
            found = true;
            scan.diagnostics.add({.file = file,
                                  .line = object->place.line,
                                  .column = object->place.column,
                                  .field = "metadata.name",
                                  .message = object->key.text() + " is already defined in " + *other.first + ":" +
                                             std::to_string(other.second)});
        }
    }
    return found;
}

std::vector<model::Change> Directory::Impl::differences(const Candidates& candidates) const {
    std::map<config::ObjectKey, config::ObjectPtr> present;
    for (const auto& [file, candidate] : candidates) {
        for (const config::ObjectPtr& object : candidate.objects) {
            present.emplace(object->key, object);
        }
    }
    std::map<config::ObjectKey, config::ObjectPtr> changed;
    for (const auto& [file, candidate] : candidates) {
        const auto known = catalog.files().find(file);
        if (known == catalog.files().end()) {
            continue;
        }
        for (const Document& document : known->second.documents) {
            if (!present.contains(document.key)) {
                changed.emplace(document.key, nullptr);
            }
        }
    }
    for (const auto& [key, digest] : catalog.assumed()) {
        if (!present.contains(key)) {
            changed.emplace(key, nullptr);
        }
    }
    for (const auto& [key, object] : present) {
        if (catalog.digest(key) != object->digest) {
            changed.emplace(key, object);
        }
    }
    std::vector<model::Change> changes;
    changes.reserve(changed.size());
    for (auto& [key, object] : changed) {
        changes.push_back({key, std::move(object)});
    }
    return changes;
}

void Directory::Impl::accept() {
    if (!pending) {
        return;
    }
    // Two rounds: a document that moved between files must not be taken for defined by the one it left.
    for (const auto& [file, candidate] : *pending) {
        catalog.put(file, std::nullopt);
    }
    for (auto& [file, candidate] : *pending) {
        if (candidate.state) {
            catalog.put(file, std::move(candidate.state));
        }
    }
    catalog.forget_assumed();
    pending.reset();
    retry.clear();
    complete_next = false;
    accepted_once = true;
}

Result<Directory> Directory::open(std::string path, DirectoryLimits limits, Debounce debounce) {
    while (path.size() > 1 && path.ends_with('/')) {
        path.pop_back();
    }
    if (const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); !directory) {
        return fail_errno("cannot read the directory " + path);
    }
    auto watch = Watch::create(debounce);
    if (!watch) {
        return std::unexpected(std::move(watch.error()).within("cannot watch " + path));
    }
    return Directory(std::make_unique<Impl>(std::move(path), limits, std::move(*watch)));
}

Directory::Directory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Directory::~Directory() = default;
Directory::Directory(Directory&&) noexcept = default;
Directory& Directory::operator=(Directory&&) noexcept = default;

const std::string& Directory::path() const {
    return impl_->path;
}
void Directory::assume(const config::Object& object) {
    impl_->catalog.assume(object.key, object.digest);
}
Scan Directory::scan(bool everything) {
    return impl_->scan(everything);
}
void Directory::accept() {
    impl_->accept();
}
int Directory::fd() const {
    return impl_->watch.fd();
}
bool Directory::due() {
    return impl_->watch.due();
}
std::size_t Directory::files() const {
    return impl_->catalog.files().size();
}
std::size_t Directory::documents() const {
    return impl_->catalog.documents();
}

std::optional<Location> Directory::locate(const config::ObjectKey& key) const {
    const Catalog::Found found = impl_->catalog.find(key);
    if (found.document == nullptr) {
        return std::nullopt;
    }
    return Location{*found.file, found.document->line};
}

Result<Loaded> load(const std::string& path, DirectoryLimits limits) {
    auto directory = Directory::open(path, limits);
    if (!directory) {
        return std::unexpected(directory.error());
    }
    Scan scan;
    Candidates candidates;
    directory->impl_->collect_tree(candidates, scan);
    (void)directory->impl_->find_duplicates(candidates, scan);
    Loaded out;
    for (auto& [file, candidate] : candidates) {
        out.files += candidate.state ? 1 : 0;
        std::ranges::move(candidate.objects, std::back_inserter(out.objects));
    }
    out.diagnostics = std::move(scan.diagnostics);
    return out;
}

}  // namespace sluice::source
