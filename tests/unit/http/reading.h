// What the octets of one direction of a connection say, as text: read by our parsers in pieces, and by llhttp alone.
#pragma once

#include <llhttp/llhttp.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "http/parser.h"
#include "http/writer.h"

namespace sluice::http {

// What llhttp also knows, so that both readings compare.
struct Message {
    std::string method;  // of requests
    std::string target;
    int status = 0;  // of answers
    std::string reason;
    std::vector<std::pair<std::string, std::string>> fields;
    std::vector<std::pair<std::string, std::string>> trailers;  // without those of one connection
    std::string body;
    bool whole = false;
    bool operator==(const Message&) const = default;
};

struct Reading {
    std::vector<Message> messages;
    std::string outcome;    // "ok": ends between messages; "more": within one; else the refusal's name
    std::string decisions;  // what only our parsers tell: framing, parts of targets, persistence, …
    bool operator==(const Reading&) const = default;
};

inline std::string describe(const Reading& reading) {
    std::string text = reading.outcome + "\n";
    for (const Message& message : reading.messages) {
        text +=
            message.method + "|" + message.target + "|" + std::to_string(message.status) + "|" + message.reason + "\n";
        for (const auto& [name, value] : message.fields) {
            text += "  " + name + ": " + value + "|\n";
        }
        text += "  body " + message.body + (message.whole ? "" : " …") + "\n";
        for (const auto& [name, value] : message.trailers) {
            text += "  trailer " + name + ": " + value + "|\n";
        }
    }
    return text + reading.decisions;
}

namespace reading {

inline void add_head(const RequestHead& head, Message& message, std::string& decisions) {
    message.method = head.method;
    message.target = head.target;
    decisions += std::string(head.path) + "|" + std::string(head.query) + "|" + (head.has_query ? "?" : "") + "|" +
                 std::string(head.scheme) + "|" + std::string(head.authority) + (head.expect_continue ? "|expect" : "");
}

inline void add_head(const ResponseHead& head, Message& message, std::string&) {
    message.status = head.status;
    message.reason = head.reason;
}

inline Step at_end(RequestParser& parser, RequestHead&) {
    return {parser.idle() ? Event::kMore : Event::kEnd, 0, {}};
}

inline Step at_end(ResponseParser& parser, ResponseHead& head) {
    return parser.end(head);
}

}  // namespace reading

// Feeds `octets` in pieces whose sizes `piece` gives, each in a buffer of its own that is gone afterwards.
template <typename Parser, typename AnyHead>
Reading read(std::string_view octets, const std::function<std::size_t()>& piece, const Limits& limits = {}) {
    Reading result;
    Parser parser(limits);
    AnyHead head;
    const auto handle = [&](const Step& step) {
        switch (step.event) {
            case Event::kHead:
                result.messages.emplace_back();
                reading::add_head(head, result.messages.back(), result.decisions);
                for (const Field& field : head.fields) {
                    result.messages.back().fields.emplace_back(field.name, field.value);
                }
                result.decisions += "|1." + std::to_string(head.minor) + " framing " +
                                    std::to_string(static_cast<int>(head.framing)) + " length " +
                                    std::to_string(head.length) + (head.keep_alive ? " keep" : " close") +
                                    (head.upgrade ? " upgrade" : "") + " octets " + std::to_string(head.octets) + "\n";
                break;
            case Event::kBody:
                result.messages.back().body += step.body;
                break;
            case Event::kEnd:
                result.messages.back().whole = true;
                for (const Field& field : head.trailers) {
                    result.messages.back().trailers.emplace_back(field.name, field.value);
                }
                break;
            default:
                break;
        }
    };
    for (std::size_t at = 0; at < octets.size();) {
        const std::string buffer(octets.substr(at, piece()));
        at += buffer.size();
        for (std::size_t used = 0;;) {
            const Step step = parser.next(head, std::string_view(buffer).substr(used));
            if (step.event == Event::kError) {
                result.outcome = refusal_name(parser.refusal());
                return result;
            }
            used += step.used;
            handle(step);
            if (step.event == Event::kMore) {
                if (used != buffer.size()) {
                    result.outcome = "octets left over";
                    return result;
                }
                break;
            }
        }
    }
    if (parser.idle()) {
        result.outcome = "ok";
        return result;
    }
    const Step step = reading::at_end(parser, head);
    if constexpr (std::is_same_v<Parser, RequestParser>) {
        result.outcome = "more";
    } else {
        handle(step);
        result.outcome = step.event == Event::kError ? refusal_name(parser.refusal()) : "ok";
    }
    return result;
}

inline Reading read(bool request, std::string_view octets, const std::function<std::size_t()>& piece,
                    const Limits& limits = {}) {
    return request ? read<RequestParser, RequestHead>(octets, piece, limits)
                   : read<ResponseParser, ResponseHead>(octets, piece, limits);
}
inline Reading read(bool request, std::string_view octets, const Limits& limits = {}) {
    return read(
        request, octets, [&] { return octets.size(); }, limits);
}

// llhttp (strict) alone. Each message gets a parser of its own, so that Connection: close ends nothing; the caller of
// llhttp knows that no body follows 304.
class PlainLlhttp {
  public:
    static Reading read(bool request, std::string_view octets) {
        PlainLlhttp plain(request);
        plain.run(octets);
        for (Message& each : plain.result_.messages) {
            std::erase_if(each.trailers, [](const auto& field) { return is_hop_by_hop(field.first); });
        }
        return plain.result_;
    }

