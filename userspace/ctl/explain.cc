// `sluice explain`: what a connection to a service port gets, and why.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "admin/views.h"
#include "ctl/agent.h"
#include "ctl/explain_parts.h"
#include "ctl/lists.h"
#include "ctl/offline.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::string service, client;
    RequestAsked request;
    bool codes = false;
};

// HOST, HOST:PORT, ADDRESS:PORT or [V6]:PORT; a bare IPv6 address has no port.
Answer<admin::ExplainQuery> parse_service(const std::string& text, const std::string& client) {
    admin::ExplainQuery query{.host = text, .port = 0, .client = client};
    std::string port;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string::npos || (end + 1 < text.size() && text[end + 1] != ':')) {
            return std::unexpected(Failure{kUsage, "'" + text + "': expected [ADDRESS]:PORT"});
        }
        query.host = text.substr(1, end - 1);
        port = end + 1 < text.size() ? text.substr(end + 2) : "";
    } else if (const std::size_t colon = text.find(':'); colon != std::string::npos && text.rfind(':') == colon) {
        query.host = text.substr(0, colon);
        port = text.substr(colon + 1);
        if (port.empty()) {
            return std::unexpected(Failure{kUsage, "'" + text + "': the port is missing behind ':'"});
        }
    }
    if (!port.empty()) {
        const auto parsed = std::from_chars(port.data(), port.data() + port.size(), query.port);
        if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || query.port == 0) {
            return std::unexpected(Failure{kUsage, "'" + text + "': expected a port 1..65535, found '" + port + "'"});
        }
    }
    return query;
}

// The rows of exactly the explained service port, without the columns that say which that is.
Json rows_of(const Json& rows, const Json& explained) {
    Json out = Json::array();
    for (Json row : rows) {
        if (row.value("host", "") == explained.value("host", "") &&
            row.value("port", 0) == explained.value("port", 0) &&
            row.value("scope", "") == explained.value("scope", "")) {
            for (const char* name : {"host", "port", "scope"}) {
                row.erase(name);
            }
            out.push_back(std::move(row));
        }
    }
    return out;
}

Answer<Json> explain_online(Session& session, const admin::ExplainQuery& query) {
    auto found = ask(session, target("/v1/explain", {{"host", query.host},
                                                     {"port", query.port == 0 ? "" : std::to_string(query.port)},
                                                     {"client", query.client}}));
    if (!found) {
        return found;
    }
    for (const char* what : {"subsets", "endpoints"}) {
        auto rows = list_rows(session, what, found->value("host", ""));
        if (!rows) {
            return rows;
        }
        (*found)[what] = rows_of(*rows, *found);
    }
    return found;
}

Answer<Json> explain_offline(Session& session, const admin::ExplainQuery& query) {
    auto mesh = sound_mesh(session);
    if (!mesh) {
        return std::unexpected(mesh.error());
    }
    auto service = admin::find_service(mesh->services(), query);
    if (!service) {
        return std::unexpected(Failure{kNo, service.error().text() + "; `sluice get services` lists them"});
    }
    Json found = admin::explain(**service, query, {});
    found["subsets"] = rows_of(mesh_rows(*mesh, admin::List::kSubsets, (*service)->host), found);
    found["endpoints"] = rows_of(mesh_rows(*mesh, admin::List::kEndpoints, (*service)->host), found);
    return found;
}

std::string object_text(const Json& place) {
    if (!place.is_object()) {
        return "none";
    }
    return fmt::format("{} ({}:{})", place.value("object", ""), place.value("file", ""), place.value("line", 0));
}

// "  1  canary  (FILE:LINE)", then what it is for, where it sends and what else it does, a line each.
void print_rules(Session& session, const Json& rules) {
    if (!rules.empty()) {
        session.out << "\nrules, the first that matches decides\n";
    }
    std::size_t number = 0;
    for (const Json& rule : rules) {
        const std::string name = rule.value("name", "");
        session.out << printable(fmt::format("  {:<4}{}{}", ++number, name.empty() ? "" : name + "  ",
                                             rule["at"].is_string() ? rule["at"].get<std::string>() : "(no rule)"))
                    << '\n';
        const auto line = [&](const char* what, const std::string& text) {
            session.out << fmt::format("      {:<6}{}\n", what, printable(text));
        };
        if (rule["only_for"].is_string()) {
            line("for", rule["only_for"].get<std::string>());
        }
        const char* what = "when";
        for (const Json& when : rule["when"]) {
            line(std::exchange(what, "or"), when.get<std::string>());
        }
        for (const Json& to : rule["destinations"]) {
            line("to", fmt::format(
                           "{}  {}{}", to.value("destination", ""),
                           to["share"].is_number() ? fmt::format("{:.2f}%", 100 * to["share"].get<double>()) : "0.00%",
                           to.contains("refused_as") ? "  refused: " + to.value("refused_as", "") : ""));
        }
        if (rule["experiment"].is_object()) {
            line("split", "sticky, by " + object_text(rule["experiment"]));
        }
        if (const auto arms = rule.find("arms"); arms != rule.end() && arms->is_array()) {
            for (const Json& arm : *arms) {
                line("arm", fmt::format("{}  {}  {:.2f}%", arm.value("arm", ""), arm.value("subset", ""),
                                        100 * arm.value("share", 0.0)));
            }
            line("", "(requests with a key; those without one by the shares above)");
        }
        for (const Json& does : rule["does"]) {
            line("", does.get<std::string>());
        }
    }
}

