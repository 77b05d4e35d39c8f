// `sluice top`: services and versions live on a terminal, or one block an interval for pipes.
#include "ctl/top_view.h"

#include <unistd.h>

#include <cmath>

#include <fmt/format.h>

#include "admin/watching.h"
#include "ctl/agent.h"
#include "ctl/stopper.h"
#include "ctl/top_screen.h"

namespace sluice::ctl {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kAnswerWithin{10};

struct Asked {
    std::string host;
    double interval_s = 2;
    std::uint64_t blocks = 0;  // 0: until the user ends it
    bool once = false;

    std::chrono::milliseconds interval() const { return std::chrono::milliseconds(std::lround(interval_s * 1000)); }
};

Answer<Json> ask_top(const Session& session, const std::string& host) {
    auto answer = ask(session, target("/v1/top", {{"host", host}}), kAnswerWithin);
    if (answer && (!answer->is_object() || !answer->contains("services"))) {
        return std::unexpected(Failure{kUnreachable, "the agent answered /v1/top with something else: is it older?"});
    }
    return answer;
}

std::string now_text() {
    return admin::unix_time_text(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count());
}

Json block_json(const TopHeader& header, const std::vector<ServiceFigures>& services) {
    Json out{{"time", now_text()}, {"generation", header.generation}, {"watching", header.watching}};
    out["ejected"] = header.ejected;
    out["services_total"] = header.services;
    Json& rows = out["services"] = Json::array();
    for (const ServiceFigures& service : services) {
        Json& row = rows.emplace_back(Json{{"host", service.host}, {"port", service.port}, {"scope", service.scope}});
        row.update(figures_json(service.total));
        Json& versions = row["versions"] = Json::array();
        for (const Figures& version : service.versions) {
            versions.push_back(figures_json(version));
        }
    }
    return out;
}

void print_block(Session& session, const Json& now, const Json& before, bool first) {
    const TopHeader header = top_header(now);
    std::vector<ServiceFigures> services = service_figures(now, &before);
    switch (session.format) {
        case Format::kTable:
            session.out << (first ? "" : "\n") << plain_block(header, std::move(services), now_text());
            break;
        case Format::kJson:
            session.out << block_json(header, services).dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
            break;
        case Format::kYaml:
            session.out << "---\n";
            render_yaml(session.out, block_json(header, services));
            break;
    }
    session.out.flush();
}

void plain(Session& session, const Asked& asked, const Stopper& stopper) {
    auto before = ask_top(session, asked.host);
    for (std::uint64_t shown = 0; before && (asked.blocks == 0 || shown < asked.blocks); ++shown) {
        if (stopper.stopped_within(asked.interval()) || !session.out) {
            return;
        }
        auto now = ask_top(session, asked.host);
        if (now) {
            print_block(session, *now, *before, shown == 0);
        }
        before = std::move(now);
    }
    if (!before) {
        session.refuse(before.error());
    }
}

// The live screen: asks, draws, and listens to keys.
class Live {
  public:
    Live(Session& session, const Asked& asked, const Stopper& stopper, TopScreen screen)
        : session_(session),
          asked_(asked),
          stopper_(stopper),
          screen_(std::move(screen)),
          view_(fmt::format("{:g}s", asked.interval_s)) {}

    void run(Json first);

  private:
    void refresh();
    void refresh_endpoints();
    bool keys();  // false: leave
    void draw() { screen_.draw(view_.frame(screen_.width(), screen_.height())); }

