#include "verify/effect_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/experiment_moves.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

// Weights by destination, in the rule's order; destinations of one name are one.
struct Split {
    std::vector<std::pair<std::string, std::uint64_t>> weights;
    std::uint64_t sum = 0;

    std::uint64_t of(const std::string& label) const {
        const auto found = std::ranges::find(weights, label, &std::pair<std::string, std::uint64_t>::first);
        return found == weights.end() ? 0 : found->second;
    }
    double share(const std::string& label) const {
        return sum == 0 ? 0 : static_cast<double>(of(label)) / static_cast<double>(sum);
    }
    std::string text() const {
        std::string out;
        for (const auto& [label, weight] : weights) {
            if (weight > 0) {
                out += fmt::format("{}{} {}", out.empty() ? "" : ", ", label, share_text(share(label)));
            }
        }
        return out;
    }
};

const std::vector<model::Destination>& destinations_of(const Treatment& treatment) {
    return treatment.plain ? treatment.service->route->destinations : treatment.rule->destinations;
}

Split split_of(const Treatment& treatment) {
    Split out;
    for (const model::Destination& destination : destinations_of(treatment)) {
        const std::string label = label_of(destination, *treatment.service);
        out.sum += destination.weight;
        auto found = std::ranges::find(out.weights, label, &std::pair<std::string, std::uint64_t>::first);
        if (found == out.weights.end()) {
            out.weights.emplace_back(label, destination.weight);
        } else {
            found->second += destination.weight;
        }
    }
    return out;
}

// How much of what is drawn moves, in the mean: what the shrinking ones lose.
double moved(const Split& before, const Split& after) {
    double out = 0;
    for (const auto& [label, weight] : before.weights) {
        out += std::max(0.0, before.share(label) - after.share(label));
    }
    return out;
}

std::string weights_text(const Split& before, const Split& after) {
    const bool shared =
        std::ranges::any_of(before.weights, [&](const auto& one) { return one.second > 0 && after.of(one.first) > 0; });
    if (!shared) {
        return before.text() + " -> " + after.text();
    }
    std::string out;
    const auto add = [&](const std::string& label) {
        const std::string then = share_text(before.share(label)), now = share_text(after.share(label));
        if (then != now) {
            out += fmt::format("{}{} {} -> {}", out.empty() ? "" : ", ", label, then, now);
        }
    };
    for (const auto& [label, weight] : before.weights) {
        add(label);
    }
    for (const auto& [label, weight] : after.weights) {
        if (std::ranges::find(before.weights, label, &std::pair<std::string, std::uint64_t>::first) ==
            before.weights.end()) {
            add(label);
        }
    }
    return out;
}

std::string key_text(const proxy::Split& split) {
    const char* kind = split.key.kind == config::HashKey::Kind::kHeader   ? "header"
                       : split.key.kind == config::HashKey::Kind::kCookie ? "cookie"
                                                                          : "query parameter";
    return fmt::format("experiment {} by {} {}", split.experiment, kind, split.key.name);
}

// Of a sticky split: which buckets move.
std::string sticky_text(const Treatment& before, const Treatment& after) {
    const auto then = before.rule == nullptr ? nullptr : proxy::split_of(*before.rule);
    const auto now = after.rule == nullptr ? nullptr : proxy::split_of(*after.rule);
    if (!then && !now) {
        return "";
    }
    if (!then) {
        return "becomes sticky (" + key_text(*now) + "): a user stays with one version; who moves depends on the keys";
    }
    if (!now) {
        return "is no longer sticky (" + key_text(*then) + "): each request is drawn anew";
    }
    const proxy::Moves moves = proxy::compare_splits(*then, *now);
    std::string out = moves.text();
    for (const proxy::ArmChange& arm : moves.arms) {
        if (moves.anew.empty() && arm.unsteady()) {
            out += fmt::format(
                "{}users leave {} though its share does not shrink: let versions that trade shares stand "
                "side by side",
                out.empty() ? "" : "; ", arm.name);
        }
    }
    return out;
}

// Deeds that differ, "no X" where there is none.
void deed_texts(const Treatment& before, const Treatment& after, std::vector<std::string>& out) {
    const auto of = [](const Treatment& t) { return t.rule == nullptr ? std::vector<Deed>() : deeds(*t.rule); };
    const std::vector<Deed> then = of(before), now = of(after);
    const auto text = [](const std::vector<Deed>& list, const std::string& what) {
        std::string found;
        for (const Deed& deed : list) {
            found += deed.what == what ? (found.empty() ? "" : ", ") + deed.text : "";
        }
        return found;
    };
    std::vector<std::string> seen;
    for (const std::vector<Deed>* list : {&then, &now}) {
        for (const Deed& deed : *list) {
            if (std::ranges::find(seen, deed.what) != seen.end()) {
                continue;
            }
            seen.emplace_back(deed.what);
            const std::string a = text(then, deed.what), b = text(now, deed.what);
            if (a != b) {
                const std::string none = std::string("no ") + deed.what;
                out.push_back(fmt::format("{} -> {}", a.empty() ? none : a, b.empty() ? none : b));
            }
        }
    }
}

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) {
        out += (out.empty() ? "" : "; ") + part;
    }
    return out;
}

}  // namespace

std::string label_of(const model::Destination& destination, const model::ServicePort& service) {
    if (!destination.cluster) {
        return destination.text + " (not there: NC)";
    }
    const model::Cluster& cluster = *destination.cluster;
    const std::string port = cluster.port == service.port ? "" : fmt::format(":{}", cluster.port);
    if (cluster.host == service.host && !cluster.subset.empty()) {
        return cluster.subset + port;
    }
    return destination.text + port;
}

std::string treatment_text(const Treatment& treatment) {
    if (!treatment.served()) {
        return "no route (404)";
    }
    std::vector<std::string> parts;
    if (std::string weights = split_of(treatment).text(); !weights.empty()) {
        parts.push_back(std::move(weights));
    }
    for (const Deed& deed : treatment.rule == nullptr ? std::vector<Deed>() : deeds(*treatment.rule)) {
        parts.push_back(deed.text);
    }
    if (const auto split = treatment.rule == nullptr ? nullptr : proxy::split_of(*treatment.rule)) {
        parts.push_back("sticky (" + key_text(*split) + ")");
    }
    return joined(parts);
}

std::string difference_text(const Treatment& before, const Treatment& after, const std::string& of) {
    if (!before.served() || !after.served()) {
        return before.served() == after.served() ? "" : treatment_text(before) + " -> " + treatment_text(after);
    }
    const Split then = split_of(before), now = split_of(after);
    std::vector<std::string> parts;
    if (then.weights.empty() != now.weights.empty()) {  // one of them answers by itself
        return treatment_text(before) + " -> " + treatment_text(after);
    }
    const std::string sticky = sticky_text(before, after);
    if (std::string text = weights_text(then, now); then.text() != now.text() && !text.empty()) {
        const double share = moved(then, now);
        if (sticky.empty() && share > 0 && share < 1) {
            text += fmt::format(" ({} of {} move)", share_text(share), of);
        }
        parts.push_back(std::move(text));
    }
    if (!sticky.empty()) {
        parts.push_back(sticky);
    }
    deed_texts(before, after, parts);
    return joined(parts);
}

}  // namespace sluice::verify
