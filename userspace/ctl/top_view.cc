#include "ctl/top_view.h"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::ctl {

namespace {

constexpr const char* kKeys = " q quit  arrows move  enter open  esc back  < > sort  r reverse  space pause  ? help";
constexpr const char* kKeysShort = " q quit  enter open  ? help";

bool bad(const Figures& line) {
    return line.ejected.value_or(0) > 0 || line.success.value_or(1) < 0.99 || line.state.starts_with("ejected");
}

bool quiet(const Figures& line) {
    return line.open.value_or(0) == 0 && line.rate.value_or(0) == 0 && line.connects.value_or(0) == 0;
}

std::size_t widest(const std::vector<const Figures*>& lines) {
    std::size_t width = 0;
    for (const Figures* line : lines) {
        width = std::max(width, column_text(ColumnId::kName, *line).size());
    }
    return width;
}

// A service that has only itself as destination is one line.
bool has_versions(const ServiceFigures& service) {
    return service.versions.size() > 1 || (service.subsets.size() == 1 && !service.subsets.front().empty());
}

void sort_services(std::vector<ServiceFigures>& services, ColumnId column, bool reverse) {
    std::ranges::stable_sort(services, [&](const ServiceFigures& a, const ServiceFigures& b) {
        return sorts_before(column, reverse, a.total, b.total);
    });
}

}  // namespace

TopHeader top_header(const Json& answer) {
    return {.generation = answer.value("generation", std::uint64_t{0}),
            .ejected = answer.value("ejected", std::uint64_t{0}),
            .services = answer.value("total", std::uint64_t{0}),
            .shown = answer.value("shown", std::uint64_t{0}),
            .watching = answer.value("watching", false)};
}

void TopView::show(const TopHeader& header, std::vector<ServiceFigures> services) {
    header_ = header;
    services_ = std::move(services);
    sort_services(services_, sort_, reverse_);
}

const ServiceFigures* TopView::service() const {
    const auto found = std::ranges::find(services_, service_key_, [](const ServiceFigures& s) { return s.total.key; });
    return found == services_.end() ? nullptr : &*found;
}

const std::vector<Column>& TopView::columns() const {
    return level_ == Level::kEndpoints ? endpoint_columns() : service_columns();
}

void TopView::add_service(const ServiceFigures& service, bool sorted, std::vector<const Figures*>& out) const {
    out.push_back(&service.total);
    const auto first = static_cast<std::ptrdiff_t>(out.size());
    if (sorted || has_versions(service)) {
        for (const Figures& version : service.versions) {
            out.push_back(&version);
        }
    }
    if (sorted) {
        std::stable_sort(out.begin() + first, out.end(),
                         [&](const Figures* a, const Figures* b) { return sorts_before(sort_, reverse_, *a, *b); });
    }
}

std::vector<const Figures*> TopView::lines() const {
    std::vector<const Figures*> out;
    switch (level_) {
        case Level::kServices:
            for (const ServiceFigures& service : services_) {
                add_service(service, false, out);
            }
            break;
        case Level::kVersions:
            if (const ServiceFigures* one = service()) {
                add_service(*one, true, out);
            }
            break;
        case Level::kEndpoints:
            for (const Figures& endpoint : endpoints_) {
                out.push_back(&endpoint);
            }
            std::ranges::stable_sort(out, [&](const Figures* a, const Figures* b) {
                return sorts_before(endpoint_sort_, reverse_, *a, *b);
            });
            break;
    }
    return out;
}

std::size_t TopView::selected(const std::vector<const Figures*>& lines) const {
    const auto found = std::ranges::find(lines, selected_key_, [](const Figures* line) { return line->key; });
    if (found != lines.end()) {
        return static_cast<std::size_t>(found - lines.begin());
    }
    return lines.empty() ? 0 : std::min(selected_at_, lines.size() - 1);
}

void TopView::move(long by) {
    const std::vector<const Figures*> all = lines();
    if (all.empty()) {
        return;
    }
    const long last = static_cast<long>(all.size()) - 1;
    const long at = std::clamp(static_cast<long>(selected(all)) + by, 0L, last);
    selected_at_ = static_cast<std::size_t>(at);
    selected_key_ = all[selected_at_]->key;
}

void TopView::enter() {
    const std::vector<const Figures*> all = lines();
    if (all.empty() || level_ == Level::kEndpoints) {
        return;
    }
    const Figures& line = *all[selected(all)];
    if (line.depth == 0) {
        if (level_ == Level::kServices) {
            service_key_ = line.key;
            level_ = Level::kVersions;
            selected_key_ = line.key;
        }
        return;
    }
    for (const ServiceFigures& service : services_) {
        for (std::size_t i = 0; i < service.versions.size(); ++i) {
            if (service.versions[i].key == line.key && line.endpoints) {
                service_key_ = service.total.key;
                subset_ = service.subsets[i];
                version_name_ = line.name;
                selected_key_.clear();
                selected_at_ = 0;
                endpoints_.clear();
                level_ = Level::kEndpoints;
                return;
            }
        }
    }
}

void TopView::back() {
    if (level_ == Level::kEndpoints) {
        level_ = Level::kVersions;
    } else if (level_ == Level::kVersions) {
        level_ = Level::kServices;
    }
    selected_key_ = service_key_;
    selected_at_ = first_ = 0;
}

