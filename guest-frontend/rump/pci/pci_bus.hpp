// SPDX-License-Identifier: BSD-2-Clause
// The PCI bus of this process' rump kernel: one function at 0:0.0, the VF that LIBRETTOS_VF names, or none.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "guest-frontend/rump/pci/dma_memory.hpp"
#include "guest-frontend/rump/pci/interrupt_thread.hpp"
#include "guest-frontend/rump/pci/vfio_function.hpp"

namespace librettos::guest {

class PciBus {
  public:
    // pci_address: of the function; "none" or empty: none. Nothing is done with it before the bus is looked at.
    explicit PciBus(std::string pci_address) : pci_address_(std::move(pci_address)) {}

    bool has_function() const { return !pci_address_.empty() && pci_address_ != "none"; }
    DmaMemory& memory() { return memory_; }
    // Opened by the first call. Null: there is none; why not has been said.
    VfioFunction* function_at(unsigned bus, unsigned device, unsigned function);

    bool name_vector(unsigned handle, unsigned vector);
    void* establish(unsigned handle, int (*handler)(void*), void* argument);

    // A driver of the kernel's has this function, and handles its interrupts. Null: no; the bus then lets go of what no
    // driver has, for another one in this process.
    VfioFunction* driven(std::string const& pci_address);

  private:
    std::string const pci_address_;
    DmaMemory memory_;
    std::mutex mutex_;  // guards what follows
    bool opened_ = false;
    std::optional<VfioFunction> function_;
    std::map<unsigned, unsigned> vectors_;  // by handle
    std::vector<std::unique_ptr<InterruptThread>> threads_;
};

// This process'. Its memory is the kernel's as long as there is a kernel, so it never goes.
PciBus& pci_bus();

}  // namespace librettos::guest
