// The parts of advise(). Private to this room.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "verify/advice.h"

namespace sluice::verify {

// Collects; what is said twice of one place is kept once.
class Found {
  public:
    void add(std::string_view code, const config::Object& object, config::Place place, std::string field,
             std::string message);
    std::vector<Advice> take();  // in order of files and lines

  private:
    std::vector<Advice> all_;
    std::set<std::tuple<std::string_view, std::string, int, int, std::string>> seen_;
};

void advise_rules(const model::Mesh& mesh, const Knowledge& knowledge, Found& found);   // VirtualServices
void advise_matches(const model::Mesh& mesh, Found& found);                             // their match
void advise_clusters(const model::Mesh& mesh, Found& found);                            // DestinationRules
void advise_splits(const model::Mesh& mesh, const Knowledge& knowledge, Found& found);  // Experiments and Canaries

// Calls visit(rule, index) for each HTTP rule of each VirtualService.
template <typename Visit>
void for_each_http_rule(const model::Mesh& mesh, const Visit& visit) {
    for (const auto& [key, object] : mesh.objects()) {
        if (const auto* service = std::get_if<config::VirtualService>(&object->spec)) {
            for (std::size_t i = 0; i < service->http.size(); ++i) {
                visit(*object, service->http[i], i);
            }
        }
    }
}

}  // namespace sluice::verify
