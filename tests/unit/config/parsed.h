// A text, parsed: what every test of this room begins with.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "config/parse.h"

namespace sluice::config::test {

struct Parsed {
    std::vector<ObjectPtr> objects;
    Diagnostics diagnostics;

    // Every line a user sees.
    std::string lines() const {
        std::string out;
        for (const Diagnostic& diagnostic : diagnostics.items) {
            out += diagnostic.text() + "\n";
        }
        return out;
    }
    std::string output() const {
        std::string out = lines();
        for (const ObjectPtr& object : objects) {
            out += "+ " + object->key.text() + "\n";
        }
        return out;
    }
};

inline Parsed parse_text(std::string_view text, const std::string& file = "t.yaml", const ParseLimits& limits = {}) {
    Parsed parsed;
    parse(text, file, limits, parsed.objects, parsed.diagnostics);
    return parsed;
}

// `body` behind a header of the kind; `body` begins with "spec:" or the kind's own fields.
inline std::string document(const std::string& kind, const std::string& body, const std::string& metadata = "name: a") {
    const std::string version = kind == "Service"         ? "v1"
                                : kind == "EndpointSlice" ? "discovery.k8s.io/v1"
                                                          : "networking.istio.io/v1";
    return "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {" + metadata + "}\n" + body;
}

// The one object of a text that has nothing wrong.
template <typename T>
T one(const std::string& text) {
    const Parsed parsed = parse_text(text);
    EXPECT_EQ(parsed.lines(), "");
    EXPECT_EQ(parsed.objects.size(), 1u);
    if (parsed.objects.size() != 1 || !std::holds_alternative<T>(parsed.objects[0]->spec)) {
        ADD_FAILURE() << "no object of that kind in\n" << text;
        return T{};
    }
    return std::get<T>(parsed.objects[0]->spec);
}

}  // namespace sluice::config::test
