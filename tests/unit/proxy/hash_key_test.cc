// Keys of consistent hashing. Numbers are lines of reference istio-measured.md; the hash of "abc" and of nothing are
// published vectors of XXH64 with seed 0.
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

using config::HashKey;

struct Keyed {
    explicit Keyed(HashKey key) {
        cluster.load_balancer = SL_LB_RING_HASH;
        cluster.hash_key = std::move(key);
    }
    std::optional<std::uint64_t> hash(const std::string& target, Fields fields = {}, std::uint64_t connection = 1) {
        const Request request("GET", target, std::move(fields));
        return hash_key(cluster, request.asked, connection, set_cookie);
    }

    model::Cluster cluster;
    std::string set_cookie = "of the last request";
};
HashKey key(HashKey::Kind kind, std::string name) {
    HashKey made;
    made.kind = kind;
    made.name = std::move(name);
    return made;
}

TEST(HashKey, IsXxh64OfTheValue) {
    Keyed keyed(key(HashKey::Kind::kHeader, "x-user"));
    EXPECT_EQ(keyed.hash("/", {{"X-User", "abc"}}), 0x44bc2cf5ad770999ull);
    EXPECT_EQ(keyed.set_cookie, "");
}

// 2.3 of reference istio.md: values sorted, each seeding the next.
TEST(HashKey, OfSeveralLinesDoesNotDependOnTheirOrder) {
    Keyed keyed(key(HashKey::Kind::kHeader, "x-user"));
    const auto hash = keyed.hash("/", {{"x-user", "bob"}, {"x-user", "abc"}});
    EXPECT_EQ(hash, keyed.hash("/", {{"x-user", "abc"}, {"x-user", "bob"}}));
    EXPECT_NE(hash, keyed.hash("/", {{"x-user", "abc"}}));
    EXPECT_NE(hash, keyed.hash("/", {{"x-user", "abcbob"}}));
}

// 57
TEST(HashKey, NoKeyIsNoneAndAnEmptyHeaderIsOne) {
    Keyed header_key(key(HashKey::Kind::kHeader, "x-user"));
    EXPECT_EQ(header_key.hash("/"), std::nullopt);
    EXPECT_EQ(header_key.hash("/", {{"x-user", ""}}), 0xef46db3751d8e999ull);
    Keyed query(key(HashKey::Kind::kQuery, "u"));
    EXPECT_EQ(query.hash("/"), std::nullopt);
    EXPECT_EQ(query.hash("/?U=1"), std::nullopt);
    EXPECT_TRUE(query.hash("/?u=u1").has_value());
    EXPECT_NE(query.hash("/?u=u%31"), query.hash("/?u=u1"));
}

// 58
TEST(HashKey, ACookieIsMadeWhenThereIsATtl) {
    HashKey cookie = key(HashKey::Kind::kCookie, "user");
    Keyed without(cookie);
    EXPECT_EQ(without.hash("/"), std::nullopt);
    EXPECT_EQ(without.set_cookie, "");
    cookie.ttl = std::chrono::seconds(60);
    cookie.path = "/rank";
    cookie.attributes = {{"SameSite", "Strict"}, {"Secure", ""}};
    Keyed with(cookie);
    const auto made = with.hash("/", {}, 7);
    const std::string value = with.set_cookie.substr(0, with.set_cookie.find(';'));
    EXPECT_EQ(with.set_cookie, value + "; Max-Age=60; Path=/rank; SameSite=Strict; Secure; HttpOnly");
    EXPECT_EQ(value.size(), std::string("user=\"0123456789abcdef\"").size());
    // Once it is sent back it is the same key; on one connection it repeats.
    EXPECT_EQ(with.hash("/", {{"Cookie", "a=b; " + value + "; c=d"}}, 8), made);
    EXPECT_EQ(with.set_cookie, "");
    EXPECT_EQ(with.hash("/", {}, 7), made);
    EXPECT_NE(with.hash("/", {}, 8), made);
    cookie.ttl = std::chrono::seconds(0);
    Keyed session(cookie);
    session.hash("/");
    EXPECT_EQ(session.set_cookie.find("Max-Age"), std::string::npos);
}

TEST(HashKey, CookiesAreFoundByTheirWholeNameInAnyLine) {
    Keyed keyed(key(HashKey::Kind::kCookie, "user"));
    const auto alice = std::optional<std::uint64_t>(0x44bc2cf5ad770999ull);
    EXPECT_EQ(keyed.hash("/", {{"Cookie", "xuser=bob;user=abc"}}), alice);
    EXPECT_EQ(keyed.hash("/", {{"Cookie", "a=b"}, {"Cookie", "user=\"abc\""}}), alice);
    EXPECT_EQ(keyed.hash("/", {{"Cookie", "user"}}), std::nullopt);
    EXPECT_EQ(keyed.hash("/", {{"Cookie", "user="}}), std::nullopt);
    EXPECT_EQ(keyed.hash("/", {{"Cookie", "User=abc"}}), std::nullopt);
}

TEST(HashKey, TheSourceAddressIsHashedAsOnTheDirectLane) {
    Keyed keyed(key(HashKey::Kind::kHeader, ""));
    keyed.cluster.hash_key.reset();
    const auto hash = keyed.hash("/");
    EXPECT_EQ(hash, keyed.hash("/other", {{"x", "y"}}, 9));
    EXPECT_TRUE(hash.has_value());
    keyed.cluster.load_balancer = SL_LB_LEAST_REQUEST;
    EXPECT_EQ(keyed.hash("/"), std::nullopt);
}

}  // namespace
}  // namespace sluice::proxy::test
