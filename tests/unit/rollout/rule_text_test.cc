// The canary's edits of the source text's own rules: what is not the canary's stays byte for byte.
#include "rollout/rule_text.h"

#include "tests/golden/golden.h"
#include "tests/unit/rollout/machine_canary.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;
using testing::Not;
using What = Wanted::What;

std::string source_text() {
    const std::string bytes = file_text(
        (golden::directory() / "../../examples/source-text/canary/content-ranking-virtual-service.yaml").string());
    return bytes.substr(bytes.find("apiVersion"));
}

// `text` with one piece replaced by another.
std::string with(std::string text, const std::string& piece, const std::string& other) {
    const std::size_t at = text.find(piece);
    EXPECT_NE(at, std::string::npos) << piece << " in\n" << text;
    return at == std::string::npos ? text : text.replace(at, piece.size(), other);
}

// What the weights of 95 and 5 look like in it: the comments of both lines stay.
std::string source_text_at(int champion, int challenger) {
    return with(with(source_text(), "weight: 90", "weight: " + std::to_string(champion)), "weight: 10\n",
                "weight: " + std::to_string(challenger) + "\n");
}

class RuleTextTest : public testing::Test {
  protected:
    config::ObjectPtr canary_ = parsed_object(canary_text());

    std::string change(const std::string& former, const Wanted& wanted) {
        return change(former, former, former, wanted).text;
    }
    Edited change(const std::string& former, const std::string& written, const std::string& present,
                  const Wanted& wanted) {
        auto out = edited(*canary_, former, written, present, wanted);
        EXPECT_TRUE(out) << out.error().text();
        return out ? *out : Edited{};
    }
    Part part(const std::string& text) {
        auto out = part_of(*canary_, text);
        EXPECT_TRUE(out) << out.error().text() << "\n" << text;
        return out.value_or(Part{});
    }
};

TEST_F(RuleTextTest, stages_change_two_numbers_and_nothing_else) {
    const std::string former = source_text();
    EXPECT_EQ(part(former), (Part{90, 10, false, false}));
    for (const auto& [percent, champion, challenger] :
         {std::tuple{5u, 95, 5}, {10u, 90, 10}, {25u, 75, 25}, {50u, 50, 50}, {100u, 0, 100}}) {
        const std::string text = change(former, {What::kWeight, percent, false});
        EXPECT_EQ(text, source_text_at(champion, challenger));
        EXPECT_EQ(part(text), (Part{champion, challenger, false, false}));
    }
}

TEST_F(RuleTextTest, an_abort_brings_the_former_document_back) {
    const std::string former = source_text();
    const std::string written = change(former, {What::kWeight, 25, false});
    EXPECT_EQ(change(former, written, written, {}).text, former);
    EXPECT_EQ(change(former, written, written + "\n", {}).text, former) << "a line break that a file added is no edit";
}

TEST_F(RuleTextTest, the_next_stage_is_made_of_the_former_document) {
    const std::string former = source_text();
    const std::string written = change(former, {What::kWeight, 25, false});
    EXPECT_EQ(change(former, written, written, {What::kWeight, 50, false}).text, source_text_at(50, 50));
    EXPECT_EQ(change(former, written, written, {What::kWeight, 50, false}).former, former);
}

TEST_F(RuleTextTest, what_others_wrote_elsewhere_in_the_document_stays) {
    const std::string former = source_text();
    const std::string written = change(former, {What::kWeight, 25, false});
    const std::string present = with(written, "timeout: 200ms", "timeout: 300ms # more");
    EXPECT_EQ(part(present), part(written)) << "that is no edit of the weights";
    const std::string theirs = with(former, "timeout: 200ms", "timeout: 300ms # more");
    const Edited next = change(former, written, present, {What::kWeight, 50, false});
    EXPECT_EQ(next.text, with(source_text_at(50, 50), "timeout: 200ms", "timeout: 300ms # more"));
    EXPECT_EQ(next.former, theirs) << "from now on this is what an abort brings back";
    EXPECT_EQ(change(former, written, present, {}).text, theirs);
    EXPECT_EQ(change(next.former, next.text, next.text, {}).text, theirs);
}

