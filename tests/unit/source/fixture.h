// A rules directory of its own for each test.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "source/directory.h"
#include "source/write_back.h"

namespace sluice::source {

class DirectoryTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-source-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        base_ = name;
        root_ = base_ + "/rules";
        std::filesystem::create_directory(root_);
    }
    void TearDown() override { std::filesystem::remove_all(base_); }

    std::string path(const std::string& name) const { return root_ + "/" + name; }

    // As careful editors do: a new file renamed over the old one.
    void put(const std::string& name, const std::string& text) const {
        const std::string temporary = base_ + "/put";
        std::ofstream(temporary, std::ios::binary) << text;
        std::filesystem::rename(temporary, path(name));
    }
    std::string get(const std::string& name) const {
        std::ostringstream out;
        out << std::ifstream(path(name), std::ios::binary).rdbuf();
        return out.str();
    }
    // Names in the rules directory, hidden ones too.
    std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(root_)) {
            out.push_back(entry.path().filename().string());
        }
        std::ranges::sort(out);
        return out;
    }

    Directory open(DirectoryLimits limits = {}) const {
        auto opened = Directory::open(root_, limits);
        EXPECT_TRUE(opened.has_value()) << opened.error().text();
        return std::move(*opened);
    }
    Directory open_accepted() const {
        Directory directory = open();
        const Scan scan = directory.scan();
        EXPECT_EQ(errors(scan), std::vector<std::string>{});
        directory.accept();
        return directory;
    }

    // "+KIND ns/name" for each added or replaced object, "-…" for each removed one.
    static std::vector<std::string> changes(const Scan& scan) {
        std::vector<std::string> out;
        for (const model::Change& change : scan.changes) {
            out.push_back((change.object ? "+" : "-") + change.key.text());
        }
        return out;
    }
    static std::vector<std::string> errors(const Scan& scan) {
        std::vector<std::string> out;
        for (const Diagnostic& diagnostic : scan.diagnostics.items) {
            out.push_back(diagnostic.text());
        }
        return out;
    }

    static config::ObjectKey key(const std::string& name) { return {config::Kind::kWorkloadEntry, "ml", name}; }

    // A small valid document; `address` makes it differ.
    static std::string document(const std::string& name, const std::string& address = "10.0.0.1") {
        return "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " + name +
               ", namespace: ml}\nspec:\n  address: " + address + "\n";
    }

    std::string base_, root_;
};

}  // namespace sluice::source
