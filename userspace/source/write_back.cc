#include "source/write_back.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/fd.h"
#include "source/directory_impl.h"
#include "source/replace_file.h"
#include "source/splice.h"

namespace sluice::source {

namespace {

constexpr std::size_t kFileNameMax = 200;  // leaves room for a number and the suffix below NAME_MAX

Result<> check_directory(const std::string& path) {
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) == 0) {
        return {};
    }
    return fail_errno(
        errno, "the rules directory " + path +
                   " cannot be written to, so nothing was applied; make it writable for the agent, or change the "
                   "files at their source");
}

// Waits for the lock at most `wait`; a poll, since flock(2) has no deadline and signals are the caller's.
Result<Fd> lock_directory(const std::string& path, std::chrono::milliseconds wait) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno("cannot open " + path);
    }
    const auto deadline = std::chrono::steady_clock::now() + wait;
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return fail_errno("cannot lock " + path);
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            return fail_errno(EBUSY, "another writer holds the lock of " + path);
        }
        ::poll(nullptr, 0, 2);
    }
    return fd;
}

std::string kind_file_part(const config::ObjectKey& key) {
    std::string name = std::string(config::kind_name(key.kind)) + "-" + key.ns + "-" + key.name;
    for (char& c : name) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c - 'A' + 'a');
        } else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_')) {
            c = '_';
        }
    }
    name.resize(std::min(name.size(), kFileNameMax));
    if (name.ends_with(".test")) {  // would be a file of rule tests
        name[name.size() - 5] = '_';
    }
    return name;
}

}  // namespace

struct WriteBack::Impl {
    struct Planned {
        Edit edit;
        std::optional<NewDocument> document;
        Written written;
        std::string placed;  // the file that the edit asks for; empty: one of its own
    };
    using FileEdits = std::map<std::string, std::vector<Planned*>>;

    Impl(Directory::Impl& target, Fd held) : directory(target), lock(std::move(held)) {}

    Result<> plan(Edit edit);
    Result<> check_unchanged() const;
    FileEdits by_file();
    Result<> write_existing(const std::string& file, const std::vector<Planned*>& planned, const StepHook& hook);
    Result<> write_new(Planned& planned, const StepHook& hook);
    Result<> write_again(const std::string& file, const std::vector<Planned*>& planned, const StepHook& hook);
    std::string place_of(const Edit& edit) const;
    void remove_leftovers();

    Directory::Impl& directory;
    Fd lock;
    std::vector<Planned> all;
};

const char* action_name(WriteAction action) {
    switch (action) {
        case WriteAction::kReplaced:
            return "replaced";
        case WriteAction::kCreated:
            return "created";
        case WriteAction::kDeleted:
            return "deleted";
        case WriteAction::kUnchanged:
            return "unchanged";
    }
    return "unchanged";
}

std::string document_text(std::string_view body, const config::Object& object) {
    const std::string_view range = body.substr(object.begin, object.end - object.begin);
    if (!object.list_item || object.item_flow) {
        return std::string(range);
    }
    std::string out;
    for (std::size_t at = 0; at < range.size();) {
        const std::size_t newline = std::min(range.find('\n', at), range.size() - 1);
        std::string_view line = range.substr(at, newline + 1 - at);
        if (at > 0) {  // the first line stands behind "- "
            line.remove_prefix(
                std::min({line.find_first_not_of(' '), line.size(), static_cast<std::size_t>(object.item_column)}));
        }
        out += line;
        at = newline + 1;
    }
    return out;
}

bool is_conflict(const Error& error) {
    return error.code == ESTALE;
}

Result<> WriteBack::check_writable(const Directory& directory) {
    return check_directory(directory.path());
}

