// Places, byte ranges and digests: what write-back and change detection stand on.
#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

std::string service(const std::string& name, int port = 80) {
    return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name +
           "}\nspec: {ports: [{port: " + std::to_string(port) + "}]}\n";
}

std::string range(const std::string& text, const Object& object) {
    return text.substr(object.begin, object.end - object.begin);
}

// Puts `replacement` where `object` stands.
std::string replaced(std::string text, const Object& object, const std::string& replacement) {
    return text.replace(object.begin, object.end - object.begin, replacement);
}

TEST(Ranges, HoldTheDocumentWithoutSeparatorsAndCommentsAround) {
    const std::string text = "# licence\n\n--- # first\n\n# about a\n" + service("a") + "# behind a\n\n---\n" +
                             service("b") + "...\n---\n" + service("c");
    const Parsed parsed = parse_text(text);
    ASSERT_EQ(parsed.objects.size(), 3u) << parsed.lines();
    EXPECT_EQ(range(text, *parsed.objects[0]), service("a"));
    EXPECT_EQ(range(text, *parsed.objects[1]), service("b"));
    EXPECT_EQ(range(text, *parsed.objects[2]), service("c"));
    EXPECT_EQ(parsed.objects[0]->place.line, 6);
    EXPECT_EQ(parsed.objects[0]->place.column, 1);
    EXPECT_EQ(parsed.objects[1]->place.line, 13);
    EXPECT_EQ(parsed.objects[2]->place.line, 19);
}

TEST(Ranges, ReplacingOneLeavesTheOthers) {
    const std::string text =
        "# top\n" + service("a") + "# end of a\n---\n" + service("b") + "---\n# c\n" + service("c") + "# bottom";
    const Parsed before = parse_text(text);
    ASSERT_EQ(before.objects.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        const std::string changed = replaced(text, *before.objects[i], service("new", 8080));
        const Parsed after = parse_text(changed);
        ASSERT_EQ(after.objects.size(), 3u) << after.lines();
        for (std::size_t j = 0; j < 3; ++j) {
            EXPECT_EQ(after.objects[j]->key.name, i == j ? "new" : before.objects[j]->key.name);
            EXPECT_EQ(after.objects[j]->digest == before.objects[j]->digest, i != j);
        }
        EXPECT_NE(changed.find("# top\n"), std::string::npos);
        EXPECT_NE(changed.find("# bottom"), std::string::npos);
    }
}

TEST(Ranges, KeepTextThatLooksLikeAComment) {
    const std::string text =
        "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 80}]}\nmetadata:\n  name: a\n"
        "  annotations:\n    notes: |+\n      first\n      # not a comment\n\n# a comment\n---\n";
    const Parsed parsed = parse_text(text);
    ASSERT_EQ(parsed.objects.size(), 1u) << parsed.lines();
    EXPECT_TRUE(range(text, *parsed.objects[0]).ends_with("      # not a comment\n"));
}

TEST(Ranges, SeparatorsInsideTextAreNoSeparators) {
    const std::string text =
        "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 80}]}\nmetadata:\n  name: a\n"
        "  annotations:\n    notes: |\n      ---\n      ...\n    more: a---\n---\n" +
        service("b");
    EXPECT_EQ(parse_text(text).output(), "+ Service default/a\n+ Service default/b\n");
}

TEST(Ranges, WithoutALastNewlineAndWithCrLf) {
    std::string text = service("a") + "---\n" + service("b");
    text.pop_back();
    const Parsed plain = parse_text(text);
    ASSERT_EQ(plain.objects.size(), 2u);
    EXPECT_EQ(plain.objects[1]->end, text.size());
    std::string dos;
    for (const char c : text) {
        dos += c == '\n' ? "\r\n" : std::string(1, c);
    }
    const Parsed windows = parse_text(dos);
    ASSERT_EQ(windows.objects.size(), 2u) << windows.lines();
    EXPECT_EQ(windows.objects[1]->place.line, plain.objects[1]->place.line);
    EXPECT_TRUE(range(dos, *windows.objects[0]).ends_with("\r\n"));
}

