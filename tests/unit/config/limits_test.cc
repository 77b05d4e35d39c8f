// Inputs that are too large, too deep or too many: each is refused by the limit's name, quickly and in little memory.
#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

constexpr const char* kService = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n";

TEST(Limits, AFileOf100MegabytesIsNotRead) {
    const std::string text(100u << 20, 'x');
    EXPECT_EQ(parse_text(text).output(), "t.yaml: found a file of 104857600 bytes; the limit is 67108864\n");
}

TEST(Limits, AFileAtTheLimitIsRead) {
    const std::string text = kService;
    EXPECT_EQ(parse_text(text, "t.yaml", {.file_bytes = text.size()}).objects.size(), 1u);
    EXPECT_EQ(parse_text(text, "t.yaml", {.file_bytes = text.size() - 1}).objects.size(), 0u);
}

TEST(Limits, Documents) {
    std::string text;
    for (int i = 0; i < 5; ++i) {
        text += std::string("---\n") + kService;
    }
    EXPECT_EQ(parse_text(text, "t.yaml", {.documents = 5}).objects.size(), 5u);
    const Parsed parsed = parse_text(text, "t.yaml", {.documents = 3});
    EXPECT_EQ(parsed.objects.size(), 3u);
    EXPECT_EQ(parsed.lines(),
              "t.yaml:17:1: found more than 3 documents, which is the limit of a file; the rest is "
              "not read\n");
}

TEST(Limits, ItemsOfAListCountAsDocuments) {
    std::string text = "apiVersion: v1\nkind: List\nitems:\n";
    for (int i = 0; i < 50; ++i) {
        text += "- {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}\n";
    }
    EXPECT_EQ(parse_text(text, "t.yaml", {.documents = 60}).lines(), "");
    EXPECT_NE(parse_text(text, "t.yaml", {.documents = 20}).lines().find("found more than 20 documents"),
              std::string::npos);
}

TEST(Limits, ManySeparatorsAreNoDocuments) {
    std::string text;
    for (int i = 0; i < 1'000'000; ++i) {
        text += "---\n";
    }
    EXPECT_EQ(parse_text(text, "t.yaml", {.documents = 3}).output(), "");
}

TEST(Limits, Scalars) {
    const auto text = [](std::size_t size) {
        return "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {x: " + std::string(size, 'y') +
               "}}\nspec: {ports: [{port: 80}]}\n";
    };
    EXPECT_EQ(parse_text(text(3u << 19)).output(), "+ Service default/a\n");
    EXPECT_EQ(parse_text(text((3u << 19) + 1)).lines(),
              "t.yaml:3:38: metadata.annotations.x: found a text of 1572865 bytes; the limit is 1572864\n");
}

TEST(Limits, DeepNestingOfEveryStyle) {
    std::string block = "apiVersion: v1\nkind: Service\nspec:\n";
    for (std::size_t i = 1; i < 2000; ++i) {
        block += std::string(i, ' ') + "a:\n";
    }
    const std::string nested[] = {std::string(1'000'000, '['),
                                  std::string(1'000'000, '{'),
                                  "a: " + std::string(1'000'000, '['),
                                  [] {
                                      std::string text;
                                      for (int i = 0; i < 100'000; ++i) {
                                          text += "- ";
                                      }
                                      return text;
                                  }(),
                                  [] {
                                      std::string text;
                                      for (int i = 0; i < 100'000; ++i) {
                                          text += "? ";
                                      }
                                      return text;
                                  }(),
                                  block};
    for (const std::string& text : nested) {
        const Parsed parsed = parse_text(text);
        EXPECT_TRUE(parsed.objects.empty());
        EXPECT_NE(parsed.lines().find("nested too deeply; the limit is 32 levels"), std::string::npos)
            << text.substr(0, 20) << parsed.lines();
    }
}