TEST_F(RuleTextTest, internal_users_get_a_rule_in_front_that_goes_away_again) {
    canary_ = parsed_object(canary_text(kInternal));
    const std::string former = source_text();
    const std::string text = change(former, {What::kWeight, 5, true});
    EXPECT_EQ(part(text), (Part{95, 5, false, true}));
    const auto object = parsed_object(text);
    const auto& rules = std::get<config::VirtualService>(object->spec).http;
    ASSERT_EQ(rules.size(), 3u);
    EXPECT_EQ(rules[1].name, "canary-ranking-internal") << "behind the header route, in front of the split";
    ASSERT_EQ(rules[1].destinations.size(), 1u);
    EXPECT_EQ(rules[1].destinations[0].subset, "v47");
    EXPECT_EQ(rules[1].destinations[0].host, "content-ranking-svc");
    const std::string next = change(former, text, text, {What::kWeight, 25, true}).text;
    EXPECT_EQ(next, with(with(text, "weight: 95", "weight: 75"), "weight: 5\n", "weight: 25\n"));
    EXPECT_EQ(change(former, text, text, {What::kWeight, 100, false}).text, source_text_at(0, 100));
    const std::string present = with(text, "timeout: 200ms", "timeout: 1s");
    EXPECT_EQ(change(former, text, present, {}).text, with(former, "timeout: 200ms", "timeout: 1s"));
}

TEST_F(RuleTextTest, copies_are_added_for_the_mirror_stage_and_taken_out) {
    canary_ = parsed_object(canary_text(kMirror));
    const std::string former = source_text();
    const std::string text = change(former, {What::kMirror, 0, false});
    EXPECT_EQ(part(text), (Part{90, 10, true, false})) << "the weights are the former ones";
    EXPECT_EQ(change(former, text, text, {What::kWeight, 5, false}).text, source_text_at(95, 5));
    const std::string present = with(text, "timeout: 200ms", "timeout: 1s");
    EXPECT_EQ(change(former, text, present, {}).text, with(former, "timeout: 200ms", "timeout: 1s"));
}

constexpr const char* kLone = R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: lone, namespace: ml-serving}
spec:
  hosts: [content-ranking-svc]
  http:
    - route:
        - destination: {host: content-ranking-svc, subset: v45} # alone
      timeout: 1s
)";

TEST_F(RuleTextTest, a_challenger_without_destination_gets_one) {
    EXPECT_EQ(part(kLone), (Part{100, std::nullopt, false, false}));
    const std::string text = change(kLone, {What::kWeight, 5, false});
    EXPECT_EQ(part(text), (Part{95, 5, false, false}));
    EXPECT_THAT(text, HasSubstr("# alone"));
    EXPECT_EQ(change(kLone, text, text, {}).text, kLone);
    const std::string present = with(text, "timeout: 1s", "timeout: 2s");
    const std::string back = change(kLone, text, present, {}).text;
    EXPECT_EQ(part(back), (Part{100, std::nullopt, false, false}));
    EXPECT_THAT(back, HasSubstr("timeout: 2s"));
    EXPECT_THAT(back, Not(HasSubstr("v47")));
}

