// libyaml's parser over one chunk of a file, owned.
#pragma once

#include <yaml.h>

#include <string_view>
#include <utility>

namespace sluice::config {

// Owns a libyaml parser over bytes that outlive it, and its current event. The bytes are UTF-8 without a mark.
class Events {
  public:
    explicit Events(std::string_view bytes) {
        ready_ = yaml_parser_initialize(&parser_) == 1;
        if (ready_) {
            yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
            yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
        }
    }
    Events(const Events&) = delete;
    Events& operator=(const Events&) = delete;
    ~Events() {
        clear();
        if (ready_) {
            yaml_parser_delete(&parser_);
        }
    }

    // False on an error, which parser() then tells.
    bool next() {
        clear();
        held_ = ready_ && yaml_parser_parse(&parser_, &event_) == 1;
        return held_;
    }
    const yaml_event_t& event() const { return event_; }
    const yaml_parser_t& parser() const { return parser_; }
    bool out_of_memory() const { return !ready_ || parser_.error == YAML_MEMORY_ERROR; }

  private:
    void clear() {
        if (std::exchange(held_, false)) {
            yaml_event_delete(&event_);
        }
    }

    yaml_parser_t parser_{};
    yaml_event_t event_{};
    bool ready_ = false;
    bool held_ = false;
};

// libyaml counts characters; this walks the bytes forward with it. Positions that are asked for must not decrease.
class Offsets {
  public:
    explicit Offsets(std::string_view bytes) : bytes_(bytes) {}
    // Byte offset of a character.
    std::size_t at(std::size_t character) {
        for (; character_ < character && byte_ < bytes_.size(); ++character_) {
            const auto first = static_cast<unsigned char>(bytes_[byte_]);
            byte_ += first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        }
        return byte_;
    }
    // The same, moved behind the end of its line unless it is at a line's start.
    std::size_t line_end(std::size_t character) {
        const std::size_t offset = at(character);
        if (offset == 0 || bytes_[offset - 1] == '\n') {
            return offset;
        }
        const std::size_t newline = bytes_.find('\n', offset);
        return newline == std::string_view::npos ? bytes_.size() : newline + 1;
    }

  private:
    std::string_view bytes_;
    std::size_t character_ = 0;
    std::size_t byte_ = 0;
};

}  // namespace sluice::config
