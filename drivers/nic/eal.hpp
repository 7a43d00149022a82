// SPDX-License-Identifier: BSD-2-Clause
// DPDK's environment (EAL) in the holder. The only place that calls rte_eal_init.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "drivers/machine_addresses.hpp"
#include "drivers/nic/dma_memory.hpp"
#include "drivers/nic/machine_heap.hpp"
#include "drivers/nic/pci_device.hpp"
#include "drivers/nic/port_options.hpp"

namespace librettos {

// The arguments for rte_eal_init, program name first; with machine addresses the device is left out, to be probed
// later.
std::vector<std::string> eal_arguments(PortOptions const& port, bool machine_addresses = false);

// True when a forked child's writes to DPDK memory are seen here. EAL must be up. Where memfd_create fails
// DPDK maps its memory privately without a word, and the engine would work on a copy of its own.
bool eal_memory_survives_fork();

// One per process. Throws NicError with what is missing and the command that mends it.
class Eal {
  public:
    // `queues` as for Port. `open` gives machine addresses, in a Xen PV domain.
    explicit Eal(PortOptions const& port, std::uint16_t queues = 1, OpenMachineAddresses open = nullptr);
    ~Eal();
    Eal(Eal const&) = delete;
    Eal& operator=(Eal const&) = delete;

    // Descriptors that were open before DPDK probed its devices.
    std::set<int> const& fds_before() const { return fds_before_; }

    // Where memory for the port comes from: a socket of DPDK's. `own` is the port's.
    int ring_socket(int own) const { return heap_ ? heap_->ring_socket() : own; }
    int buffer_socket(int own) const { return heap_ ? heap_->buffer_socket() : own; }

    // Interrupts of the port's queues can be waited for.
    bool has_queue_interrupts() const { return claim_ == nullptr; }

    // Why the NIC would write to wrong addresses if it went on, looking at all memory or at the next part of it; empty:
    // it would not. Only in a Xen PV domain there is anything to look at.
    std::string memory_fault(bool all) const;

  private:
    void claim(std::string const& address);
    void allocate(PortOptions const& port, std::uint16_t queues, OpenMachineAddresses open);
    void start(PortOptions const& port);
    void attach(std::string const& device);

    std::set<int> fds_before_;
    std::unique_ptr<PciClaim> claim_;    // of a device bound to uio
    std::unique_ptr<DmaMemory> dma_;     // in a Xen PV domain
    std::unique_ptr<MachineHeap> heap_;  // likewise
};

}  // namespace librettos
