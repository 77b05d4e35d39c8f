#include "daemon/documents.h"

#include <fstream>
#include <map>
#include <sstream>
#include <unordered_map>

#include "base/identity.h"
#include "source/write_back.h"

namespace sluice::daemon {

namespace {

constexpr std::size_t kSummaryLines = 100;

std::optional<std::string> read_whole(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        return std::nullopt;
    }
    std::ostringstream out;
    out << in.rdbuf();
    return std::move(out).str();
}

}  // namespace

void for_each_text(std::span<const config::ObjectPtr> objects,
                   const std::function<void(const config::Object&, std::string text)>& each) {
    std::map<std::string_view, std::vector<const config::Object*>> files;
    for (const config::ObjectPtr& object : objects) {
        files[object->file].push_back(object.get());
    }
    for (const auto& [file, inside] : files) {
        std::optional<std::string> bytes = read_whole(std::string(file));
        for (const config::Object* object : inside) {
            if (bytes && object->begin <= object->end && object->end <= bytes->size()) {
                each(*object, source::document_text(*bytes, *object));
            }
        }
    }
}

std::vector<state::ObjectChange> stored_changes(std::span<const model::Change> changes) {
    std::vector<state::ObjectChange> out;
    std::vector<config::ObjectPtr> present;
    for (const model::Change& change : changes) {
        if (change.object) {
            present.push_back(change.object);
        } else {
            out.push_back({change.key, {}, std::nullopt});
        }
    }
    for_each_text(present, [&](const config::Object& object, std::string text) {
        out.push_back({object.key, object.file, std::move(text)});
    });
    return out;
}

Result<Difference> differences(const state::Store& store,
                               const std::map<config::ObjectKey, config::ObjectPtr>& objects) {
    std::vector<state::ObjectChange> out;
    std::map<config::ObjectKey, Identity> stored;
    auto loaded = store.load([&](const state::StoredObject& object) -> Result<> {
        if (objects.contains(object.key)) {
            stored.emplace(object.key, Identity::of(object.file + '\0' + object.bytes));
        } else {
            out.push_back({object.key, {}, std::nullopt});
        }
        return {};
    });
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    std::vector<config::ObjectPtr> present;
    present.reserve(objects.size());
    for (const auto& [key, object] : objects) {
        present.push_back(object);
    }
    for_each_text(present, [&](const config::Object& object, std::string text) {
        auto found = stored.find(object.key);
        if (found == stored.end() || found->second != Identity::of(object.file + '\0' + text)) {
            out.push_back({object.key, object.file, std::move(text)});
        }
    });
    std::string text = summary(out, [&](const config::ObjectKey& key) { return stored.contains(key); });
    return Difference{std::move(out), std::move(text)};
}

std::string summary(std::span<const state::ObjectChange> changes,
                    const std::function<bool(const config::ObjectKey&)>& existed) {
    std::string text;
    for (std::size_t i = 0; i < changes.size() && i < kSummaryLines; ++i) {
        const state::ObjectChange& change = changes[i];
        const char* action = !change.bytes ? "deleted " : existed(change.key) ? "changed " : "created ";
        text += action + change.key.text() + "\n";
    }
    if (changes.size() > kSummaryLines) {
        text += "and " + std::to_string(changes.size() - kSummaryLines) + " more\n";
    }
    if (!text.empty()) {
        text.pop_back();
    }
    return text;
}

}  // namespace sluice::daemon
