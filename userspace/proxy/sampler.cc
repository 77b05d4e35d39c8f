#include "proxy/sampler.h"

#include <algorithm>

namespace sluice::proxy {

namespace {

template <std::size_t N>
void put(std::array<char, N>& out, std::string_view text) {
    const std::size_t size = std::min(text.size(), N - 1);
    std::copy_n(text.data(), size, out.data());
    out[size] = 0;
}

// As far as anybody said.
void put_workload(std::array<char, 64>& out, const model::Workload& who) {
    const auto known = [](const std::string& text) { return !text.empty() && text != "unknown"; };
    std::size_t size = 0;
    const auto add = [&](std::string_view text) {
        const std::size_t most = std::min(text.size(), out.size() - 1 - size);
        std::copy_n(text.data(), most, out.data() + size);
        size += most;
    };
    if (known(who.name)) {
        if (known(who.ns)) {
            add(who.ns);
            add("/");
        }
        add(who.name);
    }
    out[size] = 0;
}

}  // namespace

bool Sampler::wanted(std::uint64_t ended_ns) const {
    return sl_load(&tables_.control->sample_until_ns) > ended_ns;
}

Sample* Sampler::place() {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) >= kSamples) {
        lost_.store(lost_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return nullptr;
    }
    return &samples_[head % kSamples];
}

void Sampler::tried(const TryRecord& record) {
    Sample* place = record.mirror && wanted(record.ended_ns) ? this->place() : nullptr;
    if (place == nullptr) {
        return;
    }
    *place = {};
    place->proxied = true;
    place->mirror = true;
    place->seen.time_ns = record.ended_ns;
    place->seen.duration_ns = record.ended_ns - record.started_ns;
    place->seen.first_byte_ns = record.first_byte_ns == 0 ? 0 : record.first_byte_ns - record.started_ns;
    place->seen.cluster = record.cluster == nullptr ? SL_NONE : record.cluster->number();
    place->seen.endpoint = record.endpoint;
    place->seen.status = static_cast<__u16>(record.status);
    place->flags = record.flags;
    head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void Sampler::finished(const Record& record) {
    Sample* place = wanted(record.ended_ns) ? this->place() : nullptr;
    if (place == nullptr) {
        return;
    }
    Sample& out = *place;
    out.proxied = true;
    out.mirror = false;
    out.seen.time_ns = record.ended_ns;
    out.seen.duration_ns = record.ended_ns - record.started_ns;
    out.seen.first_byte_ns = record.first_byte_ns == 0 ? 0 : record.first_byte_ns - record.started_ns;
    out.seen.request_bytes = record.request_bytes;
    out.seen.response_bytes = record.response_bytes;
    out.seen.workload = record.client->number;
    out.seen.cluster = record.cluster == nullptr ? SL_NONE : record.cluster->number();
    out.seen.endpoint = record.endpoint;
    out.seen.destination_workload =
        record.endpoint < tables_.endpoint_count ? tables_.endpoints[record.endpoint].workload : 0;
    out.seen.status = static_cast<__u16>(record.status);
    const model::ServicePort* service = record.host == nullptr ? nullptr : record.host->port.get();
    out.port = service == nullptr ? 0 : service->port;
    put(out.host, service == nullptr ? std::string_view() : std::string_view(service->host));
    out.flags = record.flags;
    out.attempts = record.attempts;
    put_workload(out.client, *record.client->workload);
    put(out.method, record.request->method);
    put(out.route, record.rule == nullptr ? std::string_view() : std::string_view(record.rule->name));
    put(out.details, record.details);
    head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void Sampler::take(const std::function<void(const Sample&)>& call) const {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    for (std::uint64_t tail = tail_.load(std::memory_order_relaxed); tail != head; ++tail) {
        call(samples_[tail % kSamples]);
        tail_.store(tail + 1, std::memory_order_release);
    }
}

}  // namespace sluice::proxy
