// SPDX-License-Identifier: BSD-2-Clause
// The server under test: the product's data thread, with its loop, classifier and checks, between the in-memory port
// and the rings of the benchmark's guests.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daemon/engine/datapath/data_thread.hpp"
#include "tests/bench/guest_devices.hpp"
#include "tests/bench/traffic.hpp"

namespace librettos::bench {

class ServerSide {
  public:
    // All outlive the object. `pool`: for frames from guests.
    ServerSide(Traffic const& traffic, std::span<std::unique_ptr<GuestDevice> const> guests, std::uint16_t port_id,
               rte_mempool* pool);
    ~ServerSide();
    ServerSide(ServerSide const&) = delete;
    ServerSide& operator=(ServerSide const&) = delete;

    // As DataThread::run() does it, without sleep: turns and, every so often, housekeeping.
    void turns();

    // Sums over all guests and the wire; read by any thread.
    std::uint64_t total(Counter counter) const;
    std::uint64_t drops() const;  // of all names

  private:
    class Doorbell;

    PortDescription port_;
    std::unique_ptr<InFlight> in_flight_;
    std::unique_ptr<ThreadStats> stats_;
    std::vector<std::uint64_t> cells_;
    std::vector<std::unique_ptr<Doorbell>> doorbells_;
    std::vector<std::unique_ptr<Guest>> guests_;
    int acknowledge_fd_ = -1;
    std::unique_ptr<DataThread> thread_;
};

NetworkIdentity network_identity();

}  // namespace librettos::bench
