#include "http/lines.h"

#include <algorithm>

namespace sluice::http {

void Lines::begin(First first) {
    first_ = first;
    cr_ = false;
    refusal_ = Refusal::kNone;
    begin_ = 0;
    count_ = 0;
}

Refusal Lines::check_first(std::string_view text) {
    const std::string_view line = text.substr(0, text.size() - 2);
    return first_ == First::kRequest ? check_request_line(line, parts_) : check_status_line(line, parts_);
}

bool Lines::take(std::string& text, std::string_view octets, std::size_t& used) {
    octets.remove_prefix(used);
    const std::size_t before = text.size();
    std::size_t at = 0;  // octets that are looked at; they are copied when this returns, the first line at its end
    const auto copy = [&] { text.append(octets.substr(text.size() - before, before + at - text.size())); };
    const auto done = [&](Refusal refusal, bool whole) {
        copy();
        used += at;
        refusal_ = refusal;
        return whole;
    };
    for (;;) {
        const bool first = in_first();
        const std::size_t most = first ? std::min(limits_->first_line, limits_->head_octets) : limits_->head_octets;
        const std::string_view piece = octets.substr(0, most - before);
        if (!cr_ && at < piece.size()) {
            if (before + at == begin_ && (piece[at] == ' ' || piece[at] == '\t')) {
                return done(Refusal::kMalformed, false);
            }
            at = find_control(piece, at);
            if (at < piece.size() && piece[at] != '\r') {
                return done(Refusal::kMalformed, false);
            }
            cr_ = at < piece.size();
            at += cr_ ? 1 : 0;
        }
        if (at == piece.size()) {
            const Refusal beyond = first ? Refusal::kLineTooLong : Refusal::kHeadTooLarge;
            return done(before + at < most ? Refusal::kNone : beyond, false);
        }
        if (piece[at] != '\n') {
            return done(Refusal::kMalformed, false);
        }
        ++at;
        cr_ = false;
        const bool empty = before + at - begin_ == 2;
        begin_ = before + at;
        if (empty) {
            return done(first ? Refusal::kMalformed : Refusal::kNone, !first);
        }
        ++count_;
        if (first) {
            copy();
            const Refusal refusal = check_first(text);
            if (refusal != Refusal::kNone) {
                return done(refusal, false);
            }
        }
        if (count_ - (first_ != First::kField ? 1 : 0) > limits_->fields) {
            return done(Refusal::kTooManyFields, false);
        }
    }
}

}  // namespace sluice::http
