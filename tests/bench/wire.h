// What client and server of the benchmark say to each other on one connection.
#pragma once

#include <cstdint>

namespace sluice::bench {

// Client to server, in host byte order: both ends run on one machine.
struct Question {
    std::uint64_t nonce;
};

// Server to client: the nonce again and the address at which the connection arrived, so that the client knows which
// endpoint it got.
struct Answer {
    std::uint64_t nonce;
    std::uint32_t endpoint;  // IPv4 address, network byte order
    std::uint32_t zero;
};

}  // namespace sluice::bench
