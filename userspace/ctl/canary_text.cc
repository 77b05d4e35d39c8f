#include "ctl/canary_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::ctl {

namespace {

std::string text(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found == object.end() || found->is_null() ? std::string() : cell(*found, "");
}

double number(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::string shown(double value) {
    return fmt::format("{:.4g}", value);
}

// With the unit of the gate's kind.
std::string value_text(const Json& gate, const char* name) {
    const auto found = gate.find(name);
    if (found == gate.end() || !found->is_number()) {
        return "-";
    }
    const double value = found->get<double>();
    const std::string kind = text(gate, "kind");
    if (kind == "errorRate") {
        return shown(value * 100) + "%";
    }
    return kind == "latency" ? shown(value * 1000) + " ms" : shown(value);
}

std::string sample_text(const Json& gate) {
    const auto champion = number(gate, "champion_sample"), challenger = number(gate, "challenger_sample");
    return champion + challenger == 0 ? "-" : fmt::format("{:.0f}/{:.0f}", champion, challenger);
}

Json gate_rows(const Json& gates) {
    Json rows = Json::array();
    for (const Json& gate : gates) {
        rows.push_back(
            {{"gate", text(gate, "gate")},
             {"verdict", text(gate, "verdict")},
             {"champion", value_text(gate, "champion")},
             {"challenger", value_text(gate, "challenger")},
             {"bound", value_text(gate, "bound")},
             {"requests", sample_text(gate)},
             {"p", gate.contains("p") && gate["p"].is_number() ? shown(number(gate, "p")) : "-"},
             {"level", gate.contains("level") && gate["level"].is_number() ? shown(number(gate, "level")) : "-"}});
    }
    return rows;
}

void sentences(std::ostream& out, const Json& results, const char* what) {
    for (const Json& result : results) {
        if (!text(result, what).empty()) {
            out << "  " << printable(text(result, "gate")) << ": " << printable(text(result, what)) << '\n';
        }
    }
}

std::string step_place(const Json& canary, const Json& step) {
    const std::string to = text(step, "to");
    return to == "stage" ? fmt::format("stage {:.0f}/{:.0f}", number(step, "stage"), number(canary, "stages")) : to;
}

Json step_rows(const Json& canary, const Json& steps) {
    Json rows = Json::array();
    for (const Json& step : steps) {
        rows.push_back({{"time", text(step, "time")},
                        {"to", step_place(canary, step)},
                        {"weight", fmt::format("{:.0f}%", number(step, "weight"))},
                        {"who", text(step, "who")},
                        {"reason", text(step, "reason")}});
    }
    return rows;
}

}  // namespace

std::string canary_place(const Json& canary) {
    const std::string state = text(canary, "state");
    const double stage = number(canary, "stage"), stages = number(canary, "stages");
    const std::string at = stage > 0 ? fmt::format("stage {:.0f} of {:.0f}", stage, stages) : std::string();
    const std::string weight = fmt::format("{:.0f}% to {}", number(canary, "weight"), text(canary, "challenger"));
    if (state == "stage") {
        return at + ", " + weight;
    }
    if (state == "mirror") {
        return "mirror stage, copies to " + text(canary, "challenger");
    }
    return state == "paused" ? "paused" + (at.empty() ? "" : " in " + at) + ", " + weight : state;
}

void render_canary(std::ostream& out, const Json& canary, bool colour) {
    out << printable(fmt::format("{}/{}: {} -> {} of {}\n", text(canary, "namespace"), text(canary, "canary"),
                                 text(canary, "champion"), text(canary, "challenger"), text(canary, "service")))
               .append("\n");
    const std::string left = text(canary, "hold_left_s");
    out << "  now        " << printable(canary_place(canary));
    if (!left.empty()) {
        out << fmt::format("; {:.0f} s of {:.0f} s left", number(canary, "hold_left_s"), number(canary, "hold_s"));
    }
    out << '\n';
    const auto say = [&](const char* what, const char* name) {
        if (const std::string said = text(canary, name); !said.empty()) {
            out << fmt::format("  {:<10} {}\n", what, printable(said));
        }
    };
    say("since", "since");
    say("because", "reason");
    say("by", "who");
    say("waits for", "waits_for");
    say("problem", "problem");
    if (!canary.value("in_force", true)) {
        out << "  object     the Canary is not in force any more\n";
    }
    const Json gates = canary.value("gates", Json::array());
    if (!gates.empty()) {
        out << "\ngates at the last look (requests: champion/challenger)\n";
        render_table(out, gate_rows(gates), colour, "  ");
        sentences(out, gates, "text");
    }
    const Json powers = canary.value("powers", Json::array());
    if (!powers.empty()) {
        out << fmt::format("\npower at the minimum of {} requests a stage\n", text(canary, "minimum_requests"));
        sentences(out, powers, "text");
    }
    const Json steps = canary.value("steps", Json::array());
    if (!steps.empty()) {
        out << "\nsteps, newest first\n";
        render_table(out, step_rows(canary, steps), colour, "  ");
    }
}

CanarySteps::CanarySteps(const Json& canary) {
    const Json steps = canary.value("steps", Json::array());
    for (std::size_t i = 1; i < steps.size(); ++i) {
        known_.insert(steps[i].dump());
    }
}

std::vector<Json> CanarySteps::since(const Json& canary) {
    std::vector<Json> out;
    for (const Json& step : canary.value("steps", Json::array())) {
        if (known_.insert(step.dump()).second) {
            out.push_back(step);
        }
    }
    std::ranges::reverse(out);
    return out;
}

std::string CanarySteps::line(const Json& canary, const Json& step) {
    return printable(fmt::format("{}  {:<10}  {:>3.0f}%  {} ({})", text(step, "time"), step_place(canary, step),
                                 number(step, "weight"), text(step, "reason"), text(step, "who"))) +
           "\n";
}

}  // namespace sluice::ctl
