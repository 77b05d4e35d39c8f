// Strict, streaming YAML (libyaml events) into objects. Pure: bytes in, objects and diagnostics out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "config/objects.h"

namespace sluice::config {

// Every limit is named in the diagnostic that reports it.
struct ParseLimits {
    std::size_t file_bytes = 64u << 20;
    std::size_t documents = 200'000;  // a file
    int depth = 32;
    std::size_t scalar_bytes = 3u << 19;  // a directResponse's largest body in base64, and some
    std::size_t diagnostics = 200;        // a load; the rest is counted in one line
};

// Parses all documents of one file (`---` separated, also List kinds with `items`). Appends every valid object to
// `objects` and every problem to `diagnostics`; a document with an error yields no object, the others still do. Anchors
// and aliases, tags, duplicate keys, non-UTF-8, and unknown fields are errors. `file` is only for messages and
// Object::file.
void parse(std::string_view bytes, const std::string& file, const ParseLimits& limits, std::vector<ObjectPtr>& objects,
           Diagnostics& diagnostics);

// Object::digest of these bytes.
std::uint64_t document_digest(std::string_view bytes);

}  // namespace sluice::config
