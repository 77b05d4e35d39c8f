#include "rollout/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>

namespace sluice::rollout {

namespace {

struct Cleanup {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t take(char* data, std::size_t one, std::size_t count, void* to) {
    auto& body = *static_cast<std::string*>(to);
    const std::size_t size = one * count;
    if (size > kReplyMax - body.size()) {
        return CURL_WRITEFUNC_ERROR;
    }
    body.append(data, size);
    return size;
}

bool initialised() {
    static const bool done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    return done;
}

}  // namespace

Result<HttpReply> ask_http(const HttpRequest& request) {
    const std::unique_ptr<CURL, Cleanup> handle(initialised() ? curl_easy_init() : nullptr);
    if (!handle) {
        return fail("libcurl does not start");
    }
    CURL* curl = handle.get();
    HttpReply reply;
    std::array<char, CURL_ERROR_SIZE> why{};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(request.timeout).count();
    curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // threads
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<long long>(ms, 1)));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why.data());
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
    std::unique_ptr<curl_slist, Cleanup> headers;
    if (!request.type.empty()) {
        headers.reset(curl_slist_append(nullptr, ("Content-Type: " + request.type).c_str()));
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
    }
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_WRITE_ERROR) {
        return fail(request.url + ": the answer is larger than " + std::to_string(kReplyMax) + " octets");
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return fail(request.url + ": no answer within " + std::to_string(ms) + " ms");
    }
    if (code != CURLE_OK) {
        return fail(request.url + ": " + (why[0] != 0 ? why.data() : curl_easy_strerror(code)));
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    return reply;
}

std::string url_encoded(const std::string& text) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto octet = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '.' || c == '_' || c == '~';
        if (plain) {
            out += c;
        } else {
            out += {'%', kDigits[octet >> 4], kDigits[octet & 15]};
        }
    }
    return out;
}

}  // namespace sluice::rollout
