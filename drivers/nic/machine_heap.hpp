// SPDX-License-Identifier: BSD-2-Clause
// DPDK on machine addresses: its heaps of DmaMemory, and what it is told about addresses from then on.
//
// DPDK without huge pages (a PV domain has none) has no physical addresses: it starts with virtual ones and refuses uio
// devices. So, once it is up, its questions about addresses are answered here (machine_iova.cpp), its ordinary memory
// loses its addresses, so that no device can be told any of them, and memory for devices comes from two heaps of ours:
// descriptor rings from one whose regions are contiguous in the machine (without huge pages DPDK takes all memory for
// contiguous and does not look), buffers from one of single pages, which a mempool asks about one by one.
#pragma once

#include <string>

#include "drivers/nic/dma_memory.hpp"

namespace librettos {

// For the life of the process.
class MachineHeap {
  public:
    // EAL is up, no device is. Throws NicError.
    explicit MachineHeap(DmaMemory const& memory);

    int ring_socket() const { return ring_socket_; }
    int buffer_socket() const { return buffer_socket_; }

  private:
    int ring_socket_ = 0, buffer_socket_ = 0;
};

// What the descriptor rings of so many queue pairs take.
ContiguousNeed ring_memory(unsigned queue_pairs);

// Drivers whose allocations have been read: they take all that a device sees from the socket that a queue is set up on.
bool takes_memory_by_socket(std::string const& driver);

}  // namespace librettos
