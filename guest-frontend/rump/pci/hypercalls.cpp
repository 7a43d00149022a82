// SPDX-License-Identifier: BSD-2-Clause
// The calls of NetBSD's PCI bus, and those for memory, which are librumpuser's where no VF is named.
#include <dlfcn.h>

#include <exception>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/rump/ixv/hypercalls.h"
#include "guest-frontend/rump/pci/contract.h"
#include "guest-frontend/rump/pci/pci_bus.hpp"

using namespace librettos::guest;

namespace {

constexpr int netbsd_enxio = 6, netbsd_enomem = 12, netbsd_einval = 22, netbsd_eio = 5;

template <typename Function>
Function* next(char const* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

int rumpcomp_pci_confread(unsigned bus, unsigned device, unsigned function, int offset, unsigned* value) {
    VfioFunction const* const found = pci_bus().function_at(bus, device, function);
    *value = found == nullptr ? ~0u : found->read_config(static_cast<unsigned>(offset));
    return found == nullptr ? netbsd_enxio : 0;
}

int rumpcomp_pci_confwrite(unsigned bus, unsigned device, unsigned function, int offset, unsigned value) {
    VfioFunction* const found = pci_bus().function_at(bus, device, function);
    if (found == nullptr) {
        return netbsd_enxio;
    }
    try {
        found->write_config(static_cast<unsigned>(offset), value);
        return 0;
    } catch (std::exception const& error) {
        say(error.what());
        return netbsd_eio;
    }
}

void* rumpcomp_pci_map(unsigned long bus_address, unsigned long bytes) {
    VfioFunction* const function = pci_bus().function_at(0, 0, 0);
    return function == nullptr ? nullptr : function->map(bus_address, bytes);
}

unsigned rumpcomp_librettos_msix_vectors(unsigned bus, unsigned device, unsigned function) {
    VfioFunction const* const found = pci_bus().function_at(bus, device, function);
    return found == nullptr ? 0 : found->vectors();
}

int rumpcomp_pci_irq_map(unsigned bus, unsigned device, unsigned function, int vector, unsigned handle) {
    bool const named = pci_bus().function_at(bus, device, function) != nullptr &&
                       pci_bus().name_vector(handle, static_cast<unsigned>(vector));
    return named ? 0 : netbsd_einval;
}

void* rumpcomp_pci_irq_establish(unsigned handle, int (*handler)(void*), void* argument) {
    return pci_bus().establish(handle, handler, argument);
}

int rumpcomp_pci_dmalloc(std::size_t bytes, std::size_t alignment, unsigned long* bus_address, unsigned long* cookie) {
    void* const memory = pci_bus().memory().allocate(bytes, alignment);
    if (memory == nullptr) {
        return netbsd_enomem;
    }
    *bus_address = pci_bus().memory().bus_address(memory);
    *cookie = reinterpret_cast<unsigned long>(memory);
    return 0;
}

void rumpcomp_pci_dmafree(unsigned long cookie, std::size_t bytes) {
    pci_bus().memory().free(reinterpret_cast<void*>(cookie), bytes);
}

// What was allocated is one piece, and in this process already.
int rumpcomp_pci_dmamem_map(rumpcomp_pci_dmaseg* segments, std::size_t count, std::size_t, void** place) {
    if (count != 1) {
        return netbsd_einval;
    }
    *place = reinterpret_cast<void*>(segments[0].cookie);
    return 0;
}

// Memory that the device must not reach gets an address at which it finds none.
unsigned long rumpcomp_pci_virt_to_mach(void* memory) {
    DmaMemory const& known = pci_bus().memory();
    return known.owns(memory) ? known.bus_address(memory) : 0;
}

int rumpuser_malloc(std::size_t bytes, int alignment, void** memory) {
    if (!pci_bus().has_function()) {
        static auto* const real = next<decltype(rumpuser_malloc)>("rumpuser_malloc");
        return real(bytes, alignment, memory);
    }
    *memory = pci_bus().memory().allocate(bytes, static_cast<std::size_t>(alignment));
    return *memory == nullptr ? netbsd_enomem : 0;
}

void rumpuser_free(void* memory, std::size_t bytes) {
    if (!pci_bus().has_function()) {
        static auto* const real = next<decltype(rumpuser_free)>("rumpuser_free");
        return real(memory, bytes);
    }
    pci_bus().memory().free(memory, bytes);
}
