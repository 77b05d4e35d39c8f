// What the numbers in capture records mean: services by record number, clients by cgroup.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/ip.h"
#include "compile/publisher.h"
#include "daemon/client_paths.h"
#include "proxy/proxy.h"
#include "sluice/abi/conn.h"

namespace sluice::daemon {

// Thread-safe: the control side writes, workers read, and never wait for the publisher.
class CaptureBook {
  public:
    CaptureBook();

    // The services of the proxy lane, when a generation is in force.
    void set_services(const proxy::Table& table, const compile::Publisher& publisher);
    // Before the kernel knows them, so that no record names one that is not here.
    void set_clients(const ClientPaths::Resolved& clients);

    // What a connection from `address` had dialled, and who asks. A service that is not known here (it came or went
    // this moment) leaves the host empty: the Host field decides.
    proxy::Dialled read(const sl_capture& capture, const IpAddress& address) const;

  private:
    struct Service {
        std::string host;
        std::uint16_t port = 0;
    };
    using Services = std::unordered_map<std::uint32_t, Service>;
    using Clients = std::unordered_map<std::uint64_t, proxy::Client>;

    mutable std::mutex mutex_;
    // Replaced, never changed.
    std::shared_ptr<const Services> services_ = std::make_shared<const Services>();
    std::shared_ptr<const Clients> clients_ = std::make_shared<const Clients>();
    proxy::Client unknown_;
};

}  // namespace sluice::daemon
