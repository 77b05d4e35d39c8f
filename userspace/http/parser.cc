#include "http/parser.h"

#include <llhttp/llhttp.h>

#include <algorithm>
#include <limits>

#include "http/lines.h"
#include "http/strict.h"

namespace sluice::http {

namespace {

// What most heads and trailers need; more than std::string holds within itself, so that views follow it in a swap.
constexpr std::size_t kTextReserve = 512;
constexpr std::size_t kTrailerReserve = 64;

Refusal refusal_of(llhttp_errno_t error) {
    switch (error) {
        case HPE_INVALID_METHOD:
            return Refusal::kBadMethod;
        case HPE_INVALID_VERSION:
            return Refusal::kBadVersion;
        case HPE_INVALID_TRANSFER_ENCODING:
            return Refusal::kBadCoding;
        case HPE_UNEXPECTED_CONTENT_LENGTH:
        case HPE_INVALID_CONTENT_LENGTH:
        case HPE_INVALID_CHUNK_SIZE:
            return Refusal::kBadFraming;
        default:
            return Refusal::kMalformed;
    }
}

}  // namespace

// Both directions. A head, and trailers, are gathered line by line into the head's own text, where only the shape of
// lines, the first line and the limits are checked, in the order of the octets; llhttp then reads the whole text at
// once, so that its spans are views that stay, and however octets were split makes no difference. Bodies with a length
// are counted down here; chunk lines go through llhttp as they come.
class Parser {
  public:
    Parser(const Limits& limits, bool request) : limits_(limits), lines_(limits_), request_(request) {}

    Step next(Head& head, std::string_view octets);
    Step end();
    void expect(bool head_request, bool connect_request) {
        head_request_ = head_request;
        connect_request_ = connect_request;
    }
    Refusal refusal() const { return refusal_; }
    bool idle() const { return state_ == State::kIdle; }

  private:
    enum class State : std::uint8_t {
        kIdle,
        kHead,
        kLength,
        kChunkLine,
        kChunkData,
        kTrailers,
        kUntilClose,
        kDone,  // whole, but not reported yet
        kFailed,
    };
    enum class Blank : std::uint8_t { kNone, kCr, kLine };  // of the empty line before a request

    Step fail(Refusal refusal);
    // One step in one state; kMore also when octets are left for the next state.
    Step turn(Head& head, std::string_view octets);
    Step body(std::string_view octets, std::uint64_t most);
    Step chunk_line(std::string_view octets);
    Step chunk_data(std::string_view octets);
    Step trailers(Head& head, std::string_view octets);
    // Passes over what may stand before a message; true once it begins.
    bool begin(Head& head, std::string_view octets, std::size_t& used);
    Step finish_head(Head& head, std::size_t used);
    Refusal read_head(Head& head, Coding& coding);

    static const llhttp_settings_t* settings();
    static Parser& of(llhttp_t* parser) { return *static_cast<Parser*>(parser->data); }
    static int on_name(llhttp_t* parser, const char* at, std::size_t length);
    static int on_value(llhttp_t* parser, const char* at, std::size_t length);
    static int on_pause(llhttp_t*) { return HPE_PAUSED; }

    const Limits limits_;
    Lines lines_;
    const bool request_;
    State state_ = State::kIdle;
    Blank blank_ = Blank::kNone;
    Refusal refusal_ = Refusal::kNone;
    bool head_request_ = false;
    bool connect_request_ = false;
    std::uint64_t left_ = 0;  // of the body, or of the chunk
    std::size_t line_ = 0;    // octets of the chunk line so far
    std::vector<Field>* fields_ = nullptr;
    llhttp_t llhttp_{};
};

const llhttp_settings_t* Parser::settings() {
    static const llhttp_settings_t settings = [] {
        llhttp_settings_t made;
        llhttp_settings_init(&made);
        made.on_header_field = on_name;
        made.on_header_value = on_value;
        made.on_headers_complete = on_pause;
        made.on_chunk_header = on_pause;
        made.on_message_complete = on_pause;
        return made;
    }();
    return &settings;
}

// The text is whole, so each name and each value comes in one piece.
int Parser::on_name(llhttp_t* parser, const char* at, std::size_t length) {
    of(parser).fields_->push_back({{at, length}, {}});
    return length == 0 ? HPE_USER : HPE_OK;
}

int Parser::on_value(llhttp_t* parser, const char* at, std::size_t length) {
    std::string_view value(at, length);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) {
        value.remove_suffix(1);
    }
    of(parser).fields_->back().value = value;
    return HPE_OK;
}

