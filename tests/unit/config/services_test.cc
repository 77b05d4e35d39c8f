// ServiceEntry, WorkloadEntry, Service and EndpointSlice: addresses, ports, protocols, labels, readiness.
#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

TEST(ServiceEntryTest, PortsAndEndpoints) {
    const auto entry = one<ServiceEntry>(document("ServiceEntry", R"(spec:
  hosts: [a.example.com]
  addresses: [127.10.0.1, "fd00::1"]
  resolution: STATIC
  ports:
  - {number: 8080, name: http, protocol: HTTP, targetPort: 9000}
  - {number: 8443, name: grpc-infer}
  - {number: 9000, name: other}
  endpoints:
  - {address: 10.0.0.1, ports: {http: 9001}, labels: {version: v1}, serviceAccount: ranker, weight: 1}
  - {address: "fd00::2", labels: {version: v1}}
  - {address: 10.0.0.3}
)"));
    EXPECT_EQ(entry.addresses[0].text(), "127.10.0.1");
    EXPECT_EQ(entry.addresses[1].text(), "fd00::1");
    ASSERT_EQ(entry.ports.size(), 3u);
    EXPECT_EQ(entry.ports[0].protocol, PortProtocol::kHttp);
    EXPECT_EQ(entry.ports[0].target_port, 9000);
    EXPECT_EQ(entry.ports[1].protocol, PortProtocol::kGrpc);
    EXPECT_EQ(entry.ports[1].target_port, 0);
    EXPECT_EQ(entry.ports[2].protocol, PortProtocol::kTcp);
    ASSERT_EQ(entry.endpoints.size(), 3u);
    EXPECT_EQ(entry.endpoints[0].ports.at("http"), 9001);
    EXPECT_EQ(entry.endpoints[0].service_account, "ranker");
    EXPECT_EQ(entry.endpoints[0].labels, entry.endpoints[1].labels);
    EXPECT_EQ(entry.endpoints[0].place.line, 13);
    EXPECT_TRUE(entry.endpoints[1].ports.empty());
    ASSERT_NE(entry.endpoints[2].labels, nullptr);
    EXPECT_TRUE(entry.endpoints[2].labels->empty());
    EXPECT_TRUE(entry.endpoints[2].ready);
    EXPECT_FALSE(entry.endpoints[2].terminating);
}

TEST(ServiceEntryTest, ProtocolNamesInAnyCase) {
    const std::pair<const char*, PortProtocol> names[] = {
        {"HTTP", PortProtocol::kHttp}, {"http2", PortProtocol::kHttp2},      {"HTTPS", PortProtocol::kHttps},
        {"grpc", PortProtocol::kGrpc}, {"GRPC-WEB", PortProtocol::kGrpcWeb}, {"TLS", PortProtocol::kTls},
        {"TCP", PortProtocol::kTcp},   {"MONGO", PortProtocol::kTcp},        {"mysql", PortProtocol::kTcp},
        {"Redis", PortProtocol::kTcp}, {"\"\"", PortProtocol::kHttp}};
    for (const auto& [name, protocol] : names) {
        const auto entry = one<ServiceEntry>(
            document("ServiceEntry", std::string("spec: {hosts: [a], resolution: STATIC, ports: [{number: 1, name: "
                                                 "http-x, protocol: ") +
                                         name + "}]}\n"));
        EXPECT_EQ(entry.ports.at(0).protocol, protocol) << name;
    }
}

TEST(ServiceEntryTest, WorkloadSelector) {
    const auto entry = one<ServiceEntry>(
        document("ServiceEntry",
                 "spec: {hosts: [a], resolution: STATIC, ports: [{number: 1, name: x}], workloadSelector: {labels: "
                 "{app: a}}}\n"));
    EXPECT_EQ(*entry.workload_selector, (Labels{{"app", "a"}}));
    EXPECT_TRUE(entry.endpoints.empty());
}

TEST(WorkloadEntryTest, LabelsOfTheSpecWinOverThoseOfTheMetadata) {
    const auto entry = one<WorkloadEntry>(document(
        "WorkloadEntry", "spec: {address: 10.0.0.1, ports: {http: 80}, labels: {version: v2}, serviceAccount: s}\n",
        "name: a, labels: {app: x, version: v1}"));
    EXPECT_EQ(*entry.endpoint.labels, (Labels{{"app", "x"}, {"version", "v2"}}));
    EXPECT_EQ(entry.endpoint.ports.at("http"), 80);
    EXPECT_EQ(entry.endpoint.service_account, "s");
    EXPECT_TRUE(entry.has_address);
}

TEST(WorkloadEntryTest, APureClientHasACgroupAndNoAddress) {
    const std::string text = document("WorkloadEntry", "spec: {labels: {app: web}}\n",
                                      "name: a, annotations: {sluice.dev/cgroup: web/client}");
    EXPECT_FALSE(one<WorkloadEntry>(text).has_address);
    const Parsed parsed = parse_text(text);
    EXPECT_EQ(parsed.objects.at(0)->meta.annotations.cgroup, "web/client");
    EXPECT_EQ(parsed.objects.at(0)->meta.annotations.cgroup_place.line, 3);
}

TEST(ServiceTest, AddressesOfBothFields) {
    const auto dual = one<Service>(
        document("Service", "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], ports: [{port: 80}]}\n"));
    ASSERT_EQ(dual.cluster_ips.size(), 2u);
    EXPECT_EQ(dual.cluster_ips[1].text(), "fd00::1");
    EXPECT_EQ(dual.cluster_ip_places.size(), 2u);
    EXPECT_EQ(
        one<Service>(document("Service", "spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n")).cluster_ips.size(), 1u);
    for (const char* headless : {"clusterIP: None", "clusterIP: None, clusterIPs: [None]", "clusterIP: ''"}) {
        const auto service =
            one<Service>(document("Service", std::string("spec: {") + headless + ", ports: [{port: 80}]}\n"));
        EXPECT_TRUE(service.cluster_ips.empty()) << headless;
    }
    EXPECT_TRUE(one<Service>(document("Service", "spec: {clusterIP: None}\n")).ports.empty());
}

TEST(ServiceTest, ProtocolIsOfAppProtocolThenOfThePortsName) {
    const std::pair<const char*, PortProtocol> ports[] = {
        {"name: http", PortProtocol::kHttp},
        {"name: http-web", PortProtocol::kHttp},
        {"name: http2-web", PortProtocol::kHttp2},
        {"name: https", PortProtocol::kHttps},
        {"name: grpc-infer", PortProtocol::kGrpc},
        {"name: grpc-web-x", PortProtocol::kGrpcWeb},
        {"name: tls-x", PortProtocol::kTls},
        {"name: tcp-x", PortProtocol::kTcp},
        {"name: httpx", PortProtocol::kTcp},
        {"name: ''", PortProtocol::kTcp},
        {"name: tcp, appProtocol: http", PortProtocol::kHttp},
        {"name: http, appProtocol: kubernetes.io/h2c", PortProtocol::kHttp2},
        {"name: x, appProtocol: kubernetes.io/ws", PortProtocol::kHttp},
        {"name: x, appProtocol: kubernetes.io/wss", PortProtocol::kHttps},
        {"name: http, appProtocol: example.com/own", PortProtocol::kTcp},
    };
    for (const auto& [text, protocol] : ports) {
        const auto service =
            one<Service>(document("Service", std::string("spec: {ports: [{port: 80, ") + text + "}]}\n"));
        EXPECT_EQ(service.ports.at(0).protocol, protocol) << text;
    }
}

TEST(ServiceTest, TargetPortsByNumberAndName) {
    const auto service = one<Service>(
        document("Service",
                 "spec: {selector: {app: a}, ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 81, "
                 "targetPort: web}, {name: c, port: 82, targetPort: '9090-x'}, {name: d, port: 83}]}\n"));
    EXPECT_EQ(service.ports[0].target_port, 8080);
    EXPECT_EQ(service.ports[1].target_port, 0);
    EXPECT_EQ(service.ports[1].target_port_name, "web");
    EXPECT_EQ(service.ports[2].target_port_name, "9090-x");
    EXPECT_EQ(service.ports[3].target_port, 0);
    EXPECT_EQ(service.ports[3].target_port_name, "");
    EXPECT_EQ(service.selector, (Labels{{"app", "a"}}));
}

TEST(ServiceTest, ExportToAnnotation) {
    const auto with = [](const std::string& text) {
        return one<Service>(
                   document("Service", "spec: {ports: [{port: 80}]}\n",
                            "name: a, namespace: ml, annotations: {networking.istio.io/exportTo: '" + text + "'}"))
            .export_to;
    };
    EXPECT_EQ(with("., other").namespaces, (std::vector<std::string>{"ml", "other"}));
    EXPECT_TRUE(with("*").all);
    EXPECT_FALSE(with("~").visible_in("ml"));
}

TEST(EndpointSliceTest, ReadinessAndLabels) {
    const auto slice = one<EndpointSlice>(document("EndpointSlice", R"(addressType: IPv4
ports:
- {name: http, port: 8080, protocol: TCP}
- {port: 9090}
endpoints:
- {addresses: [10.0.0.1]}
- {addresses: [10.0.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.0.0.3], conditions: {ready: false}}
- {addresses: [10.0.0.4, 10.0.0.5], conditions: {ready: null}}
)",
                                                   "name: a-1, labels: {kubernetes.io/service-name: a, "
                                                   "endpointslice.kubernetes.io/managed-by: x, "
                                                   "service.kubernetes.io/headless: '', model-version: v45}"));
    EXPECT_EQ(slice.service, "a");
    EXPECT_EQ(slice.ports, (std::map<std::string, std::uint16_t>{{"", 9090}, {"http", 8080}}));
    ASSERT_EQ(slice.endpoints.size(), 5u);
    const auto state = [&](std::size_t i) {
        return std::pair(slice.endpoints[i].ready, slice.endpoints[i].terminating);
    };
    EXPECT_EQ(state(0), std::pair(true, false));
    EXPECT_EQ(state(1), std::pair(false, true));
    EXPECT_EQ(state(2), std::pair(false, false));
    EXPECT_EQ(state(3), std::pair(true, false));
    EXPECT_EQ(slice.endpoints[4].address.text(), "10.0.0.5");
    for (const Endpoint& endpoint : slice.endpoints) {
        EXPECT_EQ(*endpoint.labels, (Labels{{"model-version", "v45"}}));
    }
}

TEST(EndpointSliceTest, OldVersionAndIpv6) {
    const Parsed parsed = parse_text(
        "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: a, labels: "
        "{kubernetes.io/service-name: a}}\nendpoints: [{addresses: ['fd00::1'], topology: {x: y}}]\naddressType: "
        "IPv6\n");
    EXPECT_EQ(parsed.output(), "+ EndpointSlice default/a\n");
}

TEST(SharingTest, EqualLabelsAndPortsAreOneObjectAcrossFiles) {
    const std::string text =
        document("ServiceEntry",
                 "spec: {hosts: [a], resolution: STATIC, ports: [{number: 1, name: x}], endpoints: [{address: "
                 "10.0.0.1, ports: {x: 5}, labels: {version: v1, app: a}}]}\n");
    const auto first = one<ServiceEntry>(text);
    const auto second = one<ServiceEntry>(text);
    EXPECT_EQ(first.endpoints[0].labels, second.endpoints[0].labels);
    EXPECT_EQ(&first.endpoints[0].ports.map(), &second.endpoints[0].ports.map());
}

}  // namespace
}  // namespace sluice::config::test
