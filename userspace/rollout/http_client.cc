#include "rollout/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>

namespace sluice::rollout {

namespace {

template <auto kFree>
struct Cleanup {
    template <typename T>
    void operator()(T* what) const {
        kFree(what);
    }
};
using Easy = std::unique_ptr<CURL, Cleanup<curl_easy_cleanup>>;
using Multi = std::unique_ptr<CURLM, Cleanup<curl_multi_cleanup>>;
using List = std::unique_ptr<curl_slist, Cleanup<curl_slist_free_all>>;

constexpr int kPollMs = 1000;  // libcurl's own timers and curl_multi_wakeup() end it earlier

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

// curl_easy_perform(), but for `stop`.
CURLcode perform(CURL* easy, CURLM* multi, const std::stop_token& stop) {
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) {
        return CURLE_FAILED_INIT;
    }
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    {
        const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
        for (int running = 1; running > 0 && !stop.stop_requested();) {
            if (curl_multi_perform(multi, &running) != CURLM_OK ||
                (running > 0 && curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr) != CURLM_OK)) {
                break;
            }
        }
    }
    int left = 0;
    if (const CURLMsg* done = curl_multi_info_read(multi, &left); done != nullptr && done->msg == CURLMSG_DONE) {
        code = done->data.result;
    }
    curl_multi_remove_handle(multi, easy);
    return code;
}

}  // namespace

Result<HttpReply> ask_http(const HttpRequest& request, const std::stop_token& stop) {
    const Multi multi(initialised() ? curl_multi_init() : nullptr);
    const Easy handle(multi ? curl_easy_init() : nullptr);
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
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);    // threads
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);  // a name that is being looked up holds nobody up
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<long long>(ms, 1)));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why.data());
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
    List headers;
    if (!request.type.empty()) {
        headers.reset(curl_slist_append(nullptr, ("Content-Type: " + request.type).c_str()));
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
    }
    const CURLcode code = perform(curl, multi.get(), stop);
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
