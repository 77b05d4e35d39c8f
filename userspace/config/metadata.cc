#include <algorithm>
#include <array>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

using Names = std::span<const std::string_view>;

bool is_time(std::string_view text) {
    // 2006-01-02T15:04:05[.fraction]Z: in UTC, so that texts order as times do.
    constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (text.size() <= kForm.size() || !text.ends_with('Z')) {
        return false;
    }
    for (std::size_t i = 0; i < kForm.size(); ++i) {
        if (kForm[i] == 'd' ? !digit(text[i]) : text[i] != kForm[i]) {
            return false;
        }
    }
    text.remove_prefix(kForm.size());
    text.remove_suffix(1);
    return text.empty() || (text.size() > 1 && text[0] == '.' && std::ranges::all_of(text.substr(1), digit));
}

struct MetadataReader {
    Kind kind;
    Metadata& meta;
};

void read_name(const Value& value, MetadataReader& out) {
    if (const auto name = value.nonempty()) {
        const std::string problem = check_subdomain(*name);
        if (!problem.empty()) {
            value.wrong(problem);
        }
        out.meta.name = *name;
    }
}

void read_namespace(const Value& value, MetadataReader& out) {
    if (const auto name = value.string()) {
        const std::string problem = name->empty() ? "" : check_label(*name);
        if (!problem.empty()) {
            value.wrong(problem);
        } else if (!name->empty()) {
            out.meta.ns = *name;
        }
    }
}

void read_creation(const Value& value, MetadataReader& out) {
    if (const auto text = value.string()) {
        if (!is_time(*text)) {
            value.wrong("a time in UTC is needed, such as 2024-01-31T12:00:00Z");
        }
        out.meta.creation_timestamp = *text;
    }
}

// ---- annotations

constexpr unsigned bit(Kind kind) {
    return 1u << static_cast<unsigned>(kind);
}
constexpr unsigned kRouting =
    bit(Kind::kVirtualService) | bit(Kind::kDestinationRule) | bit(Kind::kServiceEntry) | bit(Kind::kService);

void read_split(const Value& value, Annotations& out) {
    static constexpr std::array<std::string_view, 2> kNames{"request", "connection"};
    if (const auto index = value.one_of(kNames)) {
        out.split = *index == 0 ? Split::kRequest : Split::kConnection;
    }
}

void read_lane(const Value& value, Annotations& out) {
    static constexpr std::array<std::string_view, 4> kNames{"auto", "direct", "kernel", "proxy"};
    static constexpr std::array<LaneChoice, 4> kLanes{LaneChoice::kAuto, LaneChoice::kDirect, LaneChoice::kKernel,
                                                      LaneChoice::kProxy};
    if (const auto index = value.one_of(kNames)) {
        out.lane = kLanes[*index];
        out.lane_set = true;
    }
}

void read_on_subset_down(const Value& value, Annotations& out) {
    static constexpr std::array<std::string_view, 2> kNames{"fail", "spill"};
    if (const auto index = value.one_of(kNames)) {
        out.on_subset_down = *index == 0 ? OnSubsetDown::kFail : OnSubsetDown::kSpill;
    }
}

void read_limit_scope(const Value& value, Annotations& out) {
    static constexpr std::array<std::string_view, 2> kNames{"client", "node"};
    if (const auto index = value.one_of(kNames)) {
        out.limit_scope = *index == 0 ? LimitScope::kClient : LimitScope::kNode;
    }
}

void read_drain(const Value& value, Annotations& out) {
    static constexpr std::array<std::string_view, 3> kNames{"none", "idle", "now"};
    static constexpr std::array<Drain, 3> kDrains{Drain::kNone, Drain::kIdle, Drain::kNow};
    if (const auto index = value.one_of(kNames)) {
        out.drain = kDrains[*index];
    }
}

void read_cgroup(const Value& value, Annotations& out) {
    const auto path = value.nonempty();
    if (!path) {
        return;
    }
    bool good = path->size() < 4096 && path->find('\0') == std::string_view::npos && *path != "/";
    for (std::size_t begin = 0; good && begin < path->size();) {
        const std::size_t slash = std::min(path->find('/', begin), path->size());
        const std::string_view part = path->substr(begin, slash - begin);
        good = part != ".." && part != "." && part.size() <= 255;
        begin = slash + 1;
    }
    if (!good) {
        value.wrong("the path of a cgroup is needed, below the root and without . or .. parts");
        return;
    }
    out.cgroup = *path;
    out.cgroup_place = value.place();
}

struct SluiceAnnotation {
    std::string_view name;
    unsigned kinds;
    const char* allowed_on;
    void (*read)(const Value&, Annotations&);
};
constexpr const char* kOnRouting = "VirtualService, DestinationRule, ServiceEntry and Service";
constexpr std::array<SluiceAnnotation, 6> kAnnotations{{
    {"sluice.dev/split", kRouting, kOnRouting, read_split},
    {"sluice.dev/lane", kRouting, kOnRouting, read_lane},
    {"sluice.dev/on-subset-down", kRouting, kOnRouting, read_on_subset_down},
    {"sluice.dev/drain", kRouting, kOnRouting, read_drain},
    {"sluice.dev/limit-scope", bit(Kind::kDestinationRule), "DestinationRule", read_limit_scope},
    {"sluice.dev/cgroup", bit(Kind::kWorkloadEntry), "WorkloadEntry", read_cgroup},
}};

