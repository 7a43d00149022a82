// SPDX-License-Identifier: BSD-2-Clause
// Memory for a NIC's DMA in a Xen PV domain, each page of which has been proved to be where the NIC will look for it.
//
// Theory of operation. The kernel's frame numbers (/proc/self/pagemap) are the domain's own, the NIC's are the
// machine's. The hypervisor's machine-to-physical table has for each machine frame what its domain calls it; turned
// round it gives candidates, since every domain counts from 0. The proof: a number that nobody else knows is written
// into each page, and read again through a mapping of the machine frame; twice, with different numbers. Then the table
// is asked once more. Only when all pages pass are their addresses handed out.
//
// Pages are pinned (locked_memory.hpp), so nothing moves them. That is looked at again before each engine and, some
// pages at a time, once a second: when an address is not right any more, the process must end before the NIC uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "drivers/machine_addresses.hpp"
#include "drivers/nic/locked_memory.hpp"
#include "drivers/nic/page_runs.hpp"

namespace librettos {

struct DmaRegion {
    std::byte* address = nullptr;
    std::vector<std::uint64_t> frames;          // as the kernel counts
    std::vector<std::uint64_t> machine_frames;  // page by page
    bool contiguous = false;                    // in the machine
};

// The machine frame of each page of `memory`, whose frames the kernel calls `frames`. Throws DmaRefused when one cannot
// be proved, std::system_error. Overwrites the memory.
std::vector<std::uint64_t> prove_machine_frames(std::span<std::byte> memory, std::span<std::uint64_t const> frames,
                                                MachineAddresses& machine);

class DmaMemory {
  public:
    // Throws DmaRefused, with what to do.
    DmaMemory(LockedMemory memory, ContiguousNeed need, std::unique_ptr<MachineAddresses> machine);

    // Those that are contiguous first; then one of all other pages.
    std::vector<DmaRegion> const& regions() const { return regions_; }
    int pin_fd() const { return memory_.pin_fd(); }

    // Why the addresses are not right any more, of all pages or of the next few; empty: they are.
    std::string fault_anywhere() const;
    std::string fault_in_next(std::size_t pages);

  private:
    std::string fault_in(DmaRegion const& region, std::size_t first, std::size_t pages) const;

    LockedMemory memory_;
    std::unique_ptr<MachineAddresses> machine_;
    std::vector<DmaRegion> regions_;
    std::size_t next_region_ = 0, next_page_ = 0;
};

}  // namespace librettos
