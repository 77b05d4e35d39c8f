#include "base/version.h"
#include "ctl/session.h"

namespace sluice::ctl {

namespace {

constexpr const char* kExamples = R"(Examples:
  sluice validate rules/                       check a directory; needs no agent
  sluice test tests/                           rules against what they should do; needs no agent
  sluice --config rules/ explain ranking:8080  what a connection to it would get
  sluice status                                what the agent serves now
  sluice apply canary.yaml -m 'canary to 25'   validate, put in force, write into the rules directory
  sluice rollback 17 -m 'v47 is slow'           what was in force then is again
  sluice get endpoints -o json
  sluice top                                   services, versions, rates and latencies, live
  sluice tail ranking --duration 10            finished requests as they come

Exit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 the agent is not reachable.)";

}  // namespace

void Session::refuse(const Failure& failure) {
    err << "sluice: " << failure.message << '\n';
    code = failure.code;
}

void Session::print(const Json& value) {
    render(out, value, format, colour);
}

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err, bool colour, bool terminal) {
    Session session{.out = out, .err = err, .colour = colour, .terminal = terminal};
    CLI::App app(
        "Sluice steers connections by Istio's rules in the kernel; this command shows and changes what is in force.",
        "sluice");
    app.set_version_flag("--version", std::string("sluice ") + kVersion);
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(kExamples);
    app.add_option("--run", session.run, "Run directory of the agent to ask")->capture_default_str();
    app.add_option("--config", session.config, "Answer from this rules directory, without an agent");
    app.add_option("-o,--output", session.format, "table, json or yaml")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, Format>{{"table", Format::kTable}, {"json", Format::kJson}, {"yaml", Format::kYaml}}))
        ->default_str("table");
    std::string references = "error";
    app.add_option("--references", references, "Rules that name an unknown host or subset: error or warn")
        ->check(CLI::IsMember({"error", "warn"}))
        ->capture_default_str();
    app.parse_complete_callback([&] { session.references_warn = references == "warn"; });
    for (const auto add : {add_status, add_get, add_map, add_explain, add_validate, add_test, add_apply, add_weight,
                           add_diff, add_history, add_rollback, add_hosts, add_check, add_tail, add_top, add_canary}) {
        add(app, session);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error, out, err) == 0 ? kDone : kUsage;
    } catch (const Json::exception&) {
        session.refuse({kUnreachable, "the agent's answer was not understood: is it of another version?"});
    }
    return session.code;
}

}  // namespace sluice::ctl
