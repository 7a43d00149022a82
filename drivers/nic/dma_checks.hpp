// SPDX-License-Identifier: BSD-2-Clause
// Whether a PCI device will find its memory where DPDK says: one question, another answer on each kind of machine.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "drivers/machine_addresses.hpp"
#include "drivers/start_check.hpp"

namespace librettos {

// A Xen PV domain: the kernel's physical addresses are not the machine's.
bool is_pv_domain(std::filesystem::path const& root = "/");

// `open` gives machine addresses in a PV domain; none: this program has no way to them. In a PV domain a few MiB are
// allocated, proved and given back.
std::vector<StartCheck> check_dma(std::string const& address, std::filesystem::path const& root,
                                  OpenMachineAddresses open);

}  // namespace librettos