void read_annotation(const Value& value, MetadataReader& out) {
    const std::string_view key = value.key();
    if (!key.starts_with("sluice.dev/")) {
        const std::string problem = check_label_key(key);
        if (!problem.empty()) {
            value.error_at_key(problem);
        } else if (!value.is_null()) {
            value.string();
        }
        return;
    }
    const auto found = std::ranges::find(kAnnotations, key, &SluiceAnnotation::name);
    if (found == kAnnotations.end()) {
        std::array<std::string_view, kAnnotations.size()> names;
        std::ranges::transform(kAnnotations, names.begin(), &SluiceAnnotation::name);
        unknown_field(value, names);
    } else if ((found->kinds & bit(out.kind)) == 0) {
        const bool vowel = out.kind == Kind::kEndpointSlice || out.kind == Kind::kExperiment;
        value.error_at_key(std::string(vowel ? "has no meaning on an " : "has no meaning on a ") + kind_name(out.kind) +
                           "; allowed on " + found->allowed_on);
    } else {
        found->read(value, out.meta.annotations);
    }
}

void read_annotations(const Value& map, MetadataReader& out) {
    if (map.expect_map()) {
        map.each_field([&](const Value& value) { read_annotation(value, out); });
    }
}

constexpr Field<MetadataReader> kMetadata[] = {
    {"name", read_name},
    {"namespace", read_namespace},
    {"labels", [](const Value& value, MetadataReader& out) { read_labels(value, out.meta.labels); }},
    {"annotations", read_annotations},
    {"creationTimestamp", read_creation},
    // Kept by Kubernetes for itself.
    {"uid"},
    {"resourceVersion"},
    {"generation"},
    {"generateName"},
    {"managedFields"},
    {"ownerReferences"},
    {"finalizers"},
    {"selfLink"},
    {"deletionTimestamp"},
    {"deletionGracePeriodSeconds"},
};

}  // namespace

void read_metadata(const Value& metadata, Kind kind, Metadata& out) {
    MetadataReader reader{kind, out};
    if (read_fields(metadata, kMetadata, reader) && !metadata.has("name")) {
        metadata.missing("name", "every object has a name");
    }
}

void read_labels(const Value& map, Labels& out) {
    if (!map.expect_map()) {
        return;
    }
    map.each_field([&](const Value& value) {
        std::string problem = check_label_key(value.key());
        if (!problem.empty()) {
            value.error_at_key(std::move(problem));
        } else if (const auto text = value.string()) {
            problem = check_label_value(*text);
            if (!problem.empty()) {
                value.wrong(problem);
            }
            out.emplace(value.key(), *text);
        }
    });
}

void read_export_entry(const Value& value, std::string_view text, std::size_t seen, ExportTo& out) {
    if (text == "*" || text == "~") {
        if (seen > 0) {
            value.wrong("\"" + std::string(text) + "\" stands alone: it cannot be combined with other entries");
        }
        out.all = text == "*";
        return;
    }
    const std::string problem = text == "." ? "" : check_label(text);
    if (!problem.empty()) {
        value.wrong("a namespace, \".\" (the own one), \"*\" (all) or \"~\" (none) is needed");
        return;
    }
    std::string ns = text == "." ? value.scope().ns : std::string(text);
    if (std::ranges::find(out.namespaces, ns) != out.namespaces.end()) {
        value.wrong("every namespace is named once");
        return;
    }
    out.all = false;
    out.namespaces.push_back(std::move(ns));
}

void read_export_to(const Value& list, ExportTo& out) {
    bool alone = false;  // "*" or "~" came before
    std::size_t seen = 0;
    read_list(list, kMostCompared, [&](const Value& value) {
        const auto text = value.string();
        if (!text) {
            return;
        }
        if (alone) {
            value.wrong("\"*\" and \"~\" stand alone: they cannot be combined with other entries");
            return;
        }
        read_export_entry(value, *text, seen++, out);
        alone = *text == "*" || *text == "~";
    });
    out.namespaces.shrink_to_fit();
}

void read_export_annotation(const Value& metadata, ExportTo& out) {
    if (!metadata.is_map()) {
        return;
    }
    metadata.each_field([&](const Value& annotations) {
        if (annotations.key() != "annotations" || !annotations.is_map()) {
            return;
        }
        annotations.each_field([&](const Value& value) {
            if (value.key() != "networking.istio.io/exportTo" || !value.is_scalar()) {
                return;
            }
            std::size_t seen = 0;
            bool alone = false;
            const std::string_view all = value.text();
            for (std::size_t begin = 0; begin < all.size() || seen == 0;) {
                const std::size_t comma = std::min(all.find(',', begin), all.size());
                std::string_view entry = all.substr(begin, comma - begin);
                const std::size_t first = std::min(entry.find_first_not_of(' '), entry.size());
                entry.remove_prefix(first);
                entry = entry.substr(0, entry.find_last_not_of(' ') + 1);
                begin = comma + 1;
                if (alone) {
                    value.wrong("\"*\" and \"~\" stand alone: they cannot be combined with other entries");
                    return;
                }
                read_export_entry(value, entry, seen++, out);
                alone = entry == "*" || entry == "~";
            }
        });
    });
}

}  // namespace sluice::config
