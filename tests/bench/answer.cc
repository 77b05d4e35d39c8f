// The server of the benchmark: `answer PORT THREADS` answers one question a connection on every IPv4 address of its
// network namespace, until it is killed. Prints `listening` once it is.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/bench/wire.h"

namespace {

using sluice::bench::Answer;
using sluice::bench::Question;

int listen_on(std::uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(fd, 1024) != 0) {
        std::perror("answer: listen");
        std::exit(1);
    }
    return fd;
}

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
        threads.emplace_back(serve, listen_on(port));
    }
    std::puts("listening");
    std::fflush(stdout);
    for (auto& thread : threads) {
        thread.join();
    }
}
