// SPDX-License-Identifier: BSD-2-Clause
// The C interface of lvif_dpdk.h.
#include "guest-frontend/dpdk/lvif_dpdk.h"

#include <exception>

#include "guest-frontend/dpdk/dpdk_vf.hpp"

using librettos::guest::DpdkVf;
using librettos::guest::Vf;

lvif_vf* lvif_dpdk_vf_create(char const* pci_address) {
    try {
        Vf* const vf = new DpdkVf(pci_address);
        return reinterpret_cast<lvif_vf*>(vf);
    } catch (std::exception const&) {
        return nullptr;
    }
}

void lvif_dpdk_vf_destroy(lvif_vf* vf) {
    delete reinterpret_cast<Vf*>(vf);
}
