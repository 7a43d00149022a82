// SPDX-License-Identifier: BSD-2-Clause
// Where the functions are on the bus: the PF at 0000:01:00.0, VFs from 0000:01:10.0 with a stride of 2, as 9.4.4.6 has
// it for the port's SR-IOV capability. Each function is an IOMMU group of its own.
#pragma once

#include <optional>
#include <string>

#include "tests/nic82599/machine.hpp"

namespace nic82599 {

constexpr unsigned first_group = 8200;  // of the PF

std::string pci_address(Function function);
unsigned iommu_group(Function function);
std::optional<Function> function_of_group(unsigned group, unsigned vfs);

}  // namespace nic82599