Step Parser::fail(Refusal refusal) {
    state_ = State::kFailed;
    refusal_ = refusal;
    return {Event::kError, 0, {}};
}

bool Parser::begin(Head& head, std::string_view octets, std::size_t& used) {
    while (request_ && blank_ != Blank::kLine && used < octets.size()) {
        if (octets[used] != (blank_ == Blank::kNone ? '\r' : '\n')) {
            if (blank_ == Blank::kCr) {
                fail(Refusal::kMalformed);
                return false;
            }
            break;
        }
        blank_ = blank_ == Blank::kNone ? Blank::kCr : Blank::kLine;
        ++used;
    }
    if (used == octets.size()) {
        return false;
    }
    if (request_) {
        static_cast<RequestHead&>(head).clear();
    } else {
        static_cast<ResponseHead&>(head).clear();
    }
    head.text_.reserve(kTextReserve);
    lines_.begin(request_ ? Lines::First::kRequest : Lines::First::kAnswer);
    blank_ = Blank::kNone;
    state_ = State::kHead;
    return true;
}

Step Parser::next(Head& head, std::string_view octets) {
    for (std::size_t before = 0;;) {
        Step step = turn(head, octets.substr(before));
        step.used += before;
        if (step.event != Event::kMore || step.used == octets.size()) {
            return step;
        }
        before = step.used;
    }
}

Step Parser::turn(Head& head, std::string_view octets) {
    std::size_t used = 0;
    switch (state_) {
        case State::kIdle:
            if (!begin(head, octets, used)) {
                return state_ == State::kFailed ? Step{Event::kError, 0, {}} : Step{Event::kMore, used, {}};
            }
            [[fallthrough]];
        case State::kHead:
            if (!lines_.take(head.text_, octets, used)) {
                return lines_.refusal() == Refusal::kNone ? Step{Event::kMore, used, {}} : fail(lines_.refusal());
            }
            return finish_head(head, used);
        case State::kLength: {
            const Step step = body(octets, left_);
            left_ -= step.used;
            state_ = left_ == 0 ? State::kDone : state_;
            return step;
        }
        case State::kChunkLine:
            return chunk_line(octets);
        case State::kChunkData:
            return chunk_data(octets);
        case State::kTrailers:
            return trailers(head, octets);
        case State::kUntilClose:
            return body(octets, std::numeric_limits<std::uint64_t>::max());
        case State::kDone:
            state_ = State::kIdle;
            return {Event::kEnd, 0, {}};
        case State::kFailed:
            break;
    }
    return {Event::kError, 0, {}};
}

Step Parser::end() {
    switch (state_) {
        case State::kUntilClose:
        case State::kDone:
            state_ = State::kIdle;
            return {Event::kEnd, 0, {}};
        case State::kIdle:
            return {};
        case State::kFailed:
            return {Event::kError, 0, {}};
        default:
            return fail(Refusal::kTooEarlyEnd);
    }
}

Step Parser::body(std::string_view octets, std::uint64_t most) {
    if (octets.empty()) {
        return {};
    }
    const std::string_view piece =
        octets.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(most, octets.size())));
    return {Event::kBody, piece.size(), piece};
}

// The line before is the end of the chunk before, if there was one: its CRLF counts as well.
Step Parser::chunk_line(std::string_view octets) {
    const std::string_view piece = octets.substr(0, limits_.chunk_line - line_);
    llhttp_resume(&llhttp_);
    const llhttp_errno_t error = llhttp_execute(&llhttp_, piece.data(), piece.size());
    if (error == HPE_OK) {
        line_ += piece.size();
        return line_ < limits_.chunk_line ? Step{Event::kMore, piece.size(), {}} : fail(Refusal::kBadFraming);
    }
    if (error != HPE_PAUSED) {
        return fail(refusal_of(error));
    }
    left_ = llhttp_.content_length;
    if (left_ > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return fail(Refusal::kBadFraming);
    }
    line_ = 0;
    lines_.begin(Lines::First::kField);
    state_ = left_ == 0 ? State::kTrailers : State::kChunkData;
    return {Event::kMore, static_cast<std::size_t>(llhttp_get_error_pos(&llhttp_) - piece.data()), {}};
}

Step Parser::chunk_data(std::string_view octets) {
    const Step step = body(octets, left_);
    llhttp_resume(&llhttp_);
    const llhttp_errno_t error = llhttp_execute(&llhttp_, step.body.data(), step.body.size());
    if (error != HPE_OK) {
        return fail(refusal_of(error));
    }
    left_ -= step.used;
    state_ = left_ == 0 ? State::kChunkLine : state_;
    return step;
}

