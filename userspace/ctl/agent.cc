#include "ctl/agent.h"

#include <fmt/format.h>

namespace sluice::ctl {

namespace {

constexpr std::chrono::seconds kApplyWithin{120};

Answer<Applied> request(const Session& session, const std::string& method, const std::string& path,
                        const std::string& body, std::chrono::milliseconds deadline) {
    const std::string socket = session.run + "/sluiced.sock";
    auto reply = http_request(socket, method, path, body, deadline);
    if (!reply) {
        const int code = reply.error().code;
        std::string remedy;
        if (code == ENOENT || code == ECONNREFUSED) {
            remedy = "; is sluiced running? start it, or name its run directory with --run";
        } else if (code == EACCES) {
            remedy = "; run this command as the agent's user or root";
        }
        return std::unexpected(Failure{kUnreachable, "cannot reach the agent at " + reply.error().text() + remedy});
    }
    Json parsed = Json::parse(reply->body, nullptr, false);
    if (parsed.is_discarded()) {
        return std::unexpected(
            Failure{kUnreachable, fmt::format("the agent at {} answered with status {} and no JSON: is it another "
                                              "program?",
                                              socket, reply->status)});
    }
    return Applied{reply->status, std::move(parsed)};
}

}  // namespace

Answer<Json> ask(const Session& session, const std::string& path, std::chrono::milliseconds within) {
    auto reply = request(session, "GET", path, "", within);
    if (!reply) {
        return std::unexpected(reply.error());
    }
    if (reply->status != 200) {
        const bool told = reply->body.is_object() && reply->body.contains("error") && reply->body["error"].is_string();
        return std::unexpected(Failure{kNo, told ? reply->body["error"].get<std::string>()
                                                 : fmt::format("the agent answered {} to {}", reply->status, path)});
    }
    return std::move(reply->body);
}

Answer<Applied> post(const Session& session, const std::string& path, const Query& query,
                     const std::string& documents) {
    return request(session, "POST", target(path, query), documents, kApplyWithin);
}

Answer<Applied> post_apply(const Session& session, const Query& query, const std::string& documents) {
    return post(session, "/v1/apply", query, documents);
}

Failure needs_agent(const std::string& verb) {
    return {kUsage, "'" + verb + "' asks a running agent; leave --config away (and name the agent with --run)"};
}

}  // namespace sluice::ctl
