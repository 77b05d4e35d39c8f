// config::parse on any bytes: it never crashes, every object lies inside the bytes and is found again, alone, in its
// own range, and an error never yields the object that it is about.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/parse.h"

namespace {

using sluice::Diagnostics;
using sluice::config::ObjectPtr;
using sluice::config::ParseLimits;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const ParseLimits limits{.file_bytes = 1 << 16, .documents = 64, .depth = 16, .scalar_bytes = 1 << 12};
    std::vector<ObjectPtr> objects;
    Diagnostics diagnostics;
    sluice::config::parse(bytes, "fuzz.yaml", limits, objects, diagnostics);
    for (const sluice::Diagnostic& diagnostic : diagnostics.items) {
        require(!diagnostic.message.empty() && diagnostic.file == "fuzz.yaml");
        require(diagnostic.text().find('\n') == std::string::npos);
    }
    std::size_t last_end = 0;
    for (const ObjectPtr& object : objects) {
        require(object->begin < object->end && object->end <= size && object->begin >= last_end);
        last_end = object->end;
        require(!object->key.name.empty() && !object->key.ns.empty());
        if (object->list_item) {
            continue;
        }
        std::vector<ObjectPtr> again;
        Diagnostics none;
        sluice::config::parse(bytes.substr(object->begin, object->end - object->begin), "again.yaml", limits, again,
                              none);
        require(again.size() == 1 && !none.has_errors());
        require(again[0]->key == object->key && again[0]->digest == object->digest && again[0]->begin == 0);
    }
    return 0;
}
