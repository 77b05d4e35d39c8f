// The YAML files of a directory tree. Private to this room.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "source/catalog.h"

namespace sluice::source {

// Whether a file of this name holds rule tests (docs/rule-tests.md): *.test.yaml or *.test.yml, not hidden.
bool is_rule_test_name(std::string_view name);
// Whether a file of this name holds rules: *.yaml or *.yml, not hidden, no editor's work file (#x.yaml#, x.yaml~), no
// rule tests: those may stand beside the rules.
bool is_rules_name(std::string_view name);

struct TreeFile {
    std::string path;
    Signature signature;  // of the file itself, behind a symbolic link
    bool symlink = false;
};

struct TreeProblem {
    std::string path;
    std::string message;
    bool error = true;  // false: only worth a warning
};

struct Tree {
    std::vector<TreeFile> files;  // by path
    std::vector<TreeProblem> problems;
    std::vector<std::string> leftovers;  // temporary files of transactions that ended early, or run now
};

// Lists `root` and what is below it. `entering` sees each directory before it is listed, so that a watch set there
// misses nothing. Fails when the root cannot be listed or a limit is exceeded; other trouble is in Tree::problems.
Result<Tree> list_tree(const std::string& root, std::size_t max_files, int max_depth,
                       const std::function<void(const std::string&)>& entering);

}  // namespace sluice::source