Result<> WriteBack::Impl::plan(Edit edit) {
    Planned planned;
    planned.written.key = edit.key;
    if (std::ranges::any_of(all, [&](const Planned& other) { return other.edit.key == edit.key; })) {
        return fail(edit.key.text() + " is given twice");
    }
    const Catalog::Found found = directory.catalog.find(edit.key);
    if (edit.bytes) {
        auto document = NewDocument::parse(edit.key, *edit.bytes, directory.limits.parse);
        if (!document) {
            return std::unexpected(document.error());
        }
        planned.document = std::move(*document);
        planned.written.action = WriteAction::kCreated;
    }
    if (found.document != nullptr && found.document->list_item) {
        return fail(edit.key.text() + " is an item of a List in " + *found.file + ":" +
                    std::to_string(found.document->line) +
                    ", where it is not replaced; make it a document of its own, or edit the file");
    }
    if (found.document != nullptr) {
        planned.written.file = *found.file;
        planned.written.action = !edit.bytes                                          ? WriteAction::kDeleted
                                 : found.document->digest == planned.document->digest ? WriteAction::kUnchanged
                                                                                      : WriteAction::kReplaced;
    } else if (edit.bytes) {
        planned.placed = place_of(edit);
        planned.written.file =
            planned.placed.empty() ? directory.path + "/" + kind_file_part(edit.key) + ".yaml" : planned.placed;
    }
    planned.edit = std::move(edit);
    all.push_back(std::move(planned));
    return {};
}

// The file that an edit asks for, if rules may stand there.
std::string WriteBack::Impl::place_of(const Edit& edit) const {
    const std::string below = directory.path + "/";
    const std::string name = edit.file.substr(edit.file.rfind('/') + 1);
    const bool climbs = (edit.file + "/").find("/../") != std::string::npos;
    return edit.file.starts_with(below) && !climbs && is_rules_name(name) ? edit.file : std::string();
}

// Of what stands in files already, or is to stand in one that is named.
WriteBack::Impl::FileEdits WriteBack::Impl::by_file() {
    FileEdits files;
    for (Planned& planned : all) {
        const WriteAction action = planned.written.action;
        if (action == WriteAction::kReplaced || action == WriteAction::kDeleted ||
            (action == WriteAction::kCreated && !planned.placed.empty())) {
            files[planned.written.file].push_back(&planned);
        }
    }
    return files;
}

// Cheap: what stat(2) says. commit() compares the bytes themselves.
Result<> WriteBack::Impl::check_unchanged() const {
    for (const Planned& planned : all) {
        const auto known = directory.catalog.files().find(planned.written.file);
        if (known == directory.catalog.files().end()) {
            continue;
        }
        struct stat status {};
        if (::stat(planned.written.file.c_str(), &status) != 0 || Signature::of(status) != known->second.signature) {
            return fail_errno(ESTALE, planned.written.file + " was changed meanwhile");
        }
        char real[PATH_MAX];
        if (::realpath(planned.written.file.c_str(), real) == nullptr) {
            return fail_errno(ESTALE, planned.written.file + " was changed meanwhile");
        }
        const std::string target(real);
        if (auto writable = check_directory(target.substr(0, std::max<std::size_t>(target.find_last_of('/'), 1)));
            !writable) {
            return writable;
        }
    }
    return {};
}

Result<WriteBack> WriteBack::prepare(Directory& directory, std::vector<Edit> edits,
                                     std::chrono::milliseconds lock_wait) {
    if (auto writable = check_writable(directory); !writable) {
        return std::unexpected(writable.error());
    }
    if (!directory.impl_->accepted_once) {
        return fail_errno(ESTALE,
                          "the rules directory " + directory.path() +
                              " has not been read without errors yet, so it is not known which file defines what");
    }
    auto lock = lock_directory(directory.path(), lock_wait);
    if (!lock) {
        return std::unexpected(lock.error());
    }
    auto impl = std::make_unique<Impl>(*directory.impl_, std::move(*lock));
    for (Edit& edit : edits) {
        if (auto planned = impl->plan(std::move(edit)); !planned) {
            return std::unexpected(planned.error());
        }
    }
    if (auto unchanged = impl->check_unchanged(); !unchanged) {
        return std::unexpected(unchanged.error());
    }
    return WriteBack(std::move(impl));
}

std::vector<Written> WriteBack::plan() const {
    std::vector<Written> out;
    for (const Impl::Planned& planned : impl_->all) {
        out.push_back(planned.written);
    }
    return out;
}

