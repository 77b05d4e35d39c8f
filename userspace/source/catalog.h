// Which documents stand where: what Directory and WriteBack both know about the files. Private to this room.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "config/objects.h"

namespace sluice::source {

struct Document {
    config::ObjectKey key;
    std::size_t begin = 0, end = 0;  // bytes of the document in its file
    int line = 0;                    // of its first content, from 1
    std::uint64_t digest = 0;
    bool list_item = false;
};

// What stat(2) says about a file; equal means unchanged unless it was written within the clock's granularity.
struct Signature {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;

    static Signature of(const struct stat& status);
    bool operator==(const Signature&) const = default;
};

struct FileState {
    Signature signature;
    std::int64_t read_at_ns = 0;      // CLOCK_REALTIME before it was read
    Identity digest;                  // of all its bytes
    std::vector<Document> documents;  // by begin

    // Whether an equal signature proves equal bytes: no write can hide within the file system's time granularity.
    bool proves(const Signature& now) const;
};

// The accepted content of all files.
class Catalog {
  public:
    const std::map<std::string, FileState>& files() const { return files_; }
    std::size_t documents() const { return by_key_.size(); }

    struct Found {
        const std::string* file = nullptr;
        const Document* document = nullptr;
    };
    Found find(const config::ObjectKey& key) const;

    // The accepted digest of an object, also of one that is only assumed.
    std::optional<std::uint64_t> digest(const config::ObjectKey& key) const;

    // Replaces or (nullopt) forgets what is known about a file. Its keys must not be defined by another file.
    void put(const std::string& file, std::optional<FileState> state);
    // The bytes are the same, only stat(2) differs.
    void touch(const std::string& file, const Signature& signature, std::int64_t read_at_ns);

    void assume(const config::ObjectKey& key, std::uint64_t digest) { assumed_[key] = digest; }
    const std::map<config::ObjectKey, std::uint64_t>& assumed() const { return assumed_; }
    void forget_assumed() { assumed_.clear(); }

  private:
    struct Entry {
        const std::string* file;  // a key of files_
        std::uint32_t index;      // into its documents
    };
    static Identity identity(const config::ObjectKey& key);

    std::map<std::string, FileState> files_;
    std::unordered_map<Identity, Entry, IdentityHash> by_key_;
    std::map<config::ObjectKey, std::uint64_t> assumed_;  // until the first accepted scan
};

// A regular file's bytes with the signature they had. At most `limit` bytes; another kind of file, a longer one, or
// one that cannot be read is an error that says so.
struct FileBytes {
    std::string bytes;
    Signature signature;
    std::int64_t read_at_ns = 0;
    struct stat status {};
};
Result<FileBytes> read_file(const std::string& path, std::size_t limit);

Identity bytes_digest(std::string_view bytes);

// Names of temporary files that a transaction makes beside the file it replaces.
constexpr std::string_view kTemporaryPrefix = ".sluice-";
constexpr std::string_view kTemporarySuffix = ".tmp";
bool is_temporary(std::string_view name);

}  // namespace sluice::source
