// The fields of a head while it is rewritten, and the header operations of rules on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/http_rule.h"
#include "http/head.h"
#include "proxy/format.h"

namespace sluice::proxy {

// Text that stays where it is until clear(); memory is kept for the next head.
class Arena {
  public:
    std::string_view keep(std::string_view text);
    std::string_view keep(std::uint64_t number);
    void clear();

  private:
    struct Block {
        std::unique_ptr<char[]> text;
        std::size_t size = 0;
    };
    std::vector<Block> blocks_;
    std::size_t block_ = 0, used_ = 0;
};

// A head's fields in order. Views must stay good until write(). One a thread, reused: scratch().
class Lines {
  public:
    static Lines& scratch();  // cleared

    void add(std::string_view name, std::string_view value) { lines_.push_back({name, value}); }
    // The first line of that name gets the value, the others go; a new line if there is none.
    void set(std::string_view name, std::string_view value);
    void remove(std::string_view name);
    // The first value; null: none.
    const std::string_view* find(std::string_view name) const;
    // "NAME: VALUE\r\n" of all lines and the empty line.
    void write(std::string& out) const;

    Arena arena;
    std::string text;  // for whoever needs to put a value together

  private:
    std::vector<http::Field> lines_;
};

// What a field is to a proxy. Names as sent, in any case.
enum class FieldKind : std::uint8_t {
    kPass,
    kHop,         // of one connection: Connection, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade
    kConnection,  // Connection itself: it may name more
    kLength,      // Content-Length: written anew
    kHost,
    kExpect,
    kRequestId,
    kForwardedProto,
    kControl,      // x-envoy-*: meant for a proxy, not from this side
    kServiceTime,  // x-envoy-upstream-service-time
    kServer,
    kDate,
};
FieldKind field_kind(std::string_view name);

// Adds the fields that are passed on, without those that `dropped` tells (a set of FieldKind) and those that Connection
// names. `seen` gets the kinds that there are.
using FieldKinds = std::uint32_t;
constexpr FieldKinds kind_bit(FieldKind kind) {
    return FieldKinds{1} << static_cast<unsigned>(kind);
}
void pass_fields(const http::Head& head, FieldKinds dropped, Lines& lines, FieldKinds& seen);

// The operations that act on one head: blocks one after the other, each removing, then setting, then adding, with
// values made of what is there after the removal (Envoy's HeaderParser).
class HeaderPlan {
  public:
    // Appends a block of these in order, or nothing when they are all empty. `host` in sets is left out (it is the
    // authority's rewrite).
    Result<> append(std::initializer_list<const config::HeaderOps*> operations, bool response);
    bool empty() const { return blocks_.empty(); }
    void apply(Lines& lines, const Subject& subject) const;

  private:
    struct Block {
        std::vector<std::string> remove;
        std::vector<std::pair<std::string, Format>> set, add;
    };
    std::vector<Block> blocks_;
};

}  // namespace sluice::proxy
