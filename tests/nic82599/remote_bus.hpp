// SPDX-License-Identifier: BSD-2-Clause
// The bus of a NIC that lives in a device process. Survives fork: a child opens a connection of its own on first use
// and shares its parent's I/O mappings, as it would share a VFIO container.
#pragma once

#include <string>

#include "tests/nic82599/bus.hpp"
#include "tests/nic82599/bus_protocol.hpp"

namespace nic82599 {

class RemoteBus final : public Bus {
  public:
    // One per process. `folder` is the device process'.
    explicit RemoteBus(std::string folder);

    // All ones when the device process is gone.
    std::uint32_t read(Function function, reg::Offset offset) override;
    void write(Function function, reg::Offset offset, std::uint32_t value) override;
    void reset(Function function) override;
    void attach(Function function) override;
    void set_interrupt(Function function, unsigned vector, int eventfd) override;
    // The memory must be of a file that this process has open: DPDK's is. EINVAL otherwise.
    int map(std::uint64_t io_address, void* memory, std::size_t size) override;
    std::size_t unmap(std::uint64_t io_address, std::size_t size) override;

  private:
    BusReply call(BusRequest const& request, int descriptor = -1);
    bool connect();

    std::string path_;
    std::uint64_t domain_ = 0;
};

}  // namespace nic82599
