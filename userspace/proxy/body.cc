#include "proxy/body.h"

namespace sluice::proxy {

static constexpr std::size_t kSmall = 2048;  // octets; below, copying costs less than holding a buffer

void Pieces::push(Piece piece) {
    if (!pieces_.empty() && written_ == octets_) {
        ++at_;
        within_ = 0;
    }
    pieces_.push_back(std::move(piece));
}

void Pieces::add(const io::Slice& piece) {
    if (piece.size() >= kSmall) {
        push({piece, 0, piece.size()});
        octets_ += piece.size();
        return;
    }
    // Runs of small pieces become one.
    if (pieces_.empty() || !pieces_.back().slice.empty()) {
        push({{}, text_.size(), 0});
    }
    octets_ += piece.size();
    pieces_.back().size += piece.size();
    text_.append(piece.text());
}

void Pieces::clear() {
    pieces_.clear();
    text_.clear();
    octets_ = written_ = 0;
    at_ = within_ = 0;
}

std::size_t Pieces::next() const {
    // advance() leaves a place at a piece's end only at the last one, which may grow.
    return at_ < pieces_.size() ? pieces_[at_].size - within_ : 0;
}

void Pieces::advance(std::size_t size) {
    written_ += size;
    within_ += size;
    if (at_ + 1 < pieces_.size()) {
        ++at_;
        within_ = 0;
    }
}

void Pieces::rewind() {
    written_ = 0;
    at_ = within_ = 0;
}

void Pieces::drop_written() {
    if (unwritten() == 0) {
        clear();
    }
}

}  // namespace sluice::proxy
