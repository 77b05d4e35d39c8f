// config::parse on any bytes: it never crashes, every object lies inside the bytes and is found again, alone, in its
// own range, an error never yields the object that it is about, and what request lanes read keeps its promises.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/http_rule.h"
#include "config/parse.h"

namespace {

using sluice::Diagnostics;
using sluice::config::HeaderOps;
using sluice::config::ObjectPtr;
using sluice::config::ParseLimits;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

bool is_name(const std::string& name) {
    return !name.empty() && std::ranges::none_of(name, [](char c) { return (c >= 'A' && c <= 'Z') || c <= ' '; });
}

// Lower case names, and nothing in a value that could begin another line.
void require_operations(const HeaderOps& ops) {
    for (const auto* list : {&ops.set, &ops.add}) {
        for (const auto& [name, value] : *list) {
            require(is_name(name) && !name.starts_with(':') && name != "content-length" && name != "transfer-encoding");
            require(value.find_first_of(std::string("\r\n\0", 3)) == std::string::npos);
        }
    }
    for (const std::string& name : ops.remove) {
        require(is_name(name) && name != "host");
    }
}

void require_rule(const sluice::config::WeightedRule& rule) {
    require((rule.http == nullptr) == rule.needs_request_lane.empty());
    if (rule.http == nullptr) {
        require(!rule.destinations.empty());
        return;
    }
    const sluice::config::HttpRule& http = *rule.http;
    require(rule.destinations.empty() == (http.redirect || http.direct_response));
    require(!(http.redirect && http.direct_response));
    require(http.destination_headers.size() <= rule.destinations.size());
    for (const auto* headers : {&http.headers.request, &http.headers.response}) {
        require_operations(*headers);
    }
    for (const auto& headers : http.destination_headers) {
        require_operations(headers.request);
        require_operations(headers.response);
    }
    for (const auto& mirror : http.mirrors) {
        require(mirror.share <= sluice::config::kAlways && !mirror.destination.host.empty());
    }
    require(!http.timeout || http.timeout->count() >= 1'000'000);
    if (http.retries && http.retries->on) {
        require(http.retries->attempts > 0 && (http.retries->on->on.any()));
        require(std::ranges::all_of(http.retries->on->codes, [](int code) { return code >= 100 && code <= 599; }));
    }
    for (const auto& match : http.matches) {
        require(std::ranges::all_of(match.headers, [](const auto& named) { return is_name(named.name); }));
        require(!match.gateways_mesh || match.gateways_given);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const ParseLimits limits{.file_bytes = 1 << 16, .documents = 64, .depth = 16, .scalar_bytes = 1 << 12};
    std::vector<ObjectPtr> objects;
    Diagnostics diagnostics;
    sluice::config::parse(bytes, "fuzz.yaml", limits, objects, diagnostics);
    for (const sluice::Diagnostic& diagnostic : diagnostics.items) {
        require(!diagnostic.message.empty() && diagnostic.file == "fuzz.yaml");
        require(diagnostic.text().find('\n') == std::string::npos);
    }
    std::size_t last_end = 0;
    for (const ObjectPtr& object : objects) {
        require(object->begin < object->end && object->end <= size && object->begin >= last_end);
        last_end = object->end;
        require(!object->key.name.empty() && !object->key.ns.empty());
        if (const auto* service = std::get_if<sluice::config::VirtualService>(&object->spec)) {
            std::ranges::for_each(service->http, require_rule);
        } else if (const auto* experiment = std::get_if<sluice::config::Experiment>(&object->spec)) {
            require(experiment->buckets > 0 && !experiment->name.empty() && !experiment->key.name.empty());
        }
        if (object->list_item) {
            continue;
        }
        std::vector<ObjectPtr> again;
        Diagnostics none;
        sluice::config::parse(bytes.substr(object->begin, object->end - object->begin), "again.yaml", limits, again,
                              none);
        require(again.size() == 1 && !none.has_errors());
        require(again[0]->key == object->key && again[0]->digest == object->digest && again[0]->begin == 0);
    }
    return 0;
}
