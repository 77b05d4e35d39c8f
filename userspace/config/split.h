// A file's bytes into the bytes of its documents. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "config/objects.h"

namespace sluice::config {

// What stands between two separators.
struct Section {
    std::size_t begin = 0;  // bytes in the file: from the line behind the separator …
    std::size_t end = 0;    // … to the next separator
    int line = 1;           // of its first byte
    // "--- text" is not a document of its own lines: column of the text, or 0.
    int text_column = 0;
};

// Walks the sections of a file. A line that is "---" or "..." alone, or with blanks or a comment behind it, separates:
// YAML knows no content that could look so.
class Sections {
  public:
    explicit Sections(std::string_view bytes) : bytes_(bytes) {}
    std::optional<Section> next();

  private:
    std::string_view bytes_;
    std::size_t at_ = 0;
    int line_ = 1;
    int text_column_ = 0;  // of text behind the separator that was just passed
    bool done_ = false;
};

// A section without the comment and blank lines around its content; empty when there is none.
Section trim(std::string_view bytes, Section section);

// The first thing that is no text as YAML means it: its place in the section and what it is.
struct EncodingProblem {
    Place place;
    std::string message;
};
std::optional<EncodingProblem> check_encoding(std::string_view bytes, int line);

}  // namespace sluice::config
