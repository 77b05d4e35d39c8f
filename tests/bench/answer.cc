// The server of the benchmark: `answer PORT THREADS` answers one question a connection on every IPv4 address of its
// network namespace, until it is killed. Prints `listening` once it is.
#include <thread>
#include <vector>

#include "tests/bench/tools.h"
#include "tests/bench/wire.h"

namespace {

using sluice::bench::Answer;
using sluice::bench::listen_on;
using sluice::bench::Question;

void serve(int listener) {
    while (true) {
        sockaddr_in self{};
        socklen_t size = sizeof(self);
        int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        Question question{};
        if (recv(fd, &question, sizeof(question), MSG_WAITALL) == sizeof(question) &&
            getsockname(fd, reinterpret_cast<sockaddr*>(&self), &size) == 0) {
            Answer answer{question.nonce, self.sin_addr.s_addr, 0};
            send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
        }
        close(fd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: answer PORT THREADS\n", stderr);
        return 2;
    }
    auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    std::vector<std::thread> threads;
    for (int i = std::atoi(argv[2]); i > 0; --i) {
        threads.emplace_back(serve, listen_on(port, 0));
    }
    std::puts("listening");
    std::fflush(stdout);
    for (auto& thread : threads) {
        thread.join();
    }
}
