// SPDX-License-Identifier: BSD-2-Clause
// Hands memory to DPDK as external heaps.
#include "drivers/nic/machine_heap.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "drivers/nic/machine_iova.hpp"
#include "drivers/nic/preflight.hpp"

namespace librettos {
namespace {

constexpr char ring_heap[] = "machine_rings";
constexpr char buffer_heap[] = "machine_buffers";

[[noreturn]] void fail(std::string const& what) {
    throw NicError("DPDK does not take the memory for the NIC (" + what + ": " + rte_strerror(rte_errno) + ")");
}

int forget_address(rte_memseg_list const* list, rte_memseg const* segment, void*) {
    if (list->external == 0) {
        const_cast<rte_memseg*>(segment)->iova = RTE_BAD_IOVA;
    }
    return 0;
}

int create(char const* name) {
    if (rte_malloc_heap_create(name) != 0) {
        fail(name);
    }
    return rte_malloc_heap_get_socket(name);
}

void add(DmaRegion const& region) {
    std::vector<rte_iova_t> addresses;
    for (auto const frame : region.machine_frames) {
        addresses.push_back(frame * page_bytes);
    }
    char const* const heap = region.contiguous ? ring_heap : buffer_heap;
    if (rte_malloc_heap_memory_add(heap, region.address, addresses.size() * page_bytes, addresses.data(),
                                   static_cast<unsigned>(addresses.size()), page_bytes) != 0) {
        fail(heap);
    }
}

}  // namespace

MachineHeap::MachineHeap(DmaMemory const& memory) {
    use_machine_addresses();
    rte_memseg_walk(forget_address, nullptr);
    ring_socket_ = create(ring_heap);
    buffer_socket_ = create(buffer_heap);
    for (auto const& region : memory.regions()) {
        add(region);
    }
}

ContiguousNeed ring_memory(unsigned queue_pairs) {
    // Rings of 4,096 descriptors of 16 or 32 bytes, and what a driver keeps beside them.
    constexpr std::size_t pages_per_pair = (std::size_t{1} << 20) / page_bytes;
    constexpr std::size_t run = (std::size_t{256} << 10) / page_bytes;
    return {std::max(1U, queue_pairs) * pages_per_pair, run};
}

bool takes_memory_by_socket(std::string const& driver) {
    constexpr std::array<std::string_view, 5> read{"net_e1000_em", "net_e1000_igb", "net_e1000_igb_vf", "net_ixgbe",
                                                   "net_ixgbe_vf"};
    return std::find(read.begin(), read.end(), driver) != read.end();
}

}  // namespace librettos
