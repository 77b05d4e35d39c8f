// The `sluice` command.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "ctl/session.h"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // an agent that goes away is an error to report; so is a closed pager
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    const bool colour = terminal && std::getenv("NO_COLOR") == nullptr;
    const int code =
        sluice::ctl::run(argc, argv, std::cout, std::cerr, colour, terminal && ::isatty(STDIN_FILENO) == 1);
    std::cout.flush();
    return code;
}
