// The `sluice` command.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "ctl/session.h"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // an agent that goes away is an error to report; so is a closed pager
    const bool colour = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    const int code = sluice::ctl::run(argc, argv, std::cout, std::cerr, colour);
    std::cout.flush();
    return code;
}