void TopView::sort_by(int step) {
    ColumnId& sort = level_ == Level::kEndpoints ? endpoint_sort_ : sort_;
    const std::vector<Column>& all = columns();
    const auto at = std::ranges::find(all, sort, &Column::id) - all.begin();
    const auto count = static_cast<std::ptrdiff_t>(all.size());
    sort = all[static_cast<std::size_t>((at + step + count) % count)].id;
    sort_services(services_, sort_, reverse_);
}

bool TopView::press(TopKey key) {
    if (help_ && key != TopKey::kQuit) {
        help_ = false;
        return true;
    }
    switch (key) {
        case TopKey::kUp:
            move(-1);
            break;
        case TopKey::kDown:
            move(1);
            break;
        case TopKey::kPageUp:
            move(-static_cast<long>(page_));
            break;
        case TopKey::kPageDown:
            move(static_cast<long>(page_));
            break;
        case TopKey::kHome:
            move(-1'000'000);
            break;
        case TopKey::kEnd:
            move(1'000'000);
            break;
        case TopKey::kEnter:
            enter();
            break;
        case TopKey::kBack:
            back();
            break;
        case TopKey::kSortLeft:
            sort_by(-1);
            break;
        case TopKey::kSortRight:
            sort_by(1);
            break;
        case TopKey::kReverse:
            reverse_ = !reverse_;
            sort_services(services_, sort_, reverse_);
            break;
        case TopKey::kPause:
            paused_ = !paused_;
            break;
        case TopKey::kHelp:
            help_ = true;
            break;
        case TopKey::kQuit:
            return false;
    }
    return true;
}

std::string TopView::header(std::size_t width) const {
    std::string text;
    if (!complaint_.empty()) {
        return clipped(complaint_, width);
    }
    if (level_ != Level::kServices) {
        const ServiceFigures* one = service();
        text = one == nullptr ? "(gone)" : one->total.name;
        text += level_ == Level::kEndpoints ? " > " + version_name_ : "";
        text += paused_ ? "  PAUSED" : "";
        return clipped(text, width);
    }
    text = fmt::format("sluice top{}  generation {}  ejected {}", paused_ ? "  PAUSED" : "", header_.generation,
                       header_.ejected);
    text += header_.shown < header_.services ? fmt::format("  {} of {} services", header_.shown, header_.services)
                                             : fmt::format("  {} services", header_.services);
    return clipped(text + (header_.watching ? "" : "  not watching answers") + "  every " + interval_, width);
}

std::vector<FrameLine> TopView::frame(std::size_t width, std::size_t height) {
    std::vector<FrameLine> out;
    if (width == 0 || height == 0) {
        return out;
    }
    out.push_back({header(width), complaint_.empty() ? LineStyle::kHeader : LineStyle::kBad});
    if (help_) {
        for (const Column& column : columns()) {
            out.push_back({clipped(fmt::format("{:<8} {}", column.title, column.meaning), width)});
        }
        out.push_back({clipped(kKeys, width), LineStyle::kHeader});
        out.resize(std::min(out.size(), height));
        return out;
    }
    const std::vector<const Figures*> all = lines();
    const Grid grid = fit(columns(), widest(all), width);
    if (height > 1) {
        out.push_back({title_line(grid, level_ == Level::kEndpoints ? endpoint_sort_ : sort_), LineStyle::kTitle});
    }
    page_ = height > 4 ? height - 3 : 1;
    const std::size_t chosen = selected(all);
    selected_at_ = chosen;
    first_ = std::min(first_, chosen);
    first_ = chosen >= first_ + page_ ? chosen + 1 - page_ : first_;
    for (std::size_t i = first_; i < all.size() && out.size() < height && i < first_ + page_; ++i) {
        const LineStyle style = i == chosen      ? LineStyle::kSelected
                                : bad(*all[i])   ? LineStyle::kBad
                                : quiet(*all[i]) ? LineStyle::kQuiet
                                                 : LineStyle::kPlain;
        out.push_back({text_line(grid, *all[i]), style});
    }
    if (all.empty() && out.size() < height) {
        out.push_back({clipped("nothing to show", width)});
    }
    if (height > 4) {
        out.resize(height - 1);
        out.push_back(
            {clipped(std::string_view(kKeys).size() <= width ? kKeys : kKeysShort, width), LineStyle::kHeader});
    }
    return out;
}

std::string plain_block(const TopHeader& header, std::vector<ServiceFigures> services, const std::string& time) {
    sort_services(services, ColumnId::kRate, false);
    std::vector<const Figures*> all;
    for (const ServiceFigures& service : services) {
        all.push_back(&service.total);
        for (const Figures& version : service.versions) {
            if (has_versions(service)) {
                all.push_back(&version);
            }
        }
    }
    const Grid grid = fit(service_columns(), widest(all), 4096);
    std::string out =
        fmt::format("{}  generation {}  ejected {}  {} of {} services{}\n", time, header.generation, header.ejected,
                    header.shown, header.services, header.watching ? "" : "  not watching answers");
    out += title_line(grid, std::nullopt) + "\n";
    for (const Figures* line : all) {
        out += text_line(grid, *line) + "\n";
    }
    return out;
}

}  // namespace sluice::ctl
