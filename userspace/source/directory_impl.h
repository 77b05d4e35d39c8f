// The inside of Directory, shared with WriteBack. Private to this room.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "source/catalog.h"
#include "source/directory.h"
#include "source/tree.h"
#include "source/watch.h"

namespace sluice::source {

// A file that a scan looked at: its new state, or nothing when it is gone.
struct Candidate {
    std::optional<FileState> state;
    std::vector<config::ObjectPtr> objects;  // in the order of state->documents
};
using Candidates = std::map<std::string, Candidate>;

struct Directory::Impl {
    Impl(std::string root, DirectoryLimits bounds, Watch watcher)
        : path(std::move(root)), limits(bounds), watch(std::move(watcher)) {}

    Scan scan(bool everything);
    void accept();

    void collect(bool everything, Candidates& candidates, Scan& scan);
    void collect_tree(Candidates& candidates, Scan& scan);
    void look_at(const std::string& file, const Signature* signature, Candidates& candidates, Scan& scan);
    bool within_limits(std::size_t count, std::uint64_t total, Scan& scan) const;
    bool find_duplicates(const Candidates& candidates, Scan& scan) const;
    std::vector<model::Change> differences(const Candidates& candidates) const;
    void watch_link(const std::string& file, Scan& scan);

    std::string path;
    DirectoryLimits limits;
    Watch watch;
    Catalog catalog;
    std::optional<Candidates> pending;   // of the last scan, until accept()
    std::set<std::string> retry;         // looked at by a scan that was not accepted
    std::vector<std::string> leftovers;  // temporary files seen by the last complete scan
    bool complete_next = true;           // the next scan reads the whole tree
    bool accepted_once = false;          // the catalog says what the files hold
};

}  // namespace sluice::source
