// Requests about the history.
#include "admin/parameters.h"

namespace sluice::admin {

namespace {

constexpr std::int64_t kIdMax = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kGenerationMax = std::numeric_limits<std::int64_t>::max();

// Documents may hold what not everybody on the machine may read.
std::optional<Answer> guarded(const Request& request) {
    return request.door == Door::kUnix
               ? std::nullopt
               : std::optional(error_answer(403, "documents are shown through the Unix socket alone"));
}

}  // namespace

// ?limit= &before=ID &id= &generation= &object=KIND/NAMESPACE/NAME &since=SECONDS (since 1970) &refused=1 &objects=1
Answer route_history(Backend& backend, const Request& request) {
    HistoryQuery query{.object = parameter(request, "object")};
    auto objects = flag(request, "objects"), refused = flag(request, "refused");
    if (!objects || !refused) {
        return objects ? refused.error() : objects.error();
    }
    if (auto hidden = *objects ? guarded(request) : std::nullopt) {
        return *hidden;
    }
    query.objects = *objects;
    query.refused = *refused;
    const std::size_t most = query.objects ? kHistoryObjectsMax : kHistoryMax;
    auto limit = limited(request, "limit", kHistoryDefault, most);
    auto before = limited(request, "before", std::int64_t{0}, kIdMax);
    auto entry = limited(request, "id", std::int64_t{0}, kIdMax);
    auto generation = limited(request, "generation", std::uint64_t{0}, kGenerationMax);
    // Later seconds would not be a time any more.
    auto since = limited(request, "since", std::int64_t{0}, std::int64_t{9'000'000'000});
    for (const auto* bad :
         {!limit ? &limit.error() : nullptr, !before ? &before.error() : nullptr, !entry ? &entry.error() : nullptr,
          !generation ? &generation.error() : nullptr, !since ? &since.error() : nullptr}) {
        if (bad != nullptr) {
            return *bad;
        }
    }
    query.limit = *limit;
    query.before = *before;
    query.entry = *entry;
    if (!parameter(request, "generation").empty()) {
        query.generation = *generation;
    }
    if (!parameter(request, "since").empty()) {
        query.since = std::chrono::system_clock::time_point(std::chrono::seconds(*since));
    }
    Result<std::string> rows = backend.history(query);
    if (!rows) {
        const Error& error = rows.error();
        return error.code == EINVAL ? error_answer(400, error.message) : error_answer(503, error.text());
    }
    return {200, std::move(*rows)};
}

// ?from=GENERATION &to=GENERATION
Answer route_compare(Backend& backend, const Request& request) {
    if (auto refused = guarded(request)) {
        return *refused;
    }
    auto from = limited(request, "from", std::uint64_t{0}, kGenerationMax);
    auto to = limited(request, "to", std::uint64_t{0}, kGenerationMax);
    if (!from || !to) {
        return from ? to.error() : from.error();
    }
    if (parameter(request, "from").empty()) {
        return error_answer(400, "diff needs from=GENERATION");
    }
    CompareQuery query{.from = *from};
    if (!parameter(request, "to").empty()) {
        query.to = *to;
    }
    return backend.compare(query);
}

// ?generation= or &id=, &message= &dry_run=
Answer route_rollback(Backend& backend, const Request& request) {
    auto generation = limited(request, "generation", std::uint64_t{0}, kGenerationMax);
    auto entry = limited(request, "id", std::int64_t{0}, kIdMax);
    auto dry = flag(request, "dry_run");
    if (!generation || !entry || !dry) {
        return !generation ? generation.error() : !entry ? entry.error() : dry.error();
    }
    if (parameter(request, "generation").empty() && *entry == 0) {
        return error_answer(400, "a rollback needs generation=N, or id=N of an entry of the history");
    }
    return backend.rollback({.generation = *generation,
                             .entry = *entry,
                             .message = parameter(request, "message"),
                             .dry_run = *dry,
                             .peer = request.peer});
}

}  // namespace sluice::admin