Result<> WriteBack::Impl::write_existing(const std::string& file, const std::vector<Planned*>& planned,
                                         const StepHook& hook) {
    const FileState& known = directory.catalog.files().at(file);
    auto target = ReplaceFile::open(file, directory.limits.parse.file_bytes);
    if (!target) {
        return std::unexpected(target.error());
    }
    if (bytes_digest(target->bytes()) != known.digest) {
        return fail_errno(ESTALE, file + " was changed meanwhile");
    }
    std::vector<DocumentEdit> edits;
    std::vector<AppendedDocument> appended;
    for (const Planned* one : planned) {
        if (one->written.action == WriteAction::kCreated) {
            appended.push_back({one->edit.key, &*one->document});
            continue;
        }
        const auto at = std::ranges::find(known.documents, one->edit.key, &Document::key);
        edits.push_back(
            {static_cast<std::size_t>(at - known.documents.begin()), one->document ? &*one->document : nullptr});
    }
    auto spliced = splice(target->bytes(), known.documents, std::move(edits), directory.limits.parse, appended);
    if (!spliced) {
        return std::unexpected(std::move(spliced.error()).within(file));
    }
    if (spliced->empty) {
        if (auto removed = target->remove(hook); !removed) {
            return removed;
        }
        directory.catalog.put(file, std::nullopt);
        return {};
    }
    auto written = target->replace(spliced->bytes, hook);
    if (!written) {
        return std::unexpected(written.error());
    }
    directory.catalog.put(file, FileState{written->signature, written->read_at_ns, bytes_digest(spliced->bytes),
                                          std::move(spliced->documents)});
    return {};
}

// A file that is not there, with these documents.
Result<> WriteBack::Impl::write_again(const std::string& file, const std::vector<Planned*>& planned,
                                      const StepHook& hook) {
    std::error_code failed;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path(), failed);
    if (failed) {
        return fail_errno(failed.value(), "cannot create the directory of " + file);
    }
    std::vector<AppendedDocument> documents;
    for (const Planned* one : planned) {
        documents.push_back({one->edit.key, &*one->document});
    }
    auto spliced = splice("", {}, {}, directory.limits.parse, documents);
    if (!spliced) {
        return std::unexpected(std::move(spliced.error()).within(file));
    }
    auto written = create_file(file, spliced->bytes, hook);
    if (!written) {
        return written.error().code == EEXIST ? fail_errno(ESTALE, file + " was made meanwhile")
                                              : Result<>(std::unexpected(written.error()));
    }
    directory.catalog.put(file, FileState{written->signature, written->read_at_ns, bytes_digest(spliced->bytes),
                                          std::move(spliced->documents)});
    return {};
}

Result<> WriteBack::Impl::write_new(Planned& planned, const StepHook& hook) {
    const std::string base = directory.path + "/" + kind_file_part(planned.edit.key);
    std::string file = base + ".yaml";
    for (int number = 2;; ++number) {
        auto written = create_file(file, planned.document->text, hook);
        if (written) {
            planned.written.file = file;
            FileState state{written->signature, written->read_at_ns, bytes_digest(planned.document->text), {}};
            state.documents.push_back({planned.edit.key, planned.document->begin, planned.document->end,
                                       planned.document->line, planned.document->digest, false});
            directory.catalog.put(file, std::move(state));
            return {};
        }
        if (written.error().code != EEXIST || number > 100) {
            return std::unexpected(written.error());
        }
        file = base + "-" + std::to_string(number) + ".yaml";
    }
}

// Nobody else is in a transaction while we hold the lock: what is left over belongs to one that ended early.
void WriteBack::Impl::remove_leftovers() {
    for (const std::string& file : directory.leftovers) {
        ::unlink(file.c_str());
    }
    directory.leftovers.clear();
}

Result<std::vector<Written>> WriteBack::commit(const StepHook& hook) {
    impl_->remove_leftovers();
    for (const auto& [file, planned] : impl_->by_file()) {
        const bool known = impl_->directory.catalog.files().contains(file);
        auto written = known ? impl_->write_existing(file, planned, hook) : impl_->write_again(file, planned, hook);
        if (!written) {
            return std::unexpected(written.error());
        }
    }
    for (Impl::Planned& planned : impl_->all) {
        if (planned.written.action != WriteAction::kCreated || !planned.placed.empty()) {
            continue;
        }
        if (auto written = impl_->write_new(planned, hook); !written) {
            return std::unexpected(written.error());
        }
    }
    return plan();
}

WriteBack::WriteBack(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WriteBack::~WriteBack() = default;
WriteBack::WriteBack(WriteBack&&) noexcept = default;
WriteBack& WriteBack::operator=(WriteBack&&) noexcept = default;

}  // namespace sluice::source
