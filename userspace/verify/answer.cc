#include "verify/answer.h"

#include <algorithm>
#include <utility>

#include "http/writer.h"
#include "proxy/experiment.h"
#include "proxy/replies.h"
#include "proxy/routing.h"
#include "proxy/table.h"
#include "verify/dialled.h"
#include "verify/written.h"

namespace sluice::verify {

namespace {

using model::ServicePort;
using model::ServicePortPtr;
using Services = std::map<model::ServicePortKey, ServicePortPtr>;

// Lines of a head behind its first.
Fields fields_of(std::string_view head) {
    Fields fields;
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos;) {
        const std::size_t begin = at + 2;
        at = head.find("\r\n", begin);
        const std::string_view line = head.substr(begin, at == std::string_view::npos ? at : at - begin);
        const std::size_t colon = line.find(": ");
        if (colon == std::string_view::npos) {
            break;
        }
        fields.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    return fields;
}

std::string target_of(std::string_view head) {
    const std::size_t begin = head.find(' ') + 1;
    return std::string(head.substr(begin, head.find(' ', begin) - begin));
}

const std::string* find_field(const Fields& fields, std::string_view name) {
    const auto it = std::ranges::find_if(fields, [&](const auto& field) { return http::same_name(field.first, name); });
    return it == fields.end() ? nullptr : &it->second;
}

// Short names of destinations: their subsets, unless two hosts have one of the same name.
class Names {
  public:
    explicit Names(const std::vector<model::Destination>& destinations) {
        for (const model::Destination& one : destinations) {
            mixed_ = mixed_ || (one.cluster != nullptr && !host_.empty() && one.cluster->host != host_);
            host_ = one.cluster != nullptr ? one.cluster->host : host_;
        }
    }
    std::string of(const model::Destination& destination) const {
        if (destination.cluster == nullptr || (mixed_ && !destination.cluster->subset.empty())) {
            const std::size_t slash = destination.text.find('/');
            return mixed_ || slash == std::string::npos ? destination.text : destination.text.substr(slash + 1);
        }
        return destination.cluster->subset.empty() ? destination.cluster->host : destination.cluster->subset;
    }

  private:
    std::string host_;
    bool mixed_ = false;
};

// Which rule of the model a compiled one is: there is one for each element of `match`.
void find_rule(const proxy::VirtualHost& host, const proxy::Rule& rule, Answer& out) {
    auto index = static_cast<std::size_t>(&rule - host.rules.data());
    for (const model::HttpRoute& each : host.port->route->http) {
        const std::size_t count = std::max<std::size_t>(each.matches.size(), 1);
        if (index < count) {
            out.rule = &each;
            out.element = each.matches.empty() ? std::nullopt : std::optional(each.matches[index]);
            return;
        }
        index -= count;
    }
}

void add_share(Answer& out, const std::string& name, double share) {
    const auto it = std::ranges::find(out.subsets, name, &std::pair<std::string, double>::first);
    if (it == out.subsets.end()) {
        out.subsets.emplace_back(name, share);
    } else {
        it->second += share;
    }
}

// Shares by weight, or the one destination that is `chosen`.
void take_shares(const std::vector<model::Destination>& destinations, std::optional<std::size_t> chosen, Answer& out) {
    const Names names(destinations);
    double sum = 0;
    for (const model::Destination& one : destinations) {
        sum += one.weight;
    }
    for (std::size_t i = 0; i < destinations.size(); ++i) {
        const double share = chosen     ? (*chosen == i ? 1 : 0)
                             : sum == 0 ? 0
                                        : static_cast<double>(destinations[i].weight) / sum;
        if (share > 0) {
            add_share(out, names.of(destinations[i]), share);
        }
        out.upstreams.push_back({names.of(destinations[i]), share, destinations[i].cluster != nullptr, "", {}, {}});
    }
}

// A keyed experiment: where the request's key falls. The destination.
std::optional<std::size_t> take_experiment(const proxy::Rule& rule, const proxy::Asked& asked, Answer& out) {
    std::optional<proxy::Assigned> assigned;
    const std::optional<std::size_t> chosen = proxy::choose(rule, asked, 0, &assigned);
    if (rule.split == nullptr || !assigned) {
        return std::nullopt;
    }
    out.experiment = rule.split->experiment;
    out.bucket = assigned->bucket;
    out.arm = rule.split->arms[assigned->arm].name;
    return chosen;
}

void take_policy(const proxy::Rule& rule, Answer& out) {
    out.timeout = std::chrono::nanoseconds(rule.timeout_ns);
    out.retries = rule.retry.attempts;
    out.per_try_timeout = std::chrono::nanoseconds(rule.retry.per_try_ns);
    out.retry_on = rule.retry.on;
    const Names names(out.rule->mirrors);
    for (std::size_t i = 0; i < rule.mirrors.size() && i < out.rule->mirrors.size(); ++i) {
        out.mirrors.push_back({names.of(out.rule->mirrors[i]),
                               static_cast<double>(rule.mirrors[i].second) / static_cast<double>(config::kAlways)});
    }
}

// A redirect or direct answer of the rule, or an abort of all its requests. False: the request goes on.
bool take_local_answer(const proxy::Context& context, Answer& out) {
    const config::HttpRule* rule = context.rule->config;
    if (rule != nullptr && rule->fault && rule->fault->abort && rule->fault->abort->share == config::kAlways) {
        const config::Fault::Abort& abort = *rule->fault->abort;
        const std::string_view* type = context.asked->head->find("content-type");
        const bool grpc = type != nullptr && type->starts_with("application/grpc");
        out.status = !abort.grpc_status ? abort.status : grpc ? proxy::http_status_of_grpc(*abort.grpc_status) : 200;
        return true;
    }
    std::string text;
    if (!proxy::write_local_action(context, false, text, out.status)) {
        return false;
    }
    if (const Fields fields = fields_of(text); const std::string* location = find_field(fields, "location")) {
        out.location = *location;
    }
    return true;
}

// What each destination with a share would get.
void write_upstreams(proxy::Context context, const Written& request, Answer& out) {
    http::ResponseHead plain;
    plain.status = 200;
    std::string text;
    for (std::size_t i = 0; i < out.upstreams.size(); ++i) {
        Upstream& upstream = out.upstreams[i];
        if (upstream.share <= 0) {
            continue;
        }
        context.destination = i;
        text.clear();
        proxy::write_request(context, request.head, request.head.framing, request.head.length, text);
        upstream.target = target_of(text);
        upstream.headers = fields_of(text);
        text.clear();
        context.service_time_ms = UINT64_MAX;
        proxy::write_response(context, plain, http::Framing::kNone, 0, {}, false, text);
        upstream.response_headers = fields_of(text);
    }
}

// On the direct lane octets go on as they are.
void pass_unchanged(const Written& request, Answer& out) {
    for (Upstream& upstream : out.upstreams) {
        upstream.target = request.head.target;
        for (const http::Field& field : request.head.fields) {
            upstream.headers.emplace_back(field.name, field.value);
        }
    }
}

// What is said of the whole request is that of its most likely destination.
void conclude(Answer& out) {
    std::erase_if(out.upstreams, [](const Upstream& upstream) { return upstream.share <= 0; });
    const auto most = std::ranges::max_element(out.upstreams, {}, &Upstream::share);
    if (most != out.upstreams.end()) {
        out.target = most->target;
        out.headers = most->headers;
    }
}

}  // namespace

struct Oracle::Impl {
    explicit Impl(const Services& services) : dialled(services) {}

