#include "source/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

namespace sluice::source {

namespace {

struct Listing {
    Tree tree;
    std::size_t max_files;
    int max_depth;
    const std::function<void(const std::string&)>& entering;
};

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<> take_file(Listing& listing, int dir, const char* name, std::string path) {
    struct stat status {};
    struct stat link {};
    if (::fstatat(dir, name, &link, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {  // deleted since it was listed: not there
            listing.tree.problems.push_back({std::move(path), std::string("cannot be read: ") + std::strerror(errno)});
        }
        return {};
    }
    const bool symlink = S_ISLNK(link.st_mode);
    if (::fstatat(dir, name, &status, 0) != 0) {
        listing.tree.problems.push_back(
            {std::move(path), std::string("symbolic link leads nowhere: ") + std::strerror(errno)});
        return {};
    }
    if (!S_ISREG(status.st_mode)) {
        const bool directory = S_ISDIR(status.st_mode);
        listing.tree.problems.push_back(
            {std::move(path), directory ? "is a symbolic link to a directory: ignored" : "is not a regular file",
             !directory});
        return {};
    }
    if (listing.tree.files.size() == listing.max_files) {
        return fail("more than " + std::to_string(listing.max_files) + " rule files (limit files)");
    }
    listing.tree.files.push_back({std::move(path), Signature::of(status), symlink});
    return {};
}

Result<> list(Listing& listing, const std::string& path, int depth) {
    listing.entering(path);
    const std::unique_ptr<DIR, CloseDir> dir(::opendir(path.c_str()));
    if (!dir) {
        if (depth > 0) {
            if (errno != ENOENT) {
                listing.tree.problems.push_back({path, std::string("cannot be listed: ") + std::strerror(errno)});
            }
            return {};
        }
        return fail_errno(path + ": cannot be listed");
    }
    std::vector<std::string> below;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (is_temporary(name)) {
            listing.tree.leftovers.push_back(path + "/" + std::string(name));
        }
        if (name.starts_with('.')) {
            continue;
        }
        bool directory = entry->d_type == DT_DIR;
        if (entry->d_type == DT_UNKNOWN) {
            struct stat status {};
            directory = ::fstatat(::dirfd(dir.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                        S_ISDIR(status.st_mode);
        }
        if (directory) {
            below.emplace_back(name);
        } else if (is_rules_name(name)) {
            if (auto taken = take_file(listing, ::dirfd(dir.get()), entry->d_name, path + "/" + entry->d_name);
                !taken) {
                return taken;
            }
        }
    }
    for (const std::string& name : below) {
        if (depth + 1 > listing.max_depth) {
            return fail(path + "/" + name + ": directories are nested deeper than " +
                        std::to_string(listing.max_depth) + " (limit depth)");
        }
        if (auto listed = list(listing, path + "/" + name, depth + 1); !listed) {
            return listed;
        }
    }
    return {};
}

}  // namespace

bool is_rule_test_name(std::string_view name) {
    return !name.starts_with('.') && (name.ends_with(".test.yaml") || name.ends_with(".test.yml"));
}

bool is_rules_name(std::string_view name) {
    return !name.starts_with('.') && !name.starts_with('#') && (name.ends_with(".yaml") || name.ends_with(".yml")) &&
           !is_rule_test_name(name);
}

Result<Tree> list_tree(const std::string& root, std::size_t max_files, int max_depth,
                       const std::function<void(const std::string&)>& entering) {
    Listing listing{{}, max_files, max_depth, entering};
    if (auto listed = list(listing, root, 0); !listed) {
        return std::unexpected(listed.error());
    }
    std::ranges::sort(listing.tree.files, {}, &TreeFile::path);
    return std::move(listing.tree);
}

}  // namespace sluice::source
