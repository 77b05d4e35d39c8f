// Random VirtualServices in random styles: each edit changes what it says for the parser, and no other byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "config/parse.h"
#include "source/rule_edit.h"

namespace sluice::source {
namespace {

// Writes a document as somebody may have: block, flow or JSON; comments, blank lines, any indentation.
class Writer {
  public:
    explicit Writer(std::uint32_t seed) : random_(seed), json_(chance(4)), eol_(chance(4) ? "\r\n" : "\n") {}

    std::string document() {
        if (json_) {
            text_ = R"({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "r"},)";
            text_ += eol_ + R"("spec": {"hosts": ["r"], )" + (tcp() ? R"("tcp": )" : R"("http": )");
            flow_list(1 + pick(4), [&] { flow_rule(); });
            text_ += "}}" + eol_;
            return text_;
        }
        if (chance(5)) {
            text_ = "# größer" + eol_;
        }
        text_ +=
            "apiVersion: networking.istio.io/v1" + eol_ + "kind: VirtualService" + eol_ + "metadata: {name: r}" + eol_;
        text_ += "spec:" + eol_ + "  hosts: [r]" + eol_ + (tcp() ? "  tcp:" : "  http:");
        if (chance(5)) {
            text_ += " ";
            flow_list(1 + pick(4), [&] { flow_rule(); });
            text_ += eol_;
        } else {
            block_list(2, 1 + pick(4), [&](int column) { chance(4) ? flow_rule() : block_rule(column); });
        }
        if (chance(4)) {
            text_ += "  exportTo: ['*']" + eol_;
        } else if (chance(4)) {
            while (text_.ends_with('\n') || text_.ends_with('\r')) {
                text_.pop_back();
            }
        }
        return text_;
    }

  private:
    bool chance(unsigned in) { return random_() % in == 0; }
    int pick(unsigned below) { return static_cast<int>(random_() % below); }
    bool tcp() {
        tcp_ = chance(6);
        return tcp_;
    }
    std::string key(const std::string& name) { return (json_ ? '"' + name + '"' : name) + ": "; }
    std::string text(const std::string& value) {
        return json_ || chance(4) ? '"' + value + '"' : chance(4) ? "'" + value + "'" : value;
    }
    void end_line() {
        text_ += chance(6) ? "  # a comment: [x" : chance(10) ? "   " : "";
        text_ += eol_;
        for (; chance(8);) {
            text_ += std::string(pick(8), ' ') + (chance(2) ? "# between" : "") + eol_;
        }
    }

    template <typename Each>
    void flow_list(int count, Each each) {
        const bool lines = chance(3);
        const std::string indent = lines ? eol_ + std::string(3 + pick(9), ' ') : "";
        text_ += "[";
        for (int i = 0; i < count; ++i) {
            text_ += (i == 0 ? "" : lines ? "," : chance(3) ? " , " : ", ") + indent;
            each();
        }
        text_ += chance(6) && !json_ ? ",]" : chance(4) ? " ]" : "]";
    }
    template <typename Each>
    void block_list(int parent, int count, Each each) {
        end_line();
        const int column = parent + 2 * pick(3);
        for (int i = 0; i < count; ++i) {
            const int blanks = 1 + pick(3);
            text_ += std::string(column, ' ') + "-" + std::string(blanks, ' ');
            const std::size_t lines = std::ranges::count(text_, '\n');
            each(column + 1 + blanks);
            if (static_cast<std::size_t>(std::ranges::count(text_, '\n')) == lines || !text_.ends_with('\n')) {
                end_line();
            }
        }
    }
    void destination(bool first) {
        text_ += "{" + key("host") + text("r");
        text_ += chance(4) ? "" : ", " + key("subset") + text("v" + std::to_string(first ? 1 : pick(1000)));
        text_ += chance(3) ? ", " + key("port") + "{" + key("number") + "80}}" : "}";
    }
    void flow_rule() {
        text_ += "{";
        text_ += tcp_ || chance(2) ? "" : key("name") + text("n" + std::to_string(pick(99))) + ", ";
        text_ += key("route");
        const int count = 1 + pick(4);
        int at = 0;
        flow_list(count, [&] { flow_destination(at++ == 0 && count > 1); });
        text_ += "}";
    }
    // `heavy`: with a weight above 0, which one of several needs.
    void flow_destination(bool heavy) {
        const int weight = heavy ? 0 : pick(3);
        text_ += "{" + (weight == 0 ? key("weight") + std::to_string(1 + pick(100)) + ", " : "") + key("destination");
        destination(false);
        text_ += weight == 1 ? ", " + key("weight") + (chance(5) ? "null" : std::to_string(1 + pick(100))) : "";
        text_ += chance(5) ? " }" : "}";
    }
    void block_rule(int column) {
        const std::string indent(column, ' ');
        if (!tcp_ && chance(2)) {
            text_ += "name: " + text("n" + std::to_string(pick(99)));
            end_line();
            text_ += indent;
        }
        text_ += "route:";
        const int count = 1 + pick(4);
        int at = 0;
        block_list(column, count, [&](int inner) {
            const bool heavy = at++ == 0 && count > 1;
            chance(3) ? flow_destination(heavy) : block_destination(inner, heavy);
        });
        if (!tcp_ && chance(2)) {
            text_ += indent + "timeout: 1s";
            end_line();
        }
    }
    void block_destination(int column, bool heavy) {
        const int weight = heavy ? 1 : pick(4);
        const std::string indent(column, ' '), number = "weight: " + std::to_string(1 + pick(100));
        if (weight == 0) {
            text_ += chance(6) ? "weight:" : number;
            end_line();
            text_ += indent;
        }
        text_ += "destination:";
        if (chance(3)) {
            text_ += " ";
            destination(false);
            end_line();
        } else {
            end_line();
            text_ += indent + "  host: r";
            end_line();
            text_ += chance(3) ? "" : indent + "  subset: " + text("v" + std::to_string(pick(1000))) + eol_;
        }
        if (weight == 1) {
            text_ += indent + number;
            end_line();
        }
    }

