#include "bpf/libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>

namespace sluice::bpf {

namespace {

thread_local std::string* current = nullptr;
constexpr std::size_t kKept = 2000;  // a verifier's log ends with what matters

int collect(libbpf_print_level level, const char* format, va_list arguments) {
    if (current == nullptr || level == LIBBPF_DEBUG) {
        return 0;
    }
    va_list again;
    va_copy(again, arguments);
    const int size = vsnprintf(nullptr, 0, format, again);
    va_end(again);
    if (size > 0) {
        std::string text(static_cast<std::size_t>(size) + 1, '\0');
        vsnprintf(text.data(), text.size(), format, arguments);
        text.pop_back();
        *current += text;
    }
    return 0;
}

}  // namespace

LibbpfLog::LibbpfLog() : before_(current) {
    static const bool installed = [] {
        libbpf_set_print(collect);
        return true;
    }();
    static_cast<void>(installed);
    current = &text_;
}

LibbpfLog::~LibbpfLog() {
    current = before_;
}

std::unexpected<Error> LibbpfLog::fail(int code, const std::string& what) const {
    std::string tail = text_.size() > kKept ? "..." + text_.substr(text_.size() - kKept) : text_;
    while (!tail.empty() && tail.back() == '\n') {
        tail.pop_back();
    }
    return fail_errno(code, tail.empty() ? what : what + " (libbpf: " + tail + ")");
}

}  // namespace sluice::bpf