  private:
    explicit PlainLlhttp(bool request) : request_(request) {}

    static PlainLlhttp& of(llhttp_t* parser) { return *static_cast<PlainLlhttp*>(parser->data); }
    Message& message() { return result_.messages.back(); }

    void start(const llhttp_settings_t* settings) {
        llhttp_init(&parser_, request_ ? HTTP_REQUEST : HTTP_RESPONSE, settings);
        parser_.data = this;
    }

    static int on_begin(llhttp_t* parser) {
        of(parser).result_.messages.emplace_back();
        return 0;
    }
    static int on_headers(llhttp_t* parser) {
        of(parser).message().status = parser->type == HTTP_RESPONSE ? parser->status_code : 0;
        return parser->status_code == 304 ? 1 : 0;
    }
    static int on_name(llhttp_t* parser, const char* at, std::size_t length) {
        Message& message = of(parser).message();
        auto& list = (parser->flags & F_TRAILING) != 0 ? message.trailers : message.fields;
        list.emplace_back(std::string(at, length), "");
        return 0;
    }
    static int on_value(llhttp_t* parser, const char* at, std::size_t length) {
        Message& message = of(parser).message();
        auto& list = (parser->flags & F_TRAILING) != 0 ? message.trailers : message.fields;
        std::string value(at, length);
        value.erase(value.find_last_not_of(" \t") + 1);
        list.back().second = value;
        return 0;
    }
    static int on_complete(llhttp_t* parser) {
        of(parser).message().whole = true;
        return HPE_PAUSED;
    }
    template <std::string Message::*kMember>
    static int on_text(llhttp_t* parser, const char* at, std::size_t length) {
        (of(parser).message().*kMember).append(at, length);
        return 0;
    }

    void run(std::string_view octets) {
        llhttp_settings_t settings;
        llhttp_settings_init(&settings);
        settings.on_message_begin = on_begin;
        settings.on_method = on_text<&Message::method>;
        settings.on_url = on_text<&Message::target>;
        settings.on_status = on_text<&Message::reason>;
        settings.on_header_field = on_name;
        settings.on_header_value = on_value;
        settings.on_headers_complete = on_headers;
        settings.on_body = on_text<&Message::body>;
        settings.on_message_complete = on_complete;
        while (!octets.empty()) {
            start(&settings);
            const llhttp_errno_t error = llhttp_execute(&parser_, octets.data(), octets.size());
            if (error == HPE_OK) {
                break;
            }
            if (error != HPE_PAUSED) {
                result_.outcome = llhttp_get_error_reason(&parser_);
                return;
            }
            octets.remove_prefix(static_cast<std::size_t>(llhttp_get_error_pos(&parser_) - octets.data()));
        }
        if (!octets.empty() && parser_.finish == HTTP_FINISH_SAFE_WITH_CB) {
            llhttp_finish(&parser_);
        }
        result_.outcome = result_.messages.empty() || result_.messages.back().whole ? "ok" : "more";
    }

    const bool request_;
    llhttp_t parser_{};
    Reading result_;
};

}  // namespace sluice::http
