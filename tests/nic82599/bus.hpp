// SPDX-License-Identifier: BSD-2-Clause
// The PCI side of the NIC as the fake VFIO uses it: in this process (LocalBus) or in a device process (RemoteBus).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/registers.hpp"

namespace nic82599 {

class Bus {
  public:
    virtual ~Bus() = default;

    virtual std::uint32_t read(Function function, reg::Offset offset) = 0;
    virtual void write(Function function, reg::Offset offset, std::uint32_t value) = 0;
    virtual void reset(Function function) = 0;
    // The function's DMA goes through this process' I/O mappings from now on.
    virtual void attach(Function function) = 0;
    // An eventfd to write to for the vector; the descriptor stays the caller's. -1: none.
    virtual void set_interrupt(Function function, unsigned vector, int eventfd) = 0;
    // 0 or an errno value.
    virtual int map(std::uint64_t io_address, void* memory, std::size_t size) = 0;
    // How many bytes are mapped no more.
    virtual std::size_t unmap(std::uint64_t io_address, std::size_t size) = 0;
};

}  // namespace nic82599
