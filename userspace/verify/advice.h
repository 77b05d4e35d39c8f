// What is allowed but hardly meant: advice on a mesh, each with a code and a page that explains it. Pure.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "model/mesh.h"

namespace sluice::verify {

// A page: what it is about, why it matters, what to write instead, an example. Codes are stable ("SL101").
struct Page {
    std::string_view code, title, text;
};
std::span<const Page> pages();  // by code
const Page* find_page(std::string_view code);

struct Advice {
    std::string_view code;
    Diagnostic diagnostic;  // a warning; its text() ends with " [SL101]"
};

// What is known beyond the rules; each may be empty.
struct Knowledge {
    // The p99 of a service's requests in seconds, measured.
    std::function<std::optional<double>(const model::ServicePort&)> p99{};
    // The chance, 0..1, that a gate finds with so many requests of the challenger what is twice as bad as it allows;
    // nullopt: the gate counts no requests.
    std::function<std::optional<double>(const config::Canary&, const config::Gate&, std::uint64_t requests)> power{};
};

// Ordered by file and line.
std::vector<Advice> advise(const model::Mesh& mesh, const Knowledge& knowledge = {});

// The code of a warning that was found elsewhere, when rules were parsed or put together; empty: it has no page.
std::string_view code_of(const Diagnostic& warning);

}  // namespace sluice::verify
