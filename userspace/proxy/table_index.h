// Which service a Host field means, as each scope sees it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/table.h"

namespace sluice::proxy {

// Names of virtual hosts. Filled once, then only read. Refers to the virtual hosts, does not keep them.
class HostIndex {
  public:
    // Under its host, its virtual addresses, and the short names that Istio knows of a cluster's service.
    void add(const VirtualHost& host);
    // An exact name in lower case, else the longest wildcard that fits; null: the scope sees none on that port.
    const VirtualHost* find(std::string_view scope, std::string_view name, std::uint16_t port) const;

  private:
    struct Key {
        std::string name;
        std::uint16_t port = 0;
    };
    struct KeyView {
        std::string_view name;
        std::uint16_t port = 0;
    };
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(const Key& key) const { return (*this)(KeyView{key.name, key.port}); }
        std::size_t operator()(const KeyView& key) const;
    };
    struct Equal {
        using is_transparent = void;
        template <typename A, typename B>
        bool operator()(const A& a, const B& b) const {
            return a.port == b.port && std::string_view(a.name) == std::string_view(b.name);
        }
    };
    // Which of two that have one name in one scope it means: the higher.
    enum class Claim : std::uint8_t { kAlias, kExact, kBareName, kBareNameOfScope };
    struct Seen {
        std::string scope;
        const VirtualHost* host = nullptr;
        Claim claim = Claim::kAlias;
    };
    // By scope; "" is what all see, and last.
    using Entry = std::vector<Seen>;
    using Map = std::unordered_map<Key, Entry, Hash, Equal>;

    static void put(Map& map, std::string name, std::uint16_t port, const std::string& scope, const VirtualHost& host,
                    Claim claim);
    static const VirtualHost* look(const Map& map, std::string_view scope, std::string_view name, std::uint16_t port);

    Map names_;
    Map wildcards_;                     // by what follows the star
    std::vector<std::size_t> lengths_;  // of those, longest first
};

// A Host without port and final dot, in lower case, addresses in their usual form. Written to `buffer`; empty: it can
// be no name.
struct HostName {
    char buffer[256];
    std::string_view name;
    explicit HostName(std::string_view authority);
};

}  // namespace sluice::proxy
