// Edits of any bytes never crash; what they give back is a text that config::parse takes if it took the one before.
// rooms: source model config base
//
// It stays as it is when edited so again, and means what it meant when the edit is taken back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/parse.h"
#include "source/rule_edit.h"
#include "source/rule_edit_tree.h"

namespace {

using sluice::Result;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// Whether a text is one VirtualService.
bool parses(const std::string& text) {
    std::vector<sluice::config::ObjectPtr> objects;
    sluice::Diagnostics diagnostics;
    sluice::config::parse(text, "f.yaml", {}, objects, diagnostics);
    return !diagnostics.has_errors() && objects.size() == 1;
}

// An edit and its opposite.
void require_back(const std::string& before, const Result<std::string>& back) {
    if (!back) {
        return;
    }
    const auto was = sluice::source::read_spans(before), is = sluice::source::read_spans(*back);
    require(was && is && was->meaning() == is->meaning());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace sluice::source;
    if (size < 2) {
        return 0;
    }
    const std::size_t rule = data[0] % 4, destination = data[0] / 4 % 4;
    const std::uint32_t weight = 1 + data[1];
    const std::string text(reinterpret_cast<const char*>(data + 2), size - 2);
    const bool sound = parses(text);
    if (const auto set = set_weights(text, rule, {{destination, weight}})) {
        require(set_weights(*set, rule, {{destination, weight}}) == *set);
        // Weights may be too large together; a new one is small.
        require(!sound || parses(*set) || text.find("42949") != std::string::npos);
    }
    if (const auto added = add_destination(text, rule, destination, "new", weight)) {
        const auto tree = read_spans(*added);
        const Span* spec = tree->field("spec");
        const Span* rules = spec->field("http");
        rules = rules == nullptr || rules->items.empty() ? spec->field("tcp") : rules;
        require_back(text, remove_destination(*added, rule, rules->items[rule].field("route")->items.size() - 1));
    }
    if (const auto added = add_mirror(text, rule, "host", "new", 8080, weight / 3.0)) {
        const auto again = add_mirror(*added, rule, "host", "newer", 0, 100);
        require(again.has_value());
        require(remove_mirror(*again, rule, 99).has_value() == false);
    }
    if (const auto with = insert_rule(text, rule, R"({"name": "in", "route": [{"destination": {"host": "a"}}]})")) {
        const auto back = remove_rule(*with, rule);
        require(back.has_value());
        require_back(text, back);
        require(!sound || parses(*with) || text.find("tcp") != std::string::npos);
    }
    static_cast<void>(remove_rule(text, rule));
    return 0;
}
