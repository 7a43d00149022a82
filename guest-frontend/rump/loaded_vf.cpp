// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/loaded_vf.hpp"

#include <dlfcn.h>

#include <new>
#include <stdexcept>

#include "guest-frontend/dpdk/lvif_dpdk.h"

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

}  // namespace

// The module stays: DPDK has threads.
LoadedVf load_vf(std::string const& pci_address) {
    if (pci_address == "none") {
        return {nullptr, [](Vf*) {}};
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
    return {reinterpret_cast<Vf*>(vf), [](Vf* loaded) { destroy_of_module(reinterpret_cast<lvif_vf*>(loaded)); }};
}

}  // namespace librettos::guest
