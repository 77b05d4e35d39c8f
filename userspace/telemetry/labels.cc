#include "telemetry/labels.h"

#include <algorithm>
#include <vector>

namespace sluice::telemetry {

namespace {

constexpr std::string_view kUnknown = "unknown";

const std::vector<std::string> kNames{"reporter",
                                      "source_workload",
                                      "source_canonical_service",
                                      "source_canonical_revision",
                                      "source_workload_namespace",
                                      "source_principal",
                                      "source_app",
                                      "source_version",
                                      "source_cluster",
                                      "destination_workload",
                                      "destination_workload_namespace",
                                      "destination_principal",
                                      "destination_app",
                                      "destination_version",
                                      "destination_service",
                                      "destination_canonical_service",
                                      "destination_canonical_revision",
                                      "destination_service_name",
                                      "destination_service_namespace",
                                      "destination_cluster",
                                      "request_protocol",
                                      "response_code",
                                      "grpc_response_status",
                                      "response_flags",
                                      "connection_security_policy"};

// Leaves out the two labels that only requests have.
template <class Out, class In>
void without_response(Out out, const In& in) {
    out = std::copy_n(in.begin(), kResponseCodeAt, out);
    std::copy(in.begin() + kResponseCodeAt + 2, in.end(), out);
}

std::string_view or_unknown(std::string_view text) {
    return text.empty() ? kUnknown : text;
}

// A field of a workload that may be unknown altogether.
std::string_view field(const model::Workload* workload, std::string model::Workload::*member) {
    return workload ? or_unknown(workload->*member) : kUnknown;
}

std::string_view revision(const model::Workload* workload) {
    return workload && !workload->canonical_revision.empty() ? std::string_view(workload->canonical_revision)
                                                             : "latest";
}

}  // namespace

std::span<const std::string> istio_label_names() {
    return kNames;
}

std::span<const std::string> istio_tcp_label_names() {
    static const auto names = [] {
        std::vector<std::string> made;
        without_response(std::back_inserter(made), kNames);
        return made;
    }();
    return names;
}

// Principals stay unknown: nothing has authenticated either end.
IstioLabels istio_labels(const Peers& peers, std::string_view protocol, std::string_view code, std::string_view flags) {
    const model::Workload* from = peers.from;
    const model::Workload* to = peers.to;
    using W = model::Workload;
    return {peers.reporter,
            field(from, &W::name),
            field(from, &W::canonical_service),
            revision(from),
            field(from, &W::ns),
            kUnknown,
            field(from, &W::app),
            field(from, &W::version),
            kUnknown,
            field(to, &W::name),
            field(to, &W::ns),
            kUnknown,
            field(to, &W::app),
            field(to, &W::version),
            or_unknown(peers.host),
            field(to, &W::canonical_service),
            revision(to),
            or_unknown(peers.service_name),
            or_unknown(peers.service_namespace),
            kUnknown,
            protocol,
            code,
            peers.grpc_status,
            flags,
            kUnknown};
}

IstioLabels istio_labels(const Names& names, const Ends& ends, std::string_view protocol, std::string_view code,
                         std::string_view flags) {
    Peers peers{
        .reporter = "source", .from = names.workload(ends.workload), .to = names.workload(ends.destination_workload)};
    if (const model::Cluster* cluster = names.cluster(ends.cluster)) {
        peers.host = cluster->host;
        peers.service_name = cluster->service_name;
        peers.service_namespace = cluster->service_namespace;
    }
    return istio_labels(peers, protocol, code, flags);
}

IstioTcpLabels istio_tcp_labels(const Names& names, const Ends& ends, std::string_view flags) {
    IstioTcpLabels out;
    without_response(out.begin(), istio_labels(names, ends, "tcp", "", flags));
    return out;
}

ClusterLabels::ClusterLabels(const model::Cluster* cluster) {
    if (cluster) {
        service = cluster->host;
        port = std::to_string(cluster->port);
        subset = cluster->subset;
    }
}

std::string_view version_of(const model::Workload* workload) {
    return field(workload, &model::Workload::version);
}

}  // namespace sluice::telemetry
