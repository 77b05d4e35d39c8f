// Golden cases: a rule file and what is said about it. Found, not listed: every NAME.yaml with its NAME.expected.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace sluice::golden {

struct Case {
    std::string name;      // "bad/yaml/tag"
    std::string file;      // "tag.yaml", what diagnostics call it
    std::string yaml;      // the bytes
    std::string expected;  // every line of output, exactly
    bool has_expected = false;
};

inline std::string read_all(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// tests/golden of the tree that the test was started in, or that its binary lies in.
inline std::filesystem::path directory() {
    namespace fs = std::filesystem;
    for (fs::path start : {fs::current_path(), fs::read_symlink("/proc/self/exe").parent_path()}) {
        for (; start != start.root_path(); start = start.parent_path()) {
            if (fs::is_directory(start / "tests/golden")) {
                return start / "tests/golden";
            }
        }
    }
    return "tests/golden";
}

// All cases below a folder of tests/golden, by name.
inline std::vector<Case> cases(const std::string& below) {
    std::vector<Case> found;
    const std::filesystem::path root = directory();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / below)) {
        std::filesystem::path path = entry.path();
        if (path.extension() != ".yaml") {
            continue;
        }
        Case one;
        one.file = path.filename().string();
        one.yaml = read_all(path);
        path.replace_extension(".expected");
        one.has_expected = std::filesystem::exists(path);
        one.expected = read_all(path);
        path.replace_extension();
        one.name = path.lexically_relative(root).string();
        found.push_back(std::move(one));
    }
    std::ranges::sort(found, {}, &Case::name);
    return found;
}

}  // namespace sluice::golden
