#include "verify/coverage.h"

#include <algorithm>
#include <tuple>

#include "config/http_rule.h"

namespace sluice::verify {

std::string Coverage::Element::field() const {
    const std::string whole = (http ? "spec.http[" : "spec.tcp[") + std::to_string(index) + "]";
    return match ? whole + ".match[" + std::to_string(*match) + "]" : whole;
}

config::Place Coverage::Element::place() const {
    const bool own = match && rule->http->matches[*match].place.line != 0;
    return own ? rule->http->matches[*match].place : rule->place;
}

Coverage::Coverage(const model::Mesh& mesh) {
    for (const auto& [key, object] : mesh.objects()) {
        const auto* service = std::get_if<config::VirtualService>(&object->spec);
        if (service == nullptr) {
            continue;
        }
        for (const bool http : {true, false}) {
            const auto& rules = http ? service->http : service->tcp;
            for (std::size_t i = 0; i < rules.size(); ++i) {
                const config::WeightedRule& rule = rules[i];
                const std::size_t matches = rule.http != nullptr ? rule.http->matches.size() : 0;
                for (std::uint32_t match = 0; match < matches; ++match) {
                    elements_.push_back({object, &rule, http, i, match, 0});
                }
                if (matches == 0) {
                    elements_.push_back({object, &rule, http, i, std::nullopt, 0});
                }
            }
        }
    }
    const auto order = [](const Element& element) {
        return std::tuple(element.object->file, element.place().line, element.place().column);
    };
    std::ranges::stable_sort(elements_, {}, order);
}

void Coverage::hit(const Answer& answer) {
    const config::WeightedRule* rule = answer.rule != nullptr ? answer.rule->rule : nullptr;
    // A port without HTTP has the first of the tcp rules.
    if (answer.rule == nullptr && answer.service->route->source != nullptr &&
        !config::is_http(answer.service->protocol)) {
        const auto& tcp = std::get<config::VirtualService>(answer.service->route->source->spec).tcp;
        rule = tcp.empty() ? nullptr : &tcp.front();
    }
    for (Element& element : elements_) {
        element.hits += rule != nullptr && element.rule == rule && element.match == answer.element ? 1 : 0;
    }
}

std::size_t Coverage::covered() const {
    return static_cast<std::size_t>(std::ranges::count_if(elements_, [](const Element& e) { return e.hits != 0; }));
}

double Coverage::percent() const {
    return elements_.empty() ? 100 : 100.0 * static_cast<double>(covered()) / static_cast<double>(elements_.size());
}

}  // namespace sluice::verify
