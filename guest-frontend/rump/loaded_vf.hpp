// SPDX-License-Identifier: BSD-2-Clause
// A VF for a rump kernel's process, by the shared object that drives it. It is loaded for those alone that name a VF.
#pragma once

#include <memory>
#include <string>

#include "guest-frontend/process/vf.hpp"

namespace librettos::guest {

using LoadedVf = std::unique_ptr<Vf, void (*)(Vf*)>;

// The VF with this PCI address, driven by DPDK (guest-frontend/dpdk); nothing is done with it before a switch. "none":
// null. Throws std::runtime_error when the shared object is not there.
LoadedVf load_vf(std::string const& pci_address);

}  // namespace librettos::guest
