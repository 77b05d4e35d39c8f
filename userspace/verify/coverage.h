// Which rules the tests have asked about. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/mesh.h"
#include "verify/answer.h"

namespace sluice::verify {

// Every rule of every VirtualService of a mesh: a rule without match is one element, another one for each of its match.
class Coverage {
  public:
    struct Element {
        config::ObjectPtr object;  // the VirtualService
        const config::WeightedRule* rule = nullptr;
        bool http = true;  // of spec.http, else of spec.tcp
        std::size_t index = 0;
        std::optional<std::uint32_t> match;
        std::size_t hits = 0;

        std::string field() const;  // "spec.http[0].match[1]"
        config::Place place() const;
    };

    explicit Coverage(const model::Mesh& mesh);
    void hit(const Answer& answer);

    const std::vector<Element>& elements() const { return elements_; }
    std::size_t covered() const;
    double percent() const;  // 100 where there are no rules

  private:
    std::vector<Element> elements_;  // ordered by file and line
};

}  // namespace sluice::verify