void print_text(Session& session, const Json& found) {
    std::ostream& out = session.out;
    std::string addresses;
    for (const Json& address : found.value("addresses", Json::array())) {
        addresses += (addresses.empty() ? "" : ", ") + address.get<std::string>();
    }
    out << printable(fmt::format("{}:{}  {}{}", found.value("host", ""), found.value("port", 0),
                                 found.value("protocol", ""), addresses.empty() ? "" : "  at " + addresses))
        << '\n';
    const auto line = [&](const char* name, const std::string& text) {
        out << fmt::format("  {:<12}{}\n", name, printable(text));
    };
    line("rule",
         found.contains("rule") && found["rule"].is_object() ? object_text(found["rule"]) : "none: the plain service");
    line("service", object_text(found.value("service", Json())));
    for (const Json& rule : found.value("shaped_by", Json::array())) {
        line("shaped by", object_text(rule));
    }
    line("lane", found.value("lane", ""));
    for (const Json& reason : found.value("reasons", Json::array())) {
        line("", "because " + reason.get<std::string>());
    }
    if (found.contains("without_proxy")) {
        line("no proxy", "a client whose namespace has none " + found.value("without_proxy", ""));
    }
    line("split", found.value("split", "") + ", when a subset is down: " + found.value("on_subset_down", ""));
    line("watched", found.value("watched", ""));
    line("drain", found.value("drain", "none"));
    line("seen by",
         found.value("scope", "*") == "*" ? "every client" : "clients of namespace " + found.value("scope", ""));
    if (found.contains("generation")) {
        line("generation",
             fmt::format("{}; {} open connections follow it, {} an older one", found["generation"].dump(),
                         found.value("open_connections", 0), found.value("older_generation_connections", 0)));
    }
    for (const Json& warning : found.value("warnings", Json::array())) {
        line("warning", warning.get<std::string>());
    }
    print_rules(session, found.value("rules", Json::array()));
    for (const char* name : {"destinations", "subsets", "endpoints"}) {
        if (const auto rows = found.find(name); rows != found.end() && !rows->empty()) {
            out << '\n' << name << '\n';
            render_table(out, *rows, session.colour, "  ");
        }
    }
}

void explain(Session& session, const Asked& asked) {
    if (asked.codes) {
        return list_codes(session);
    }
    if (asked.service.empty()) {
        session.refuse({kUsage, "explain needs a service, a code, or --codes"});
        return;
    }
    if (looks_like_code(asked.service)) {
        return explain_code(session, asked.service);
    }
    auto query = parse_service(asked.service, asked.client);
    if (!query) {
        session.refuse(query.error());
        return;
    }
    if (asked.request.any()) {
        return explain_request(session, *query, asked.request);
    }
    auto found = session.offline() ? explain_offline(session, *query) : explain_online(session, *query);
    if (!found) {
        session.refuse(found.error());
    } else if (session.format == Format::kTable) {
        print_text(session, *found);
    } else {
        session.print(*found);
    }
}

}  // namespace

void add_explain(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand(
        "explain", "What a connection or a request to a service gets, and why; or what advice means");
    auto asked = std::make_shared<Asked>();
    verb->add_option("HOST[:PORT]|CODE", asked->service, "Full or short name, or virtual address; or a code of advice");
    verb->add_option("--client", asked->client, "Namespace of the client that asks");
    verb->add_option("--request", asked->request.request, "What this request gets: 'METHOD PATH'");
    verb->add_option("--header", asked->request.headers, "A header of the request: NAME=VALUE or 'NAME: VALUE'")
        ->allow_extra_args(false);
    verb->add_option("--label", asked->request.labels, "A label of the client: NAME=VALUE")->allow_extra_args(false);
    verb->add_flag("--codes", asked->codes, "List the codes of advice");
    verb->footer(
        "Without --config, requests are answered by the agent's rules in force. Shares are those of the rules: what is "
        "ejected now, they do not know.\n\n"
        "Examples:\n  sluice explain content-ranking\n  sluice --config rules/ explain content-ranking.ml-serving:8080 "
        "--client batch\n  sluice explain content-ranking:8080 --request 'POST /v1/rank' --header x-user-id=42 "
        "--client "
        "web\n  sluice explain SL104");
    verb->callback([&session, asked] { explain(session, *asked); });
}

}  // namespace sluice::ctl
