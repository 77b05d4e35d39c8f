#include "verify/advice.h"

#include <algorithm>

#include "verify/advice_parts.h"

namespace sluice::verify {

void Found::add(std::string_view code, const config::Object& object, config::Place place, std::string field,
                std::string message) {
    if (place.line == 0) {
        place = object.place;
    }
    if (seen_.emplace(code, object.file, place.line, place.column, field).second) {
        message.append(" [").append(code).append("]");
        all_.push_back(
            {code, {Severity::kWarning, object.file, place.line, place.column, std::move(field), std::move(message)}});
    }
}

std::vector<Advice> Found::take() {
    std::ranges::stable_sort(all_, {}, [](const Advice& one) {
        return std::tuple(one.diagnostic.file, one.diagnostic.line, one.diagnostic.column, one.code);
    });
    return std::move(all_);
}

std::vector<Advice> advise(const model::Mesh& mesh, const Knowledge& knowledge) {
    Found found;
    advise_rules(mesh, knowledge, found);
    advise_matches(mesh, found);
    advise_clusters(mesh, found);
    advise_splits(mesh, knowledge, found);
    return found.take();
}

std::string_view code_of(const Diagnostic& warning) {
    static constexpr struct {
        std::string_view words, code;
    } kKnown[] = {
        {"is never reached, nor is what follows", "SL103"},
        {"no weight beside others counts as 0", "SL108"},
        {"weight 0 is ignored: a single destination gets everything", "SL108"},
        {"is split by connection: weights count connections", "SL109"},
        {": its share is refused (UH)", "SL201"},
        {" never ejects: ", "SL202"},
        {"UPGRADE has no effect yet", "SL203"},
        {"is accepted, but HTTP/1.1 is spoken to endpoints", "SL203"},
        {" buckets, so no request with a key", "SL307"},
    };
    for (const auto& known : kKnown) {
        if (warning.severity == Severity::kWarning && warning.message.find(known.words) != std::string::npos) {
            return known.code;
        }
    }
    return {};
}

const Page* find_page(std::string_view code) {
    const auto all = pages();
    const auto it = std::ranges::find(all, code, &Page::code);
    return it == all.end() ? nullptr : &*it;
}

}  // namespace sluice::verify
