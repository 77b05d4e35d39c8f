#include "daemon/drain_choice.h"

#include <algorithm>
#include <map>

namespace sluice::daemon {

using config::Drain;

namespace {

// A weight and the sum that it is a part of.
struct Share {
    std::uint64_t weight = 0;
    std::uint64_t sum = 0;
    bool less_than(const Share& other) const { return weight * other.sum < other.weight * sum; }
};

Share share_of(std::span<const WeightedCluster> destinations, std::uint32_t cluster) {
    Share share;
    for (const WeightedCluster& destination : destinations) {
        share.sum += destination.weight;
        share.weight += destination.cluster == cluster ? destination.weight : 0;
    }
    return share;
}

// The share that placed a connection.
Share past_share(const DrainService& service, const sl_connection& connection) {
    auto after = std::ranges::upper_bound(service.weights, connection.generation, {}, &Weights::generation);
    return after == service.weights.begin() ? Share{1, 1}
                                            : share_of(std::prev(after)->destinations, connection.cluster);
}

// Connections of one cluster that the rules leave where they are.
struct Staying {
    std::size_t count = 0;
    std::vector<std::size_t> lowered;  // placed by a larger share, may be asked to end
    std::size_t unwatched = 0;         // the same, but nobody sees when they are idle
};

class Choosing {
  public:
    Choosing(const DrainService& service, std::span<const sl_connection> connections, const DrainView& view)
        : service_(service), now_(service.weights.back().destinations), connections_(connections), view_(view) {}

    DrainChoice run() {
        for (std::size_t i = 0; i < connections_.size(); ++i) {
            place(i);
        }
        if (service_.drain > Drain::kNone && service_.shares) {
            for (auto& [cluster, staying] : staying_) {
                take_excess(cluster, staying);
            }
        }
        return std::move(out_);
    }

  private:
    bool is_destination(std::uint32_t cluster) const {
        return std::ranges::any_of(now_, [&](const WeightedCluster& d) { return d.cluster == cluster; });
    }

    Drain for_ejected(std::uint32_t cluster) const {
        auto found = std::ranges::find(service_.ejections, cluster, &std::pair<std::uint32_t, Drain>::first);
        return found == service_.ejections.end() ? service_.drain : std::max(service_.drain, found->second);
    }

    // Where the route in force has it: its own cluster, or another one with the same endpoint.
    void place(std::size_t index) {
        const sl_connection& connection = connections_[index];
        std::uint32_t cluster = connection.cluster, endpoint = connection.endpoint;
        bool placed = is_destination(cluster);
        if (!placed) {
            if (auto home = view_.home(service_, connection)) {
                std::tie(cluster, endpoint) = *home;
                placed = true;
            }
        }
        Drain drain = Drain::kNone;
        if (!placed || share_of(now_, cluster).weight == 0) {
            drain = service_.drain;
        } else {
            switch (view_.state(endpoint)) {
                case EndpointState::kIn:
                    break;
                case EndpointState::kLeft:
                    drain = service_.drain;
                    break;
                case EndpointState::kEjected:
                    drain = for_ejected(cluster);
                    break;
            }
        }
        if (!end(index, drain)) {
            stay(index, cluster);
        }
    }

    // Whether the connection goes.
    bool end(std::size_t index, Drain drain) {
        const sl_connection& connection = connections_[index];
        if (drain == Drain::kNow) {
            out_.chosen.push_back({index, SL_DRAIN_NOW});
            return true;
        }
        if ((connection.gate & (SL_GATE_WANTED | SL_GATE_CLOSED)) != 0) {
            out_.chosen.push_back({index, SL_DRAIN_IDLE});
            return true;
        }
        if (drain != Drain::kIdle) {
            return false;
        }
        if (connection.watched != SL_REASON_NONE) {
            ++out_.unwatched;
            return false;
        }
        out_.chosen.push_back({index, SL_DRAIN_IDLE});
        return true;
    }

    void stay(std::size_t index, std::uint32_t cluster) {
        const sl_connection& connection = connections_[index];
        Staying& staying = staying_[cluster];
        ++staying.count;
        if (connection.generation >= service_.weights.back().generation ||
            !share_of(now_, cluster).less_than(past_share(service_, connection))) {
            return;
        }
        if (service_.drain == Drain::kIdle && connection.watched != SL_REASON_NONE) {
            ++staying.unwatched;
        } else {
            staying.lowered.push_back(index);
        }
    }

    void take_excess(std::uint32_t cluster, Staying& staying) {
        const Share share = share_of(now_, cluster);
        if (share.weight == 0) {
            return;  // its connections are those that nobody can end
        }
        const std::uint64_t all = std::max(service_.base, connections_.size());
        const std::uint64_t target = (all * share.weight + share.sum - 1) / share.sum;
        if (staying.count <= target) {
            return;
        }
        std::size_t excess = staying.count - target;
        for (std::size_t index : spread(staying.lowered, excess)) {
            out_.chosen.push_back({index, service_.drain == Drain::kNow ? SL_DRAIN_NOW : SL_DRAIN_IDLE});
            ++out_.for_shares;
            --excess;
        }
        out_.unwatched += std::min(excess, staying.unwatched);
    }

    // `most` of these, one client after the other, those with most of them first; of one client the idle ones first.
    std::vector<std::size_t> spread(const std::vector<std::size_t>& from, std::size_t most) const {
        std::map<std::pair<std::uint32_t, std::uint64_t>, std::vector<std::size_t>> by_client;
        for (std::size_t index : from) {
            by_client[{connections_[index].workload, connections_[index].netns_cookie}].push_back(index);
        }
        std::vector<std::vector<std::size_t>> clients;
        for (auto& [client, theirs] : by_client) {
            std::ranges::stable_sort(theirs, {}, [&](std::size_t index) {
                return std::pair((connections_[index].gate & SL_GATE_BUSY) != 0, connections_[index].started_ns);
            });
            clients.push_back(std::move(theirs));
        }
        std::ranges::stable_sort(clients, std::ranges::greater{}, &std::vector<std::size_t>::size);
        std::vector<std::size_t> out;
        for (std::size_t round = 0; out.size() < std::min(most, from.size()); ++round) {
            for (const std::vector<std::size_t>& theirs : clients) {
                if (round < theirs.size() && out.size() < most) {
                    out.push_back(theirs[round]);
                }
            }
        }
        return out;
    }

    const DrainService& service_;
    std::span<const WeightedCluster> now_;
    std::span<const sl_connection> connections_;
    const DrainView& view_;
    std::map<std::uint32_t, Staying> staying_;
    DrainChoice out_;
};

}  // namespace

DrainChoice choose(const DrainService& service, std::span<const sl_connection> connections, const DrainView& view) {
    return Choosing(service, connections, view).run();
}

}  // namespace sluice::daemon
