// Heads of HTTP/1 messages, as parsed: views into the head's own copy of its octets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::http {

// Case-insensitive (ASCII), as field names are compared.
bool same_name(std::string_view a, std::string_view b);

struct Field {
    std::string_view name;   // as sent
    std::string_view value;  // without blanks around it; may be empty
};

enum class Framing : std::uint8_t { kNone, kLength, kChunked, kUntilClose };  // kUntilClose: answers only

// What both kinds of heads have. Movable only by exchange of contents (views follow the text): use swap(). Reused from
// message to message, so that a connection in steady state allocates nothing.
class Head {
  public:
    Head() = default;
    Head(const Head&) = delete;
    Head& operator=(const Head&) = delete;

    std::vector<Field> fields;         // in order, as sent
    std::vector<Field> trailers;       // after the whole message was parsed; without those that are never passed on
    int minor = 1;                     // HTTP/1.minor
    Framing framing = Framing::kNone;  // of an answer to HEAD and of 304: what the fields say, though no body follows
    std::uint64_t length = 0;          // kLength
    bool keep_alive = true;            // what the sender wants: by version and Connection
    bool upgrade = false;              // Connection: upgrade, with an Upgrade field
    std::size_t octets = 0;            // of the head on the wire

    // The first field of that name; null: none.
    const std::string_view* find(std::string_view name) const;
    // All values of that name joined by ","; nullopt: there is none. `joined` keeps the text when there are several.
    std::optional<std::string_view> value(std::string_view name, std::string& joined) const;

  protected:
    friend class Parser;
    void clear_common();
    void swap_common(Head& other);

    std::string text_;          // first line and fields, as sent
    std::string trailer_text_;  // trailers, as sent
};

class RequestHead : public Head {
  public:
    std::string_view method;  // "GET"; case-sensitive
    std::string_view target;  // as sent
    std::string_view path;    // of the target, neither decoded nor normalised; "*" for OPTIONS *; empty for CONNECT
    std::string_view query;   // behind the first "?", to the end or to a "#"
    bool has_query = false;
    std::string_view scheme;     // of an absolute target; else empty
    std::string_view authority;  // of an absolute target or CONNECT, else the Host field's value; may be empty (1.0)
    bool expect_continue = false;

    void clear();
    void swap(RequestHead& other);
};

class ResponseHead : public Head {
  public:
    int status = 0;
    std::string_view reason;

    void clear();
    void swap(ResponseHead& other);
};

}  // namespace sluice::http
