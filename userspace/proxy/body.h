// A request's body on its way to an endpoint: what waits, and what is kept for another try or for mirrors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/slice.h"

namespace sluice::proxy {

// Octets in order, with a place up to which they were written. Large pieces share the buffers that they were read into;
// small ones are copied together, because a buffer of 16 KiB that holds one octet for long would make bodies dear.
class Pieces {
  public:
    void add(const io::Slice& piece);
    void clear();
    std::uint64_t octets() const { return octets_; }

    // Octets not written yet.
    std::uint64_t unwritten() const { return octets_ - written_; }
    // Of the next run; 0: all is written.
    std::size_t next() const;
    // Gives the next run to `to`, which has write(io::Slice) and write(std::string_view).
    template <typename To>
    void write_next(To& to) {
        const std::size_t size = next();
        const Piece& piece = pieces_[at_];
        if (piece.slice.empty()) {
            to.write(std::string_view(text_).substr(piece.offset + within_, size));
        } else {
            to.write(piece.slice.part(within_, size));
        }
        advance(size);
    }
    // Nothing counts as written any more.
    void rewind();
    // Forgets what was written: it will not be needed again.
    void drop_written();

  private:
    struct Piece {
        io::Slice slice;         // empty: in the text, from `offset` on
        std::size_t offset = 0;  // of the text
        std::size_t size = 0;
    };
    void push(Piece piece);
    void advance(std::size_t size);

    std::vector<Piece> pieces_;
    std::string text_;
    std::uint64_t octets_ = 0;
    std::uint64_t written_ = 0;
    std::size_t at_ = 0;      // piece, and
    std::size_t within_ = 0;  // its octets that are written
};

}  // namespace sluice::proxy