TEST_F(RuleTextTest, other_destinations_keep_their_numbers_and_both_keep_a_share) {
    auto three = [](int v45, int v47, int v43) {
        return "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
               "metadata: {name: three, namespace: ml-serving}\nspec:\n  hosts: [content-ranking-svc]\n  http:\n"
               "    - route:\n" +
               ("        - {destination: {host: content-ranking-svc, subset: v43}, weight: " + std::to_string(v43)) +
               "}\n        - {destination: {host: content-ranking-svc, subset: v45}, weight: " + std::to_string(v45) +
               "}\n        - {destination: {host: content-ranking-svc, subset: v47}, weight: " + std::to_string(v47) +
               "}\n";
    };
    EXPECT_EQ(change(three(80, 10, 10), {What::kWeight, 10, false}), three(81, 9, 10));
    EXPECT_EQ(change(three(80, 10, 10), {What::kWeight, 100, false}), three(0, 90, 10));
    EXPECT_EQ(change(three(3, 1, 96), {What::kWeight, 5, false}), three(3, 1, 96)) << "at least one part";
    EXPECT_EQ(change(three(3, 1, 96), {What::kWeight, 99, false}), three(1, 3, 96)) << "at most all but one";
    EXPECT_THAT(startable(*canary_, three(1, 0, 99)).error().message, HasSubstr("have weight 1 together"));
    EXPECT_THAT(startable(*canary_, three(0, 50, 50)).error().message, HasSubstr("nothing is left to move"));
    EXPECT_TRUE(startable(*canary_, three(80, 10, 10)));
}

TEST_F(RuleTextTest, says_before_the_start_what_cannot_be_done) {
    EXPECT_TRUE(startable(*canary_, source_text()));
    canary_ = parsed_object(canary_text(kMirror));
    const std::string copies = with(source_text(), "      timeout: 200ms",
                                    "      mirror: {host: content-ranking-svc, subset: v43-legacy}\n"
                                    "      timeout: 200ms");
    EXPECT_FALSE(startable(*canary_, copies)) << "Istio allows `mirror` or `mirrors`";
    const std::string already = with(source_text(), "      timeout: 200ms",
                                     "      mirrors: [{destination: {host: content-ranking-svc, subset: v47}}]\n"
                                     "      timeout: 200ms");
    EXPECT_THAT(startable(*canary_, already).error().message, HasSubstr("copies to v47 already"));
    canary_ = parsed_object(canary_text(kInternal));
    EXPECT_THAT(
        startable(*canary_, with(source_text(), "    - match:", "    - name: canary-ranking-internal\n      match:"))
            .error()
            .message,
        HasSubstr("canary-ranking-internal is there already"));
    canary_ = parsed_object(canary_text("  route: no-such\n"));
    EXPECT_THAT(startable(*canary_, source_text()).error().message, HasSubstr("no-such"));
}

TEST_F(RuleTextTest, tells_edits_of_its_part_from_others_and_says_what_they_are) {
    canary_ = parsed_object(canary_text(kMirror + kInternal));
    const auto& spec = std::get<config::Canary>(canary_->spec);
    const std::string written = change(source_text(), {What::kWeight, 5, true});
    const Part was = part(written);
    EXPECT_EQ(part(with(written, "attempts: 2", "attempts: 3")), was);
    EXPECT_EQ(part(with(written, "# Production champion", "# changed")), was);
    const Part moved = part(with(written, "weight: 95", "weight: 60"));
    EXPECT_EQ(difference_text(spec, was, moved), "now v45 60, v47 5, were v45 95, v47 5");
    Part other = was;
    other.internal = false;
    other.mirrored = true;
    EXPECT_EQ(difference_text(spec, was, other),
              "copies to the challenger were added; the rule for internal users was removed");
    EXPECT_EQ(difference_text(spec, was, was), "");
}

TEST_F(RuleTextTest, a_document_without_the_rule_is_an_error_that_says_what_was_looked_for) {
    EXPECT_THAT(part_of(*canary_, with(kLone, "subset: v45", "subset: v99")).error().message, HasSubstr("v45"));
    EXPECT_THAT(part_of(*canary_, canary_text()).error().message, HasSubstr("not a VirtualService"));
    EXPECT_FALSE(part_of(*canary_, "kind: ["));
    EXPECT_FALSE(part_of(*canary_, ""));
}

}  // namespace
}  // namespace sluice::rollout