    const Session& session_;
    const Asked& asked_;
    const Stopper& stopper_;
    TopScreen screen_;
    TopView view_;
    std::optional<Json> before_, endpoints_before_;
    std::string endpoints_of_;
    Clock::time_point endpoints_at_;
};

void Live::refresh() {
    auto now = ask_top(session_, asked_.host);
    if (!now) {
        view_.complain(now.error().message);
        return;
    }
    view_.complain("");
    view_.show(top_header(*now), service_figures(*now, before_ ? &*before_ : nullptr));
    before_ = std::move(*now);
    refresh_endpoints();
}

void Live::refresh_endpoints() {
    const ServiceFigures* service = view_.service();
    if (!view_.wants_endpoints() || service == nullptr) {
        endpoints_before_.reset();
        return;
    }
    auto now = ask(session_, target("/v1/endpoints", {{"host", service->host}}), kAnswerWithin);
    if (!now) {
        view_.complain(now.error().message);
        return;
    }
    const Clock::time_point at = Clock::now();
    const std::string of = service->total.key + "|" + view_.subset();
    const bool same = endpoints_before_ && of == endpoints_of_;
    const double seconds = std::chrono::duration<double>(at - endpoints_at_).count();
    view_.show_endpoints(
        endpoint_figures(*service, view_.subset(), *now, same ? &*endpoints_before_ : nullptr, seconds));
    endpoints_before_ = std::move(*now);
    endpoints_of_ = of;
    endpoints_at_ = at;
}

bool Live::keys() {
    while (const auto key = screen_.key()) {
        const bool before = view_.wants_endpoints();
        if (!view_.press(*key)) {
            return false;
        }
        if (!before && view_.wants_endpoints()) {
            refresh_endpoints();
        }
    }
    return !screen_.gone();
}

void Live::run(Json first) {
    view_.show(top_header(first), service_figures(first, nullptr));
    before_ = std::move(first);
    Clock::time_point next = Clock::now() + asked_.interval();
    for (;;) {
        draw();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
        switch (stopper_.wait(std::max(left, std::chrono::milliseconds(0)), STDIN_FILENO)) {
            case Stopper::Woken::kStop:
                return;
            case Stopper::Woken::kResized:
                screen_.resize();
                break;
            case Stopper::Woken::kInput:
                if (!keys()) {
                    return;
                }
                break;
            case Stopper::Woken::kTime:
                if (!view_.paused()) {
                    refresh();
                }
                next = Clock::now() + asked_.interval();
                break;
        }
    }
}

void top(Session& session, const Asked& asked) {
    if (session.offline()) {
        session.refuse(needs_agent("top"));
        return;
    }
    auto stopper = Stopper::make();
    if (!stopper) {
        session.refuse({kNo, stopper.error().text()});
        return;
    }
    if (!session.terminal || session.format != Format::kTable || asked.blocks != 0) {
        plain(session, asked, *stopper);
        return;
    }
    auto first = ask_top(session, asked.host);
    if (!first) {
        session.refuse(first.error());
        return;
    }
    auto screen = TopScreen::open(session.colour);
    if (!screen) {
        session.err << "sluice: " << screen.error().text() << "; showing plain blocks\n";
        plain(session, asked, *stopper);
        return;
    }
    Live(session, asked, *stopper, std::move(*screen)).run(std::move(*first));
}

}  // namespace

void add_top(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand("top", "Services and versions live: shares, rates, latencies, ejections");
    auto asked = std::make_shared<Asked>();
    verb->add_option("HOST", asked->host, "Only this service: full or short name, or an address");
    verb->add_option("--interval", asked->interval_s, "Seconds between two looks")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 3600.0));
    auto* blocks = verb->add_option("-n,--count", asked->blocks, "Print this many plain blocks, then end")
                       ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
    verb->add_flag("--once", asked->once, "Print one plain block after one interval: -n 1")->excludes(blocks);
    verb->footer(
        "On a terminal: arrows move, enter opens a service or a version, esc goes back, < and > choose the column to "
        "sort "
        "by,\nr reverses, space pauses, ? explains the columns, q leaves. Piped, or with -o json|yaml: one block an "
        "interval.");
    verb->callback([&session, asked] {
        if (asked->once) {
            asked->blocks = 1;
        }
        top(session, *asked);
    });
}

}  // namespace sluice::ctl
