#include "config/document.h"

#include <algorithm>
#include <array>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 3> kIstioVersions{"networking.istio.io/v1", "networking.istio.io/v1beta1",
                                                         "networking.istio.io/v1alpha3"};
constexpr std::array<std::string_view, 1> kCoreVersions{"v1"};
constexpr std::array<std::string_view, 1> kOwnVersions{"sluice.dev/v1"};
constexpr std::array<std::string_view, 2> kSliceVersions{"discovery.k8s.io/v1", "discovery.k8s.io/v1beta1"};

struct KindInfo {
    std::string_view name;
    Kind kind;
    Names versions;
    const char* vendor;
};
constexpr std::array<KindInfo, 8> kKinds{{
    {"VirtualService", Kind::kVirtualService, kIstioVersions, "Istio"},
    {"DestinationRule", Kind::kDestinationRule, kIstioVersions, "Istio"},
    {"ServiceEntry", Kind::kServiceEntry, kIstioVersions, "Istio"},
    {"WorkloadEntry", Kind::kWorkloadEntry, kIstioVersions, "Istio"},
    {"Service", Kind::kService, kCoreVersions, "Kubernetes"},
    {"EndpointSlice", Kind::kEndpointSlice, kSliceVersions, "Kubernetes"},
    {"Experiment", Kind::kExperiment, kOwnVersions, "Istio"},
    {"Canary", Kind::kCanary, kOwnVersions, "Istio"},
}};

struct RefusedKind {
    std::string_view name;
    const char* advice;
};
constexpr const char* kSecurity = "mutual TLS and authorization come with a later release; nothing enforces it now";
constexpr const char* kGatewayApi = "write a VirtualService";
constexpr const char* kFilters = "there is no Envoy to configure; see the fields of VirtualService and DestinationRule";
constexpr std::array<RefusedKind, 27> kRefused{{
    {"PeerAuthentication", kSecurity},
    {"AuthorizationPolicy", kSecurity},
    {"RequestAuthentication", kSecurity},
    {"Gateway", "Sluice carries traffic between services; keep your ingress"},
    {"Sidecar", "use exportTo to say who sees a rule"},
    {"EnvoyFilter", kFilters},
    {"WasmPlugin", kFilters},
    {"ProxyConfig", kFilters},
    {"Telemetry", "metrics are always on"},
    {"WorkloadGroup", "write a WorkloadEntry for each workload"},
    {"HTTPRoute", kGatewayApi},
    {"GRPCRoute", kGatewayApi},
    {"TCPRoute", kGatewayApi},
    {"TLSRoute", kGatewayApi},
    {"UDPRoute", "Sluice carries TCP only"},
    {"GatewayClass", kGatewayApi},
    {"ReferenceGrant", kGatewayApi},
    {"BackendTLSPolicy", kSecurity},
    {"BackendLBPolicy", "write a DestinationRule"},
    {"BackendTrafficPolicy", "write a DestinationRule"},
    {"ListenerSet", kGatewayApi},
    {"XBackendTrafficPolicy", "write a DestinationRule"},
    {"XListenerSet", kGatewayApi},
    {"InferencePool", "write a Service and EndpointSlices for its pods"},
    {"InferenceModel", "write a VirtualService"},
    {"Endpoints", "write an EndpointSlice"},
    {"Ingress", "Sluice carries traffic between services; keep your ingress"},
}};

std::string kind_list() {
    std::string out;
    for (const KindInfo& info : kKinds) {
        out += (out.empty() ? "" : ", ") + std::string(info.name);
    }
    return out;
}

struct Reading {
    Object& object;
    const Value& root;
};

template <typename T, void (*Read)(const Value&, T&)>
void read_as(const Value& spec, Reading& out) {
    Read(spec, out.object.spec.template emplace<T>());
}

void read_spec(const Value& spec, Reading& out) {
    switch (out.object.key.kind) {
        case Kind::kVirtualService:
            return read_as<VirtualService, read_virtual_service>(spec, out);
        case Kind::kDestinationRule:
            return read_as<DestinationRule, read_destination_rule>(spec, out);
        case Kind::kServiceEntry:
            return read_as<ServiceEntry, read_service_entry>(spec, out);
        case Kind::kWorkloadEntry:
            return read_workload_entry(spec, out.object.meta, out.object.spec.emplace<WorkloadEntry>());
        case Kind::kService:
            return read_as<Service, read_service>(spec, out);
        case Kind::kExperiment:
            return read_experiment(spec, out.object.meta, out.object.spec.emplace<Experiment>());
        case Kind::kCanary:
            return read_as<Canary, read_canary>(spec, out);
        case Kind::kEndpointSlice:
            break;
    }
}

constexpr Field<Reading> kTopLevel[] = {
    {"apiVersion"}, {"kind"}, {"metadata"}, {"spec", read_spec}, {"status"},
};

