// SPDX-License-Identifier: BSD-2-Clause
// A VF for a rump kernel's process. The shared object with DPDK is loaded for those alone that name a VF and need it.
#pragma once

#include <memory>
#include <string>

#include "guest-frontend/process/vf.hpp"

namespace librettos::guest {

using LoadedVf = std::unique_ptr<Vf, void (*)(Vf*)>;

// The VF with this PCI address: driven by NetBSD's ixv if the kernel has attached that to it (guest-frontend/rump/pci),
// else by DPDK (guest-frontend/dpdk), which does nothing with it before a switch. "none": null. Throws
// std::runtime_error when the shared object with DPDK is not there.
LoadedVf load_vf(std::string const& pci_address);

}  // namespace librettos::guest
