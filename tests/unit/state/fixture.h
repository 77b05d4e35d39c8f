// A state directory of the test's own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "state/store.h"

namespace sluice::state {

class StoreTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-state-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    std::string directory() const { return root_ + "/state"; }
    std::string database() const { return directory() + "/state.db"; }

    Store open(StoreOptions options = {}) {
        auto opened = Store::open(directory(), options);
        EXPECT_TRUE(opened.has_value()) << opened.error().text();
        EXPECT_FALSE(opened->recovered.has_value()) << opened->recovered->text();
        return std::move(opened->store);
    }

    static std::map<std::string, std::string> objects(const Store& store) {
        std::map<std::string, std::string> out;
        const auto loaded = store.load([&](const StoredObject& object) -> Result<> {
            out[object.key.text()] = object.file + "|" + object.bytes;
            return {};
        });
        EXPECT_TRUE(loaded.has_value()) << loaded.error().text();
        return out;
    }

    std::string root_;
};

inline config::ObjectKey key(const std::string& name, config::Kind kind = config::Kind::kVirtualService) {
    return {kind, "ml", name};
}

inline HistoryRow row(std::uint64_t generation, std::string summary = "changed") {
    HistoryRow out;
    out.generation = generation;
    out.time = std::chrono::system_clock::time_point(std::chrono::seconds(1'790'000'000));
    out.actor = {1000, 42, "alice"};
    out.source = ChangeSource::kApply;
    out.summary = std::move(summary);
    out.message = "canary to 25";
    return out;
}

}  // namespace sluice::state
