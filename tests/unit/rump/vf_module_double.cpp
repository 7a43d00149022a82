// SPDX-License-Identifier: BSD-2-Clause
#include "tests/unit/rump/vf_module_double.hpp"

#include <memory>

#include "guest-frontend/dpdk/lvif_dpdk.h"

namespace {

std::unique_ptr<librettos::guest::VfDouble> vf;
std::string address;

}  // namespace

namespace librettos::test {

guest::VfDouble* loaded_vf() {
    return vf.get();
}

std::string loaded_address() {
    return address;
}

}  // namespace librettos::test

lvif_vf* lvif_dpdk_vf_create(char const* pci_address) {
    address = pci_address;
    vf = std::make_unique<librettos::guest::VfDouble>(true);
    librettos::guest::Vf* const base = vf.get();
    return reinterpret_cast<lvif_vf*>(base);
}

void lvif_dpdk_vf_destroy(lvif_vf*) {
    vf.reset();
}
