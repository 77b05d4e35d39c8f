// Reading typed fields out of a Tree: every reader reports what it found and what is allowed, with place and path.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/objects.h"
#include "config/report.h"
#include "config/tree.h"

namespace sluice::config {

// What all values of one document share.
struct Scope {
    const Tree& tree;
    Report& report;
    const char* vendor = "Istio";  // whose field a refused field is
    std::string ns;                // the document's namespace, once known
    int item = -1;                 // element of a List, which paths begin with
};

// A node with its path. Lives on the stack of the reader; readers do not keep it.
class Value {
  public:
    Value(Scope& scope, const Node& node, const Value* parent, const Node* key, int index)
        : scope_(&scope), node_(&node), parent_(parent), key_(key), index_(index) {}

    Scope& scope() const { return *scope_; }
    const Node& node() const { return *node_; }
    Place place() const { return {static_cast<int>(node_->line), static_cast<int>(node_->column)}; }
    std::string path() const;
    std::string_view key() const { return key_ == nullptr ? std::string_view() : scope_->tree.text(*key_); }
    // Of the key, or of the value where there is no key.
    Place key_place() const;

    // ---- problems
    void error(std::string message) const;
    void error_at_key(std::string message) const { scope_->report.error(key_place(), path(), std::move(message)); }
    void warning(std::string message) const { scope_->report.warning(key_place(), path(), std::move(message)); }
    // "FIELD is required" of a field of this mapping; `allowed` says what goes there.
    void missing(std::string_view field, const char* allowed) const;
    // "found X; NEEDED".
    void wrong(std::string_view needed) const { error("found " + found() + "; " + std::string(needed)); }
    // What stands here, in words.
    std::string found() const;

    // ---- shapes
    bool is_null() const;
    bool is_map() const { return node_->type == Node::Type::kMap; }
    bool is_seq() const { return node_->type == Node::Type::kSeq; }
    bool is_scalar() const { return node_->type == Node::Type::kScalar; }
    bool is_empty() const { return node_->first == Node::kNone; }  // a mapping or list without children
    std::size_t size() const;                                      // elements of a list
    std::string_view text() const { return scope_->tree.text(*node_); }
    // A field of this mapping that is there and not null.
    const Node* field(std::string_view name) const;
    bool has(std::string_view name) const { return field(name) != nullptr; }
    bool expect_map() const;  // else reports
    bool expect_seq() const;

    // Calls fn(const Value&) for each field (its key() says which) or element. Nulls come too.
    template <typename Fn>
    void each_field(Fn fn) const {
        for (const Node* key = scope_->tree.first(*node_); key != nullptr;) {
            const Node* value = scope_->tree.next(*key);
            if (value == nullptr) {
                return;
            }
            fn(Value(*scope_, *value, this, key, -1));
            key = scope_->tree.next(*value);
        }
    }
    template <typename Fn>
    void each_element(Fn fn) const {
        int index = 0;
        for (const Node* node = scope_->tree.first(*node_); node != nullptr; node = scope_->tree.next(*node)) {
            fn(Value(*scope_, *node, this, nullptr, index++));
        }
    }

    // ---- scalars; nothing when it was reported
    std::optional<std::string_view> string() const;
    std::optional<std::string_view> nonempty() const;
    std::optional<std::int64_t> integer(std::int64_t min, std::int64_t max) const;
    std::optional<double> number(double min, double max) const;
    std::optional<bool> boolean() const;
    std::optional<std::chrono::nanoseconds> duration(bool zero_allowed = false) const;
    std::optional<IpAddress> ip() const;
    std::optional<std::uint16_t> port() const;
    std::optional<std::uint32_t> u32() const;
    // One of `names`; its index.
    std::optional<std::size_t> one_of(std::span<const std::string_view> names) const;

  private:
    Scope* scope_;
    const Node* node_;
    const Value* parent_;
    const Node* key_;
    int index_;
};

// One field of a mapping: read by `read`, or refused with advice, or (neither) accepted and skipped.
template <typename T>
struct Field {
    std::string_view name;
    void (*read)(const Value&, T&) = nullptr;
    const char* refused = nullptr;
};

// Names in a table that a user may write, for the message about one that is unknown.
void unknown_field(const Value& value, std::span<const std::string_view> allowed);
void refused_field(const Value& value, const char* advice);

// Reads a mapping by its table of fields. A null is the same as an absent field, as in Kubernetes.
template <typename T, std::size_t N>
bool read_fields(const Value& map, const Field<T> (&fields)[N], T& out) {
    if (!map.expect_map()) {
        return false;
    }
    map.each_field([&](const Value& value) {
        const std::string_view key = value.key();
        for (const Field<T>& field : fields) {
            if (field.name != key) {
                continue;
            }
            if (value.is_null()) {
                return;
            }
            if (field.refused != nullptr) {
                refused_field(value, field.refused);
            } else if (field.read != nullptr) {
                field.read(value, out);
            }
            return;
        }
        std::string_view names[N];
        std::size_t count = 0;
        for (const Field<T>& field : fields) {
            if (field.refused == nullptr) {
                names[count++] = field.name;
            }
        }
        unknown_field(value, std::span(names, count));
    });
    return true;
}

// Calls fn for each element of a list, or reports that it is none, or longer than `most`. Null elements are reported.
template <typename Fn>
void read_list(const Value& list, std::size_t most, Fn fn) {
    if (!list.expect_seq()) {
        return;
    }
    if (list.size() > most) {
        list.error("found a list of " + std::to_string(list.size()) + "; the limit is " + std::to_string(most));
        return;
    }
    list.each_element([&](const Value& value) {
        if (value.is_null()) {
            value.wrong("an element may not be empty");
        } else {
            fn(value);
        }
    });
}
template <typename Fn>
void read_list(const Value& list, Fn fn) {
    read_list(list, static_cast<std::size_t>(-1), fn);
}

// The limit of lists whose elements are compared with each other.
constexpr std::size_t kMostCompared = 1024;

}  // namespace sluice::config
