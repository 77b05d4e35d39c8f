// `sluice tail`: finished requests as they come, one line each.
#include "ctl/tail_lines.h"

#include <cmath>

#include <fmt/format.h>

#include "ctl/agent.h"
#include "ctl/stopper.h"

namespace sluice::ctl {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPollEvery{200};
constexpr std::chrono::seconds kAnswerWithin{10};

struct Asked {
    std::string host;
    std::uint64_t limit = 0;  // 0: no end
    double duration_s = 0;    // 0: no end
};

// Where the reader is, and what it missed.
struct Reader {
    std::uint64_t next = 0, lost_before = 0, lost = 0, skipped = 0, shown = 0;
};

std::uint64_t number(const Json& answer, const char* name) {
    const auto found = answer.find(name);
    return found != answer.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

void print(Session& session, TailLines& lines, const Json& sample) {
    switch (session.format) {
        case Format::kTable:
            session.out << lines.line(sample);
            break;
        case Format::kJson:
            session.out << sample.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
            break;
        case Format::kYaml:
            render_yaml(session.out, Json::array({sample}));
            break;
    }
}

// Asks once and prints what came. False: enough was shown.
Answer<bool> step(Session& session, const Asked& asked, TailLines& lines, Reader& reader) {
    const auto answer =
        ask(session, target("/v1/tail", {{"after", std::to_string(reader.next)}, {"host", asked.host}}), kAnswerWithin);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    for (const Json& sample : answer->value("samples", Json::array())) {
        print(session, lines, sample);
        if (++reader.shown == asked.limit) {
            break;
        }
    }
    session.out.flush();
    const std::uint64_t lost = number(*answer, "lost");
    reader.lost += lost >= reader.lost_before ? lost - reader.lost_before : lost;
    reader.lost_before = lost;
    reader.skipped += number(*answer, "skipped");
    reader.next = number(*answer, "next");
    return session.out && (asked.limit == 0 || reader.shown < asked.limit);
}

void tail(Session& session, const Asked& asked) {
    if (session.offline()) {
        session.refuse(needs_agent("tail"));
        return;
    }
    const auto stopper = Stopper::make();
    if (!stopper) {
        session.refuse({kNo, stopper.error().text()});
        return;
    }
    const auto first = ask(session, target("/v1/tail", {{"host", asked.host}}), kAnswerWithin);
    if (!first) {
        session.refuse(first.error());
        return;
    }
    Reader reader{.next = number(*first, "next"), .lost_before = number(*first, "lost")};
    TailLines lines(session.colour);
    if (session.format == Format::kTable) {
        session.out << lines.title() << std::flush;
    }
    const auto wanted = std::chrono::milliseconds(std::lround(asked.duration_s * 1000));
    const Clock::time_point end = Clock::now() + wanted;
    for (bool more = true; more;) {
        auto pause = kPollEvery;
        if (asked.duration_s > 0) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
            pause = std::clamp(left, std::chrono::milliseconds(0), pause);
        }
        const bool stopped = stopper->stopped_within(pause);
        const auto done = step(session, asked, lines, reader);
        if (!done) {
            session.refuse(done.error());
            break;
        }
        more = *done && !stopped && (asked.duration_s == 0 || Clock::now() < end);
    }
    session.err << fmt::format("{} requests shown, {} lost\n", reader.shown, reader.lost + reader.skipped);
}

}  // namespace

void add_tail(CLI::App& app, Session& session) {
    CLI::App* verb =
        app.add_subcommand("tail", "Finished requests as they come: a sample, bounded, of what is watched");
    auto asked = std::make_shared<Asked>();
    verb->add_option("HOST", asked->host, "Only to this service: full or short name, or an address");
    verb->add_option("--limit", asked->limit, "End after this many requests")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 62));
    verb->add_option("--duration", asked->duration_s, "End after this many seconds")->check(CLI::Range(0.1, 1e6));
    verb->footer(
        "Programs report finished requests only while somebody asks. What comes faster than it is read is counted as "
        "lost\n(told at the end); metrics count every request. -o json prints one object a line.");
    verb->callback([&session, asked] { tail(session, *asked); });
}

}  // namespace sluice::ctl
