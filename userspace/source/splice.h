// Replaces documents inside a file's text and leaves every other byte as it was. Pure. Private to this room.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/parse.h"
#include "source/catalog.h"

namespace sluice::source {

// The text of one document as it goes into a file: parsed alone, so that its extent and digest are known.
struct NewDocument {
    std::string text;  // ends with a line break
    std::size_t begin = 0, end = 0;
    int line = 0;  // of its content within `text`
    std::uint64_t digest = 0;

    std::string_view content() const { return std::string_view(text).substr(begin, end - begin); }
    // Fails unless `bytes` is exactly one valid document that defines `key`.
    static Result<NewDocument> parse(const config::ObjectKey& key, std::string bytes,
                                     const config::ParseLimits& limits);
};

struct DocumentEdit {
    std::size_t index = 0;              // which document of the file
    const NewDocument* with = nullptr;  // null: delete
};

// A document that comes behind all others.
struct AppendedDocument {
    config::ObjectKey key;
    const NewDocument* document = nullptr;
};

struct Spliced {
    std::string bytes;
    std::vector<Document> documents;
    bool empty = false;  // nothing but blank lines and separators is left
};

// `documents` is what the file's text was seen to hold, by begin; `edits` name different ones. A replaced document's
// own text changes, its comments before and after stay. A deleted one takes one separator with it. Fails, naming the
// object, when the result would not hold exactly the wanted documents (items of a List, for example).
Result<Spliced> splice(std::string_view text, const std::vector<Document>& documents, std::vector<DocumentEdit> edits,
                       const config::ParseLimits& limits, const std::vector<AppendedDocument>& appended = {});

}  // namespace sluice::source
