#include "ctl/top_screen.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace sluice::ctl {

namespace {

constexpr int kEscapeWaitMs = 25;  // a lone ESC is a key, not the begin of an arrow
constexpr short kRed = 1;

std::optional<TopKey> meaning(int code) {
    switch (code) {
        case KEY_UP:
        case 'k':
            return TopKey::kUp;
        case KEY_DOWN:
        case 'j':
            return TopKey::kDown;
        case KEY_PPAGE:
            return TopKey::kPageUp;
        case KEY_NPAGE:
            return TopKey::kPageDown;
        case KEY_HOME:
        case 'g':
            return TopKey::kHome;
        case KEY_END:
        case 'G':
            return TopKey::kEnd;
        case '\n':
        case '\r':
        case KEY_ENTER:
            return TopKey::kEnter;
        case 27:
        case 127:
        case 'b':
        case KEY_BACKSPACE:
            return TopKey::kBack;
        case '<':
        case KEY_LEFT:
            return TopKey::kSortLeft;
        case '>':
        case KEY_RIGHT:
            return TopKey::kSortRight;
        case 'r':
            return TopKey::kReverse;
        case ' ':
        case 'p':
            return TopKey::kPause;
        case '?':
        case 'h':
            return TopKey::kHelp;
        case 'q':
        case 'Q':
            return TopKey::kQuit;
        default:
            return std::nullopt;
    }
}

attr_t attributes(LineStyle style, bool colour) {
    switch (style) {
        case LineStyle::kPlain:
            return A_NORMAL;
        case LineStyle::kHeader:
        case LineStyle::kTitle:
            return A_BOLD;
        case LineStyle::kSelected:
            return A_REVERSE;
        case LineStyle::kBad:
            return colour ? static_cast<attr_t>(COLOR_PAIR(kRed)) : A_BOLD;
        case LineStyle::kQuiet:
            return A_DIM;
    }
    return A_NORMAL;
}

}  // namespace

struct TopScreen::Terminal {
    SCREEN* screen = nullptr;
    bool colour = false;

    ~Terminal() {
        ::endwin();
        ::delscreen(screen);
    }
};

TopScreen::TopScreen(std::unique_ptr<Terminal> terminal) : terminal_(std::move(terminal)) {}
TopScreen::TopScreen(TopScreen&&) noexcept = default;
TopScreen::~TopScreen() = default;

Result<TopScreen> TopScreen::open(bool colour) {
    ::set_escdelay(kEscapeWaitMs);
    SCREEN* screen = ::newterm(nullptr, stdout, stdin);
    if (screen == nullptr) {
        return fail("this terminal cannot show a screen (TERM is not set, or not known)");
    }
    auto terminal = std::make_unique<Terminal>();
    terminal->screen = screen;
    ::cbreak();
    ::noecho();
    ::keypad(stdscr, TRUE);
    ::nodelay(stdscr, TRUE);
    ::curs_set(0);
    if (colour && ::has_colors() && ::start_color() == OK && ::use_default_colors() == OK) {
        terminal->colour = ::init_pair(kRed, COLOR_RED, -1) == OK;
    }
    return TopScreen(std::move(terminal));
}

std::size_t TopScreen::width() const {
    return static_cast<std::size_t>(::getmaxx(stdscr));
}

std::size_t TopScreen::height() const {
    return static_cast<std::size_t>(::getmaxy(stdscr));
}

void TopScreen::resize() {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        ::resizeterm(size.ws_row, size.ws_col);
        ::clearok(stdscr, TRUE);
    }
}

void TopScreen::draw(const std::vector<FrameLine>& frame) {
    const std::size_t columns = width();
    ::werase(stdscr);
    for (std::size_t i = 0; i < frame.size(); ++i) {
        std::string text = frame[i].text;
        if (frame[i].style == LineStyle::kSelected) {
            text.resize(columns, ' ');
        }
        ::wattrset(stdscr, static_cast<int>(attributes(frame[i].style, terminal_->colour)));
        // The last cell of the screen cannot be written without scrolling: an error that shows nothing wrong.
        ::mvwaddnstr(stdscr, static_cast<int>(i), 0, text.c_str(), static_cast<int>(columns));
    }
    ::wattrset(stdscr, A_NORMAL);
    ::wrefresh(stdscr);
}

std::optional<TopKey> TopScreen::key() {
    for (;;) {
        pollfd input{STDIN_FILENO, POLLIN, 0};
        const bool readable = ::poll(&input, 1, 0) > 0;
        const int code = ::wgetch(stdscr);
        if (code == ERR) {
            gone_ = gone_ || readable;  // readable, and nothing to read: its other end is closed
            return std::nullopt;
        }
        if (const auto key = meaning(code)) {
            return key;
        }
    }
}

}  // namespace sluice::ctl