TEST(Ranges, ItemsOfABlockListCanBeReplacedIndented) {
    const std::string text =
        "apiVersion: v1\nkind: List\nitems:\n# ünï\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n"
        "  spec: {ports: [{port: 80}]}  # a's\n\n# between\n-   apiVersion: v1\n    kind: Service\n"
        "    spec: {ports: [{port: 80}]}\n    metadata: {name: b}\n# end\n";
    const Parsed before = parse_text(text);
    ASSERT_EQ(before.objects.size(), 2u) << before.lines();
    EXPECT_EQ(before.objects[0]->item_column, 2);
    EXPECT_EQ(before.objects[1]->item_column, 4);
    EXPECT_EQ(before.objects[1]->place.line, 11);
    for (std::size_t i = 0; i < 2; ++i) {
        const Object& object = *before.objects[i];
        EXPECT_TRUE(object.list_item);
        EXPECT_FALSE(object.item_flow);
        std::string replacement;
        for (const char c : service("new")) {
            replacement += c;
            if (c == '\n') {
                replacement += std::string(static_cast<std::size_t>(object.item_column), ' ');
            }
        }
        replacement.resize(replacement.size() - static_cast<std::size_t>(object.item_column));
        const Parsed after = parse_text(replaced(text, object, replacement));
        ASSERT_EQ(after.objects.size(), 2u) << after.lines();
        EXPECT_EQ(after.objects[i]->key.name, "new");
        EXPECT_EQ(after.objects[1 - i]->key.name, before.objects[1 - i]->key.name);
        EXPECT_EQ(after.objects[1 - i]->digest, before.objects[1 - i]->digest);
    }
}

TEST(Ranges, ItemsOfAFlowListAreTheirBraces) {
    const std::string item =
        R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"clusterIP":"None"}})";
    const std::string text =
        R"({"note": null, "kind":"List","apiVersion":"v1","items":[ )" + item + " , " + item + "]}";
    const Parsed with_note = parse_text(text);
    EXPECT_TRUE(with_note.diagnostics.has_errors());
    const std::string clean = text.substr(0, 1) + text.substr(15);
    const Parsed parsed = parse_text(clean);
    ASSERT_EQ(parsed.objects.size(), 2u) << parsed.lines();
    EXPECT_EQ(range(clean, *parsed.objects[0]), item);
    EXPECT_EQ(range(clean, *parsed.objects[1]), item);
    EXPECT_TRUE(parsed.objects[0]->item_flow);
}

TEST(Ranges, AByteOrderMarkIsNotPartOfTheDocument) {
    const std::string text = "\xef\xbb\xbf" + service("a");
    const Parsed parsed = parse_text(text);
    ASSERT_EQ(parsed.objects.size(), 1u);
    EXPECT_EQ(parsed.objects[0]->begin, 3u);
    EXPECT_EQ(parsed.objects[0]->place.column, 1);
}

TEST(Digest, IsOfTheDocumentsBytesAlone) {
    const Parsed alone = parse_text(service("a"));
    const Parsed among = parse_text("# x\n---\n# y\n" + service("a") + "# z\n");
    const Parsed other = parse_text(service("a", 81));
    ASSERT_EQ(alone.objects.size() + among.objects.size() + other.objects.size(), 3u);
    EXPECT_EQ(alone.objects[0]->digest, among.objects[0]->digest);
    EXPECT_NE(alone.objects[0]->digest, other.objects[0]->digest);
}

TEST(Places, OfValuesAreKept) {
    const Parsed parsed = parse_text("---\n" + document("VirtualService",
                                                        "spec:\n  hosts:\n  - a\n  - 'b'\n  tcp:\n"
                                                        "  - route:\n    - destination:\n"
                                                        "        host: a\n        subset: v1\n"
                                                        "        port: {number: 80}\n"));
    ASSERT_EQ(parsed.objects.size(), 1u) << parsed.lines();
    const auto& rule = std::get<VirtualService>(parsed.objects[0]->spec);
    EXPECT_EQ(rule.host_places[1].line, 8);
    EXPECT_EQ(rule.host_places[1].column, 5);
    const RouteDestination& destination = rule.tcp[0].destinations[0];
    EXPECT_EQ(destination.host_place.line, 12);
    EXPECT_EQ(destination.host_place.column, 15);
    EXPECT_EQ(destination.subset_place.line, 13);
    EXPECT_EQ(destination.port_place.line, 14);
    EXPECT_EQ(destination.port_place.column, 24);
    EXPECT_EQ(destination.place.line, 11);
}

TEST(Places, ColumnsCountCharacters) {
    const Parsed parsed = parse_text("apiVersion: v1\nkind: Service\nmetadata: {annotations: {a: äöü}, nome: x}\n");
    EXPECT_NE(parsed.lines().find("t.yaml:3:35: metadata.nome: unknown field"), std::string::npos) << parsed.lines();
}

}  // namespace
}  // namespace sluice::config::test
