#include "config/objects.h"

#include <gtest/gtest.h>

#include "config/intern.h"

namespace sluice::config {
namespace {

TEST(Objects, KeysNameKindNamespaceAndName) {
    EXPECT_EQ((ObjectKey{Kind::kVirtualService, "ml", "a"}.text()), "VirtualService ml/a");
    EXPECT_EQ((ObjectKey{Kind::kEndpointSlice, "x", "b"}.text()), "EndpointSlice x/b");
}

TEST(Objects, ExportToSaysWhoSees) {
    EXPECT_TRUE(ExportTo{}.visible_in("any"));
    EXPECT_FALSE((ExportTo{false, {}}.visible_in("any")));
    EXPECT_TRUE((ExportTo{false, {"a", "b"}}.visible_in("b")));
    EXPECT_FALSE((ExportTo{false, {"a", "b"}}.visible_in("c")));
}

TEST(Objects, HttpProtocolsAreThoseWithRequests) {
    for (const auto protocol :
         {PortProtocol::kHttp, PortProtocol::kHttp2, PortProtocol::kGrpc, PortProtocol::kGrpcWeb}) {
        EXPECT_TRUE(is_http(protocol)) << protocol_name(protocol);
        EXPECT_EQ(is_http1(protocol), protocol == PortProtocol::kHttp || protocol == PortProtocol::kGrpcWeb);
    }
    for (const auto protocol : {PortProtocol::kTcp, PortProtocol::kTls, PortProtocol::kHttps}) {
        EXPECT_FALSE(is_http(protocol)) << protocol_name(protocol);
        EXPECT_FALSE(is_http1(protocol)) << protocol_name(protocol);
    }
}

TEST(PortMap, ReadsLikeAMap) {
    const PortMap empty;
    EXPECT_TRUE(empty.empty());
    EXPECT_EQ(empty.begin(), empty.end());
    EXPECT_EQ(PortMap(PortMap::Map{}), empty);
    const PortMap ports{{"http", 80}, {"grpc", 81}};
    EXPECT_EQ(ports.size(), 2u);
    EXPECT_EQ(ports.at("http"), 80);
    EXPECT_EQ(ports.find("none"), ports.end());
    EXPECT_NE(ports, empty);
    EXPECT_EQ(ports, (PortMap{{"grpc", 81}, {"http", 80}}));
}

TEST(Intern, EqualMapsAreOneObject) {
    const auto first = intern({{"a", "b"}, {"c", "d"}});
    EXPECT_EQ(first, intern({{"c", "d"}, {"a", "b"}}));
    EXPECT_NE(first, intern({{"a", "b"}}));
    EXPECT_NE(intern({{"ab", "c"}}), intern({{"a", "bc"}}));
}

TEST(Intern, UnusedMapsAreForgotten) {
    std::weak_ptr<const Labels> old = intern({{"short", "lived"}});
    EXPECT_TRUE(old.expired());
    for (int i = 0; i < 5000; ++i) {
        intern({{"k", std::to_string(i)}});
    }
    EXPECT_EQ(*intern({{"short", "lived"}}), (Labels{{"short", "lived"}}));
}

}  // namespace
}  // namespace sluice::config
