// `sluice canary`: starts, steers and follows canaries.
#include <chrono>

#include "ctl/agent.h"
#include "ctl/canary_text.h"
#include "ctl/stopper.h"

namespace sluice::ctl {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPollEvery{300};
constexpr std::chrono::seconds kAnswerWithin{30};
constexpr std::chrono::seconds kAgentAway{20};  // a restart in mid-canary is not the end of watching it

struct Asked {
    std::string name, message;
};

Answer<Json> one(const Session& session, const std::string& name) {
    auto found = ask(session, target("/v1/canaries", {{"name", name}}), kAnswerWithin);
    if (!found) {
        return found;
    }
    if (!found->is_array() || found->size() != 1) {
        return std::unexpected(Failure{kNo, "no canary '" + name + "'"});
    }
    return Json((*found)[0]);
}

bool online(Session& session) {
    if (session.offline()) {
        session.refuse(needs_agent("canary"));
    }
    return !session.offline();
}

void command(Session& session, const char* what, const Asked& asked) {
    if (!online(session)) {
        return;
    }
    const auto done =
        post(session, "/v1/canaries", {{"name", asked.name}, {"command", what}, {"message", asked.message}});
    if (!done) {
        session.refuse(done.error());
        return;
    }
    const Json& body = done->body;
    if (done->status != 200) {
        session.refuse({kNo, body.is_object() ? body.value("error", "the agent refused") : "the agent refused"});
    } else if (session.format != Format::kTable) {
        session.print(body);
    } else {
        session.out << printable(body.value("canary", "") + ": " + canary_place(body) + "; it waits for " +
                                 body.value("waits_for", ""))
                    << '\n';
    }
}

void status(Session& session, const Asked& asked) {
    if (!online(session)) {
        return;
    }
    const auto canary = one(session, asked.name);
    if (!canary) {
        session.refuse(canary.error());
    } else if (session.format == Format::kTable) {
        render_canary(session.out, *canary, session.colour);
    } else {
        session.print(*canary);
    }
}

void list(Session& session) {
    if (!online(session)) {
        return;
    }
    const auto found = ask(session, "/v1/canaries", kAnswerWithin);
    if (!found) {
        session.refuse(found.error());
    } else if (session.format != Format::kTable) {
        session.print(*found);
    } else if (found->empty()) {
        session.err << "no canaries\n";
    } else {
        Json rows = Json::array();
        for (const Json& canary : *found) {
            rows.push_back({{"canary", canary.value("canary", "")},
                            {"namespace", canary.value("namespace", "")},
                            {"service", canary.value("service", "")},
                            {"now", canary_place(canary)},
                            {"waits_for", canary.value("waits_for", "")}});
        }
        session.print(rows);
    }
}

// The exit code that a state ends the watch with; nothing: it goes on.
std::optional<ExitCode> ended(const Json& canary) {
    const std::string state = canary.value("state", "");
    if (state == "promoted") {
        return kDone;
    }
    return state == "mirror" || state == "stage" ? std::nullopt : std::optional(kNo);
}

void print_step(Session& session, const Json& canary, const Json& step) {
    if (session.format == Format::kTable) {
        session.out << CanarySteps::line(canary, step);
    } else if (session.format == Format::kJson) {
        session.out << step.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
        render_yaml(session.out, Json::array({step}));
    }
    session.out.flush();
}

void watch(Session& session, const Asked& asked) {
    if (!online(session)) {
        return;
    }
    const auto stopper = Stopper::make();
    if (!stopper) {
        session.refuse({kNo, stopper.error().text()});
        return;
    }
    std::optional<CanarySteps> steps;
    for (Clock::time_point answered = Clock::now();;) {
        const auto canary = one(session, asked.name);
        const bool away = !canary && canary.error().code == kUnreachable;
        if (!canary && (!away || !steps || Clock::now() > answered + kAgentAway)) {
            session.refuse(canary.error());
            return;
        }
        if (canary) {
            answered = Clock::now();
            if (!steps) {
                steps.emplace(*canary);
            }
            for (const Json& step : steps->since(*canary)) {
                print_step(session, *canary, step);
            }
            if (const auto code = ended(*canary)) {
                session.code = *code;
                if (session.format == Format::kTable) {
                    session.out << printable(asked.name + ": " + canary_place(*canary)) << '\n';
                }
                return;
            }
        }
        if (stopper->stopped_within(kPollEvery) || !session.out) {
            session.code = kNo;
            return;
        }
    }
}

}  // namespace

void add_canary(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand(
        "canary", "Moves a service to a new version in stages, by the gates of a Canary object; or back");
    verb->require_subcommand(1);
    verb->fallthrough();
    auto asked = std::make_shared<Asked>();
    const auto add = [&](const char* name, const char* what) {
        CLI::App* sub = verb->add_subcommand(name, what);
        sub->add_option("NAME", asked->name, "metadata.name of the Canary, or NAMESPACE/NAME")->required();
        return sub;
    };
    const auto add_command = [&](const char* name, const char* what) {
        CLI::App* sub = add(name, what);
        sub->add_option("-m,--message", asked->message, "Why; kept with the step");
        sub->callback([&session, asked, name] { command(session, name, *asked); });
    };
    add_command("start", "Begins, with the mirror stage or the first weight");
    add("status", "Where it is, its gates with their numbers, what it waits for, its last steps")
        ->callback([&session, asked] { status(session, *asked); });
    add_command("pause", "Keeps the weights as they are until resume");
    add_command("resume", "Goes on with the same stage, its hold from the beginning");
    add_command("promote", "Gives the challenger everything now");
    add_command("abort", "Takes back the former rule, in one generation");
    add("watch", "Follows it, one line a step; ends when it does (exit 0: promoted, 1: aborted or paused)")
        ->callback([&session, asked] { watch(session, *asked); });
    verb->add_subcommand("list", "All canaries, and where they are")->callback([&session] { list(session); });
    verb->footer(
        "Example:\n  sluice canary start content-ranking-v47 -m 'weights of week 47'\n  sluice canary watch "
        "content-ranking-v47");
}

}  // namespace sluice::ctl