TEST(Limits, AnAliasBombIsRefusedAtItsFirstAnchor) {
    std::string text = "a0: &a0 [x]\n";
    for (int i = 1; i < 5000; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last + "," + last + "]\n";
    }
    const Parsed parsed = parse_text(text);
    EXPECT_TRUE(parsed.objects.empty());
    EXPECT_NE(parsed.lines().find("t.yaml:1:5: a0: found the anchor \"a0\""), std::string::npos);
}

TEST(Limits, DiagnosticsAreCappedOverAllFilesOfALoad) {
    std::string text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 80}]\n";
    for (int i = 0; i < 300; ++i) {
        text += "  unknown" + std::to_string(i) + ": x\n";
    }
    Parsed parsed = parse_text(text);
    ASSERT_EQ(parsed.diagnostics.items.size(), 201u);
    EXPECT_EQ(parsed.diagnostics.items.back().text(),
              "t.yaml: 100 more problems, in this file or before it, are not listed");
    parse(text, "second.yaml", {}, parsed.objects, parsed.diagnostics);
    ASSERT_EQ(parsed.diagnostics.items.size(), 201u);
    EXPECT_EQ(parsed.diagnostics.items.back().text(),
              "second.yaml: 400 more problems, in this file or before it, are not listed");
    parse(kService, "third.yaml", {}, parsed.objects, parsed.diagnostics);
    EXPECT_EQ(parsed.diagnostics.items.size(), 201u);
    EXPECT_EQ(parsed.objects.size(), 1u);
}

TEST(Limits, WarningsDoNotHideErrors) {
    std::string text;
    for (int i = 0; i < 300; ++i) {
        text += document("DestinationRule",
                         "spec: {host: a, trafficPolicy: {outlierDetection: {consecutiveErrors: 5}}}\n") +
                "---\n";
    }
    const Parsed warned = parse_text(text);
    EXPECT_EQ(warned.objects.size(), 300u);
    EXPECT_EQ(warned.diagnostics.items.size(), 201u);
    EXPECT_FALSE(warned.diagnostics.has_errors());
    const Parsed refused = parse_text(text + "kind: Nonsense\napiVersion: v1\n");
    EXPECT_TRUE(refused.diagnostics.has_errors());
    EXPECT_NE(refused.lines().find("found the unknown kind \"Nonsense\""), std::string::npos);
}

TEST(Limits, ManyKeysInOneMappingTakeLinearTime) {
    std::string text = "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 80}]}\nmetadata:\n  name: a\n  uid:\n";
    for (int i = 0; i < 300'000; ++i) {
        text += "    k" + std::to_string(i) + ": 1\n";
    }
    EXPECT_EQ(parse_text(text).output(), "+ Service default/a\n");
    EXPECT_NE(parse_text(text + "    k77777: 2\n").lines().find("metadata.uid.k77777: found this key a second time"),
              std::string::npos);
}

TEST(Limits, ListsThatAreComparedAreShort) {
    const auto hosts = [](int count) {
        std::string text = "spec:\n  tcp: [{route: [{destination: {host: a}}]}]\n  hosts:\n";
        for (int i = 0; i < count; ++i) {
            text += "  - h" + std::to_string(i) + "\n";
        }
        return document("VirtualService", text);
    };
    EXPECT_EQ(parse_text(hosts(1024)).output(), "+ VirtualService default/a\n");
    EXPECT_EQ(parse_text(hosts(300'000)).lines(),
              "t.yaml:7:3: spec.hosts: found a list of 300000; the limit is 1024\n");
}

TEST(Limits, TheSameKeyAgainAndAgainTakesLinearTime) {
    std::string text = "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 80}]}\nmetadata:\n  name: a\n  uid:\n";
    for (int i = 0; i < 100'000; ++i) {
        text += "    k" + std::to_string(i) + ": 1\n";
    }
    for (int i = 0; i < 100'000; ++i) {
        text += "    k99999: 1\n";
    }
    EXPECT_EQ(parse_text(text).diagnostics.items.size(), 201u);
}

}  // namespace
}  // namespace sluice::config::test
