#include "http/parser.h"

namespace sluice::http {

const char* refusal_name(Refusal refusal) {
    switch (refusal) {
        case Refusal::kNone:
            return "none";
        case Refusal::kMalformed:
            return "malformed";
        case Refusal::kHeadTooLarge:
            return "head_too_large";
        case Refusal::kTooManyFields:
            return "too_many_fields";
        case Refusal::kLineTooLong:
            return "line_too_long";
        case Refusal::kBadHost:
            return "bad_host";
        case Refusal::kBadFraming:
            return "bad_framing";
        case Refusal::kBadCoding:
            return "bad_coding";
        case Refusal::kBadVersion:
            return "bad_version";
        case Refusal::kBadMethod:
            return "bad_method";
        case Refusal::kTooEarlyEnd:
            return "too_early_end";
    }
    return "";
}

int refusal_status(Refusal refusal) {
    switch (refusal) {
        case Refusal::kHeadTooLarge:
        case Refusal::kTooManyFields:
            return 431;
        case Refusal::kLineTooLong:
            return 414;
        case Refusal::kBadCoding:
        case Refusal::kBadMethod:
            return 501;
        case Refusal::kBadVersion:
            return 505;
        default:
            return 400;
    }
}

}  // namespace sluice::http
