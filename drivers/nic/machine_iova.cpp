// SPDX-License-Identifier: BSD-2-Clause
// Four functions of DPDK's, defined in the program, which exports them (librettos_nic's link options), so that DPDK's
// libraries and drivers find them before their own. Until use_machine_addresses() they do what DPDK's do.
#include "drivers/nic/machine_iova.hpp"

#include <dlfcn.h>

#include <cstdlib>

#include <rte_eal.h>
#include <rte_memory.h>

namespace {

bool machine_addresses = false;

template <typename Function>
Function* dpdks(char const* name) {
    void* const found = dlsym(RTLD_NEXT, name);
    if (found == nullptr) {
        std::abort();  // linked with another DPDK than compiled with
    }
    return reinterpret_cast<Function*>(found);
}

// A page that is not of our heaps has no address that a device may be told.
rte_iova_t machine_address(void const* memory) {
    rte_memseg const* const segment = rte_mem_virt2memseg(memory, nullptr);
    if (segment == nullptr || segment->iova == RTE_BAD_IOVA) {
        return RTE_BAD_IOVA;
    }
    return segment->iova +
           static_cast<rte_iova_t>(static_cast<char const*>(memory) - static_cast<char const*>(segment->addr));
}

}  // namespace

void librettos::use_machine_addresses() {
    machine_addresses = true;
}

extern "C" {

int rte_eal_using_phys_addrs(void) {
    static auto* const original = dpdks<int()>("rte_eal_using_phys_addrs");
    return machine_addresses ? 1 : original();
}

enum rte_iova_mode rte_eal_iova_mode(void) {
    static auto* const original = dpdks<enum rte_iova_mode()>("rte_eal_iova_mode");
    return machine_addresses ? RTE_IOVA_PA : original();
}

rte_iova_t rte_mem_virt2iova(void const* memory) {
    static auto* const original = dpdks<rte_iova_t(void const*)>("rte_mem_virt2iova");
    return machine_addresses ? machine_address(memory) : original(memory);
}

phys_addr_t rte_mem_virt2phy(void const* memory) {
    static auto* const original = dpdks<phys_addr_t(void const*)>("rte_mem_virt2phy");
    return machine_addresses ? machine_address(memory) : original(memory);
}
}
