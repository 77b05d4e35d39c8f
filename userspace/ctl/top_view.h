// The screen of `sluice top` without a terminal: keys and answers in, lines out. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ctl/columns.h"
#include "ctl/figures.h"

namespace sluice::ctl {

enum class TopKey {
    kUp,
    kDown,
    kPageUp,
    kPageDown,
    kHome,
    kEnd,
    kEnter,
    kBack,
    kSortLeft,
    kSortRight,
    kReverse,
    kPause,
    kHelp,
    kQuit,
};

enum class LineStyle { kPlain, kHeader, kTitle, kSelected, kBad, kQuiet };

struct FrameLine {
    std::string text;  // ASCII, never wider than was asked for
    LineStyle style = LineStyle::kPlain;
};

// What of an answer is not in its services.
struct TopHeader {
    std::uint64_t generation = 0, ejected = 0, services = 0, shown = 0;
    bool watching = false;
};
TopHeader top_header(const Json& answer);

// Three levels: all services with their versions, one service's versions, one version's endpoints. The selected line
// stays selected when lines move.
class TopView {
  public:
    explicit TopView(std::string interval) : interval_(std::move(interval)) {}

    void show(const TopHeader& header, std::vector<ServiceFigures> services);
    void show_endpoints(std::vector<Figures> endpoints) { endpoints_ = std::move(endpoints); }
    // What went wrong with the last question; empty: nothing.
    void complain(std::string text) { complaint_ = std::move(text); }

    // False: the user wants to leave.
    bool press(TopKey key);
    bool paused() const { return paused_; }
    // The version whose endpoints are wanted; null: none.
    const ServiceFigures* service() const;
    const std::string& subset() const { return subset_; }
    bool wants_endpoints() const { return level_ == Level::kEndpoints; }

    // `height` lines at most.
    std::vector<FrameLine> frame(std::size_t width, std::size_t height);

  private:
    enum class Level { kServices, kVersions, kEndpoints };

    const std::vector<Column>& columns() const;
    std::vector<const Figures*> lines() const;
    void add_service(const ServiceFigures& service, bool sorted, std::vector<const Figures*>& out) const;
    std::size_t selected(const std::vector<const Figures*>& lines) const;
    void move(long by);
    void enter();
    void back();
    void sort_by(int step);
    std::string header(std::size_t width) const;

    std::string interval_, complaint_;
    TopHeader header_;
    std::vector<ServiceFigures> services_;
    std::vector<Figures> endpoints_;
    Level level_ = Level::kServices;
    std::string service_key_, subset_, version_name_;  // what was drilled into
    std::string selected_key_;                         // empty: the first line
    std::size_t selected_at_ = 0;                      // where it was
    std::size_t first_ = 0, page_ = 1;                 // of the lines on the screen
    ColumnId sort_ = ColumnId::kRate, endpoint_sort_ = ColumnId::kName;
    bool reverse_ = false, paused_ = false, help_ = false;
};

// One block of `sluice top` for pipes: titles and all lines, as wide as they are.
std::string plain_block(const TopHeader& header, std::vector<ServiceFigures> services, const std::string& time);

}  // namespace sluice::ctl