const KindInfo* find_kind(const Value& root, const Value& kind, std::string_view name, std::string_view version) {
    const auto known = std::ranges::find(kKinds, name, &KindInfo::name);
    if (known != kKinds.end()) {
        if (std::ranges::find(known->versions, version) != known->versions.end()) {
            return &*known;
        }
        std::string allowed;
        for (const std::string_view candidate : known->versions) {
            allowed += (allowed.empty() ? "" : ", ") + std::string(candidate);
        }
        root.each_field([&](const Value& value) {
            if (value.key() == "apiVersion") {
                value.wrong("allowed with kind " + std::string(name) + ": " + allowed);
            }
        });
        return nullptr;
    }
    const auto refused = std::ranges::find(kRefused, name, &RefusedKind::name);
    if (refused != kRefused.end()) {
        kind.error("found the kind " + quoted(name) + ", which is known but not supported yet: " + refused->advice);
        return nullptr;
    }
    std::array<std::string_view, kKinds.size()> names;
    std::ranges::transform(kKinds, names.begin(), &KindInfo::name);
    const auto meant = closest(name, names);
    kind.error("found the unknown kind " + quoted(name) + (meant ? "; did you mean " + quoted(*meant) + "?" : ";") +
               " allowed: " + kind_list() + ", and List of these");
    return nullptr;
}

struct Named {
    std::string_view version;
    std::string_view kind;
};

// apiVersion and kind, or nothing when one is missing or no text.
std::optional<Named> read_names(const Value& root) {
    Named named;
    bool good = true;
    const auto take = [&](std::string_view field, std::string_view& out, const char* allowed) {
        if (!root.has(field)) {
            root.missing(field, allowed);
            good = false;
            return;
        }
        root.each_field([&](const Value& value) {
            if (value.key() == field) {
                const auto text = value.string();
                good = good && text.has_value();
                out = text.value_or("");
            }
        });
    };
    take("apiVersion", named.version, "such as networking.istio.io/v1, or v1 for a Service");
    take("kind", named.kind,
         "one of VirtualService, DestinationRule, ServiceEntry, WorkloadEntry, Service, "
         "EndpointSlice, Experiment, Canary, and List of these");
    return good ? std::optional(named) : std::nullopt;
}

void check_list(const Value& root) {
    static constexpr Field<int> kList[] = {{"apiVersion"}, {"kind"}, {"metadata"}, {"items"}};
    int none = 0;
    read_fields(root, kList, none);
    if (!root.has("items")) {
        root.missing("items", "a list of objects");
    }
    root.each_field([](const Value& value) {
        if (value.key() == "items" && !value.is_null()) {
            value.expect_seq();
        } else if (value.key() == "apiVersion" && value.is_scalar() && value.text() != "v1") {
            value.wrong("allowed with kind List: v1");
        }
    });
}

void read_body(const Value& root, const KindInfo& info, Object& object) {
    root.each_field([&](const Value& value) {
        if (value.key() == "metadata" && !value.is_null()) {
            read_metadata(value, info.kind, object.meta);
        }
    });
    if (!root.has("metadata")) {
        root.missing("metadata", "a mapping with name and namespace");
    }
    root.scope().ns = object.meta.ns;
    if (info.kind == Kind::kEndpointSlice) {
        read_endpoint_slice(root, object.meta, object.spec.emplace<EndpointSlice>());
        return;
    }
    Reading reading{object, root};
    read_fields(root, kTopLevel, reading);
    if (!root.has("spec")) {
        root.missing("spec", "a mapping");
    }
    if (auto* service = std::get_if<Service>(&object.spec)) {
        root.each_field([&](const Value& value) {
            if (value.key() == "metadata") {
                read_export_annotation(value, service->export_to);
            }
        });
    }
}

}  // namespace

namespace {

// The plain text of a field of the root, without complaints.
std::string_view root_text(const Tree& tree, std::string_view field) {
    for (const Node* key = tree.root().type == Node::Type::kMap ? tree.first(tree.root()) : nullptr; key != nullptr;) {
        const Node* value = tree.next(*key);
        if (value == nullptr) {
            break;
        }
        if (tree.text(*key) == field) {
            return value->type == Node::Type::kScalar ? tree.text(*value) : std::string_view("?");
        }
        key = tree.next(*value);
    }
    return {};
}

}  // namespace

bool is_list(const Tree& tree) {
    return root_text(tree, "kind") == "List";
}
bool has_items(const Tree& tree) {
    return !root_text(tree, "items").empty();
}

std::shared_ptr<Object> read_document(const Tree& tree, Report& report, int item) {
    Scope scope{.tree = tree, .report = report, .vendor = "Istio", .ns = {}, .item = item};
    const Value root(scope, tree.root(), nullptr, nullptr, -1);
    const std::size_t problems = report.errors();
    if (!root.expect_map()) {
        return nullptr;
    }
    const auto named = read_names(root);
    if (!named) {
        return nullptr;
    }
    if (named->kind == "List" && item < 0) {
        check_list(root);
        return nullptr;
    }
    const KindInfo* info = nullptr;
    root.each_field([&](const Value& value) {
        if (value.key() == "kind") {
            info = find_kind(root, value, named->kind, named->version);
        }
    });
    if (info == nullptr) {
        return nullptr;
    }
    scope.vendor = info->vendor;
    auto object = std::make_shared<Object>();
    object->meta.ns = "default";
    object->key.kind = info->kind;
    read_body(root, *info, *object);
    object->key.ns = object->meta.ns;
    object->key.name = object->meta.name;
    object->place = root.place();
    object->file = report.file();
    return report.errors() == problems ? std::move(object) : nullptr;
}

}  // namespace sluice::config
