// A directory tree of YAML files as a source of objects: what changed since the caller last accepted its content.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "base/result.h"
#include "config/objects.h"
#include "config/parse.h"
#include "model/mesh.h"

namespace sluice::source {

// Every limit is named in the diagnostic that reports it.
struct DirectoryLimits {
    std::size_t files = 100'000;
    std::size_t total_bytes = 1u << 30;  // of all files together
    int depth = 16;                      // of sub-directories
    config::ParseLimits parse;
};

// How long a burst of file events is gathered: `quiet` after the last event, at most `longest` after the first.
struct Debounce {
    std::chrono::milliseconds quiet{5};
    std::chrono::milliseconds longest{50};
};

// Where the document that defines an object stands now. The file's path begins with the directory as given to open().
struct Location {
    std::string file;
    int line = 0;  // of the document's first content, from 1
};

// What one scan found. With an error in `diagnostics` there are no changes: a broken directory changes nothing.
struct Scan {
    std::vector<model::Change> changes;  // ordered by key
    Diagnostics diagnostics;
    std::size_t files_parsed = 0;

    bool nothing_changed() const { return changes.empty() && diagnostics.items.empty(); }
};

struct Loaded;

// Reads *.yaml and *.yml, also through symbolic links to files; hidden files, editor backups and symbolic links to
// directories are left out. Keeps no file's text: only identities, digests and the documents' places.
//
// scan() and accept() are two steps because the caller may have to refuse what is in the files: until accept(), the
// same changes are reported again by the next scan(). Not thread-safe.
class Directory {
  public:
    // Fails when `path` is not a directory that can be read, or when inotify is not available. The first scan() reads
    // everything. Watches need no polling by the caller beyond fd().
    static Result<Directory> open(std::string path, DirectoryLimits limits = {}, Debounce debounce = {});
    ~Directory();
    Directory(Directory&&) noexcept;
    Directory& operator=(Directory&&) noexcept;

    const std::string& path() const;

    // Takes an object for already accepted before the first scan, which then reports only what differs from it: how a
    // cold start from the state database continues. Call before the first scan().
    void assume(const config::Object& object);

    // Reads what may have changed: all files the first time, after an overflow of the event queue and when asked, else
    // those with events. Only files whose identity (device, inode, size, mtime, ctime) changed are read, and only those
    // with other bytes parsed. The same key in two documents is an error that names both places.
    Scan scan(bool everything = false);

    // The caller has put the last scan's changes in force: they are the base of the next one.
    void accept();

    // A descriptor to poll for reading, owned by the directory. When readable, call due().
    int fd() const;
    // Takes what the watch has to say. true: the burst of events is over and a scan() is due.
    bool due();

    // Where an accepted object is defined. Empty when no file defines it.
    std::optional<Location> locate(const config::ObjectKey& key) const;

    std::size_t files() const;
    std::size_t documents() const;

  private:
    friend class WriteBack;
    friend Result<Loaded> load(const std::string& path, DirectoryLimits limits);
    struct Impl;
    explicit Directory(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// Everything that a directory says, read once and not watched. Unlike a scan, what is sound is there beside the errors.
struct Loaded {
    std::vector<config::ObjectPtr> objects;  // by file, in the order of their documents
    Diagnostics diagnostics;
    std::size_t files = 0;
};
Result<Loaded> load(const std::string& path, DirectoryLimits limits = {});

}  // namespace sluice::source
