// Labels of Istio's standard metrics, in the order in which its stats filter emits them, and of Sluice's own.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "telemetry/reading.h"

namespace sluice::telemetry {

inline constexpr std::size_t kIstioLabels = 25;     // of requests
inline constexpr std::size_t kIstioTcpLabels = 23;  // without response_code and grpc_response_status
inline constexpr std::size_t kResponseCodeAt = 21;  // grpc_response_status follows
using IstioLabels = std::array<std::string_view, kIstioLabels>;
using IstioTcpLabels = std::array<std::string_view, kIstioTcpLabels>;

std::span<const std::string> istio_label_names();
std::span<const std::string> istio_tcp_label_names();

// Who asked whom, by number.
struct Ends {
    std::uint32_t workload = 0;
    std::uint32_t cluster = 0;
    std::uint32_t destination_workload = 0;
};

// Values point into `names`, `code` and text that lives for ever. grpc_response_status is empty: only gRPC has one.
IstioLabels istio_labels(const Names& names, const Ends& ends, std::string_view protocol, std::string_view code,
                         std::string_view flags);
IstioTcpLabels istio_tcp_labels(const Names& names, const Ends& ends, std::string_view flags);

// The same by value, as the proxy lane knows them. Workloads may be null.
struct Peers {
    std::string_view reporter;  // source or destination
    const model::Workload* from = nullptr;
    const model::Workload* to = nullptr;
    std::string_view host = {}, service_name = {}, service_namespace = {};  // empty: unknown
    std::string_view grpc_status = {};                                      // empty: not gRPC
};
IstioLabels istio_labels(const Peers& peers, std::string_view protocol, std::string_view code, std::string_view flags);

// service, port, subset: the labels by which people know a cluster. Point into `cluster`, which may be null.
struct ClusterLabels {
    explicit ClusterLabels(const model::Cluster* cluster);
    std::string_view service = "unknown";
    std::string port = "unknown";
    std::string_view subset = "unknown";
};

std::string_view version_of(const model::Workload* workload);

}  // namespace sluice::telemetry
