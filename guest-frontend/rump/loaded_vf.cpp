// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/loaded_vf.hpp"

#include <dlfcn.h>

#include <new>
#include <stdexcept>

#include "guest-frontend/dpdk/lvif_dpdk.h"
#include "guest-frontend/rump/pci/ixv_vf_module.h"

namespace librettos::guest {

namespace {

constexpr char module_name[] = "librettos-vf-dpdk.so";

template <typename Function>
Function* function_of(void* module, char const* name) {
    auto* const function = reinterpret_cast<Function*>(dlsym(module, name));
    if (function == nullptr) {
        throw std::runtime_error(std::string(module_name) + " has no " + name + ": it is of another version");
    }
    return function;
}

void (*destroy_of_module)(lvif_vf*) = nullptr;

LoadedVf loaded(lvif_vf* vf) {
    return {reinterpret_cast<Vf*>(vf), [](Vf* used) { destroy_of_module(reinterpret_cast<lvif_vf*>(used)); }};
}

// Null: no driver of the kernel's has it, or the kernel has no PCI bus.
lvif_vf* vf_of_kernel(std::string const& pci_address) {
    auto* const create =
        reinterpret_cast<decltype(librettos_ixv_vf_create)*>(dlsym(RTLD_DEFAULT, "librettos_ixv_vf_create"));
    lvif_vf* const vf = create == nullptr ? nullptr : create(pci_address.c_str());
    if (vf != nullptr) {
        destroy_of_module = function_of<decltype(librettos_ixv_vf_destroy)>(RTLD_DEFAULT, "librettos_ixv_vf_destroy");
    }
    return vf;
}

}  // namespace

// The module stays: DPDK has threads.
LoadedVf load_vf(std::string const& pci_address) {
    if (pci_address == "none") {
        return {nullptr, [](Vf*) {}};
    }
    if (lvif_vf* const vf = vf_of_kernel(pci_address); vf != nullptr) {
        return loaded(vf);
    }
    void* const module = dlopen(module_name, RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) {
        throw std::runtime_error("no VF " + pci_address + ": " + dlerror() +
                                 "; it is installed beside this component, and needs DPDK");
    }
    destroy_of_module = function_of<decltype(lvif_dpdk_vf_destroy)>(module, "lvif_dpdk_vf_destroy");
    lvif_vf* const vf = function_of<decltype(lvif_dpdk_vf_create)>(module, "lvif_dpdk_vf_create")(pci_address.c_str());
    if (vf == nullptr) {
        throw std::bad_alloc();
    }
    return loaded(vf);
}

}  // namespace librettos::guest