    Answer by_connection(ServicePortPtr port, const Written& request) const;
    Answer by_request(ServicePortPtr port, const Written& request) const;

    DialledIndex dialled;
    proxy::TablePtr table;
};

// The one rule that the direct lane can have, or none: Route::destinations are its.
Answer Oracle::Impl::by_connection(ServicePortPtr port, const Written& request) const {
    Answer out;
    const model::Route& route = *port->route;
    for (const model::HttpRoute& rule : route.http) {
        if (rule.catch_all) {
            out.rule = &rule;
            out.route = rule.name;
        }
    }
    take_shares(route.destinations, std::nullopt, out);
    if (config::is_http(port->protocol)) {
        pass_unchanged(request, out);
    }
    out.service = std::move(port);
    return out;
}

Answer Oracle::Impl::by_request(ServicePortPtr port, const Written& request) const {
    Answer out;
    const proxy::VirtualHost* here = table->find(request.client.scope, port->host, port->port);
    const proxy::VirtualHost* host = table->find(request.client, here, port->port, request.asked.authority);
    out.service = host != nullptr ? host->port : std::move(port);
    if (!request.readable || !request.allowed) {
        out.status = request.readable ? proxy::kUpgradeReply.status : proxy::kBadPathReply.status;
        return out;
    }
    const proxy::Rule* rule = host != nullptr ? host->match(request.asked) : nullptr;
    if (rule == nullptr) {
        out.status = proxy::kNoRouteReply.status;
        return out;
    }
    find_rule(*host, *rule, out);
    out.route = rule->name;
    take_policy(*rule, out);
    proxy::Context context;
    context.asked = &request.asked;
    context.host = host;
    context.rule = rule;
    context.upgrade = request.upgrade;
    if (!take_local_answer(context, out)) {
        take_shares(out.rule->destinations, take_experiment(*rule, request.asked, out), out);
        write_upstreams(context, request, out);
    }
    return out;
}

Oracle::Oracle(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Oracle::~Oracle() = default;
Oracle::Oracle(Oracle&&) noexcept = default;
Oracle& Oracle::operator=(Oracle&&) noexcept = default;

Result<Oracle> Oracle::make(const Services& services) {
    auto impl = std::make_unique<Impl>(services);
    // Numbers of records matter only to those who look for endpoints.
    const proxy::Table::Numbers numbers{[](const Identity&) { return 0u; },
                                        [](const model::ServicePortKey&) { return 0u; }};
    Result<proxy::TablePtr> table = proxy::Table::build(nullptr, services, numbers);
    if (!table) {
        return std::unexpected(table.error());
    }
    impl->table = std::move(*table);
    return Oracle(std::move(impl));
}

Result<Answer> Oracle::ask(const Question& question) const {
    Result<ServicePortPtr> port = impl_->dialled.find(question.host, question.port, question.client_namespace);
    if (!port) {
        return std::unexpected(port.error());
    }
    Written request;
    if (Result<> written = write(question, (*port)->port, request); !written) {
        return std::unexpected(written.error());
    }
    const model::RoutePtr route = (*port)->route;
    Answer answer = route->lane == model::Lane::kProxy ? impl_->by_request(std::move(*port), request)
                                                       : impl_->by_connection(std::move(*port), request);
    answer.lane = route->lane;
    answer.lane_reasons = route->lane_reasons;
    conclude(answer);
    return answer;
}

}  // namespace sluice::verify
