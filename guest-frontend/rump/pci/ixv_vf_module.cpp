// SPDX-License-Identifier: BSD-2-Clause
// The VF of this process' rump kernel, for the interface's component and for the kernel's half.
#include <exception>
#include <memory>
#include <mutex>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/rump/ixv/hypercalls.h"
#include "guest-frontend/rump/pci/ixv_vf.hpp"
#include "guest-frontend/rump/pci/ixv_vf_module.h"
#include "guest-frontend/rump/pci/pci_bus.hpp"

using namespace librettos::guest;

namespace {

constexpr unsigned memory_register = 0x10, kind_bits = 0xF, register_bytes = 0x4000;

std::mutex used;  // guards the next: a frame may just be on its way in
IxvVf* current = nullptr;

}  // namespace

lvif_vf* librettos_ixv_vf_create(char const* pci_address) {
    VfioFunction* const function = pci_bus().driven(pci_address);
    if (function == nullptr) {
        return nullptr;
    }
    try {
        void* const registers = function->map(function->read_config(memory_register) & ~kind_bits, register_bytes);
        if (registers == nullptr) {
            return nullptr;
        }
        auto made = std::make_unique<IxvVf>(pci_address, static_cast<std::uint32_t const volatile*>(registers));
        std::lock_guard const lock(used);
        current = made.release();
        Vf* const vf = current;
        return reinterpret_cast<lvif_vf*>(vf);
    } catch (std::exception const& error) {
        say(error.what());
        return nullptr;
    }
}

void librettos_ixv_vf_destroy(lvif_vf* vf) {
    {
        std::lock_guard const lock(used);
        current = nullptr;
    }
    delete reinterpret_cast<Vf*>(vf);
}

void rumpcomp_librettos_ixv_received(iovec const* parts, unsigned n) {
    std::lock_guard const lock(used);
    if (current != nullptr) {
        current->received(parts, n);
    }
}