    std::mt19937 random_;
    bool json_, tcp_ = false;
    std::string eol_, text_;
};

std::vector<config::WeightedRule> rules_of(const std::string& text) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(text, "", {}, objects, diagnostics);
    for (const Diagnostic& one : diagnostics.items) {
        if (one.severity == Severity::kError) {
            ADD_FAILURE() << one.text() << "\n" << text;
        }
    }
    if (objects.size() != 1) {
        ADD_FAILURE() << text;
        std::vector<config::WeightedRule> none(1);
        none[0].destinations.resize(1);
        return none;
    }
    const auto& spec = std::get<config::VirtualService>(objects[0]->spec);
    return spec.http.empty() ? spec.tcp : spec.http;
}

using Seen = std::vector<std::vector<std::string>>;
Seen seen(const std::vector<config::WeightedRule>& rules) {
    Seen out;
    for (const auto& rule : rules) {
        auto& lines = out.emplace_back(std::vector<std::string>{rule.name + (rule.http ? " http" : "")});
        for (const auto& d : rule.destinations) {
            lines.push_back(d.host + "|" + d.subset + "|" + std::to_string(d.port) + "|" +
                            (d.weight ? std::to_string(*d.weight) : "-"));
        }
    }
    return out;
}

// What came in place of what, when everything before and behind is the same.
std::pair<std::string, std::string> middle(const std::string& before, const std::string& after) {
    const auto first = std::ranges::mismatch(before, after);
    std::string gone(first.in1, before.end()), come(first.in2, after.end());
    while (!gone.empty() && !come.empty() && gone.back() == come.back()) {
        gone.pop_back();
        come.pop_back();
    }
    return {gone, come};
}

constexpr std::uint32_t kDocuments = 500;

TEST(RuleEditProperty, AWeightIsAllThatChanges) {
    for (std::uint32_t seed = 0; seed < kDocuments && !testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const std::string before = Writer(seed).document();
        const auto rules = rules_of(before);
        std::mt19937 random(seed);
        const std::size_t rule = random() % rules.size(), at = random() % rules[rule].destinations.size();
        const std::uint32_t weight = 1 + random() % 1000;
        const auto after = set_weights(before, rule, {{at, weight}});
        ASSERT_TRUE(after) << after.error().message << "\n" << before;
        auto wanted = rules;
        wanted[rule].destinations[at].weight = weight;
        EXPECT_EQ(seen(rules_of(*after)), seen(wanted)) << before << "\n-- became --\n" << *after;
        const auto [gone, come] = middle(before, *after);
        EXPECT_TRUE(gone.find_first_not_of("0123456789nul") == std::string::npos && come.size() < 60 &&
                    come.find_first_of("#{}[]") == std::string::npos)
            << "-<" << gone << "> +<" << come << ">\n"
            << before;
    }
}

TEST(RuleEditProperty, AnAddedDestinationOrMirrorIsAllThatChanges) {
    for (std::uint32_t seed = 0; seed < kDocuments && !testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const std::string before = Writer(seed).document();
        const auto rules = rules_of(before);
        std::mt19937 random(seed);
        const std::size_t rule = random() % rules.size(), like = random() % rules[rule].destinations.size();
        const auto after = add_destination(before, rule, like, "new", 7);
        ASSERT_TRUE(after) << after.error().message << "\n" << before;
        auto wanted = rules;
        wanted[rule].destinations.push_back(rules[rule].destinations[like]);
        wanted[rule].destinations.back().subset = "new";
        wanted[rule].destinations.back().weight = 7;
        EXPECT_EQ(seen(rules_of(*after)), seen(wanted)) << before << "\n-- became --\n" << *after;
        EXPECT_EQ(middle(before, *after).first, "") << before;
        const auto mirrored = add_mirror(before, rule, "r", "v9", 0, 10);
        ASSERT_TRUE(mirrored) << mirrored.error().message << "\n" << before;
        EXPECT_EQ(middle(before, *mirrored).first, "") << before;
        const auto back = remove_mirror(*mirrored, rule, 0);
        ASSERT_TRUE(back) << back.error().message << "\n" << *mirrored;
        // A last line that had no end has one now.
        EXPECT_TRUE(*back == before || (back->starts_with(before) && back->size() <= before.size() + 2)) << before;
    }
}

TEST(RuleEditProperty, AnInsertedRuleGoesAsItCame) {
    for (std::uint32_t seed = 0; seed < kDocuments && !testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        const std::string before = Writer(seed).document();
        const auto rules = rules_of(before);
        const std::size_t rule = seed % rules.size();
        const auto with = insert_rule(before, rule, R"({"route": [{"destination": {"host": "r", "subset": "in"}}]})");
        ASSERT_TRUE(with) << with.error().message << "\n" << before;
        auto wanted = seen(rules);
        wanted.insert(wanted.begin() + static_cast<std::ptrdiff_t>(rule), {"", "r|in|0|-"});
        EXPECT_EQ(seen(rules_of(*with)), wanted) << before << "\n-- became --\n" << *with;
        const auto back = remove_rule(*with, rule);
        ASSERT_TRUE(back) << back.error().message << "\n" << *with;
        EXPECT_EQ(*back, before);
    }
}

}  // namespace
}  // namespace sluice::source