Step Parser::trailers(Head& head, std::string_view octets) {
    std::size_t used = 0;
    head.trailer_text_.reserve(kTrailerReserve);
    if (!lines_.take(head.trailer_text_, octets, used)) {
        return lines_.refusal() == Refusal::kNone ? Step{Event::kMore, used, {}} : fail(lines_.refusal());
    }
    fields_ = &head.trailers;
    llhttp_resume(&llhttp_);
    const llhttp_errno_t error = llhttp_execute(&llhttp_, head.trailer_text_.data(), head.trailer_text_.size());
    if (error != HPE_PAUSED) {
        return fail(refusal_of(error));
    }
    const Refusal refusal = settle_trailers(head);
    if (refusal != Refusal::kNone) {
        return fail(refusal);
    }
    state_ = State::kIdle;
    return {Event::kEnd, used, {}};
}

Refusal Parser::read_head(Head& head, Coding& coding) {
    fields_ = &head.fields;
    llhttp_init(&llhttp_, request_ ? HTTP_REQUEST : HTTP_RESPONSE, settings());
    llhttp_.data = this;
    const std::string_view text = head.text_;
    const llhttp_errno_t error = llhttp_execute(&llhttp_, text.data(), text.size());
    if (error != HPE_PAUSED) {
        return refusal_of(error);
    }
    const FirstLine& parts = lines_.first();
    head.minor = parts.minor;
    head.octets = text.size();
    Refusal refusal = Refusal::kNone;
    if (request_) {
        auto& request = static_cast<RequestHead&>(head);
        request.method = text.substr(0, parts.first_end);
        request.target = text.substr(parts.first_end + 1, parts.second_end - parts.first_end - 1);
        refusal = settle(request, coding);
    } else {
        auto& response = static_cast<ResponseHead&>(head);
        response.status = parts.status;
        response.reason = text.substr(parts.third_begin, parts.third_end - parts.third_begin);
        refusal = settle(response, head_request_, connect_request_, coding);
    }
    // Two readings of the same fields, which must be one.
    const bool same = coding.chunked == ((llhttp_.flags & F_CHUNKED) != 0) &&
                      coding.length.value_or(0) == llhttp_.content_length &&
                      coding.length.has_value() == ((llhttp_.flags & F_CONTENT_LENGTH) != 0);
    return refusal == Refusal::kNone && !same ? Refusal::kBadFraming : refusal;
}

Step Parser::finish_head(Head& head, std::size_t used) {
    Coding coding;
    const Refusal refusal = read_head(head, coding);
    if (refusal != Refusal::kNone) {
        return fail(refusal);
    }
    left_ = head.length;
    line_ = 0;
    switch (coding.body ? head.framing : Framing::kNone) {
        case Framing::kNone:
            state_ = State::kDone;
            break;
        case Framing::kLength:
            state_ = left_ == 0 ? State::kDone : State::kLength;
            break;
        case Framing::kChunked:
            state_ = State::kChunkLine;
            break;
        case Framing::kUntilClose:
            state_ = State::kUntilClose;
            break;
    }
    // What was expected is the final answer's, not that of the 1xx before it.
    if (!request_ && (lines_.first().status >= 200 || lines_.first().status == 101)) {
        head_request_ = connect_request_ = false;
    }
    return {Event::kHead, used, {}};
}

struct RequestParser::Impl : Parser {
    explicit Impl(const Limits& limits) : Parser(limits, true) {}
};

RequestParser::RequestParser(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;
Step RequestParser::next(RequestHead& head, std::string_view octets) {
    return impl_->next(head, octets);
}
Refusal RequestParser::refusal() const {
    return impl_->refusal();
}
bool RequestParser::idle() const {
    return impl_->idle();
}

struct ResponseParser::Impl : Parser {
    explicit Impl(const Limits& limits) : Parser(limits, false) {}
};

ResponseParser::ResponseParser(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
ResponseParser::~ResponseParser() = default;
ResponseParser::ResponseParser(ResponseParser&&) noexcept = default;
ResponseParser& ResponseParser::operator=(ResponseParser&&) noexcept = default;
void ResponseParser::expect(bool head_request, bool connect_request) {
    impl_->expect(head_request, connect_request);
}
Step ResponseParser::next(ResponseHead& head, std::string_view octets) {
    return impl_->next(head, octets);
}
Step ResponseParser::end(ResponseHead&) {
    return impl_->end();
}
Refusal ResponseParser::refusal() const {
    return impl_->refusal();
}
bool ResponseParser::idle() const {
    return impl_->idle();
}

}  // namespace sluice::http
