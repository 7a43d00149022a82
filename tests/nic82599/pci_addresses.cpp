// SPDX-License-Identifier: BSD-2-Clause
// Addresses and groups of functions.
#include "tests/nic82599/pci_addresses.hpp"

#include <cstdio>

namespace nic82599 {

std::string pci_address(Function function) {
    unsigned const routing = function.is_pf() ? 0 : 0x80 + 2 * function.vf_index();
    char text[32];
    std::snprintf(text, sizeof text, "0000:01:%02x.%u", routing / 8, routing % 8);
    return text;
}

unsigned iommu_group(Function function) {
    return function.is_pf() ? first_group : first_group + 1 + function.vf_index();
}

std::optional<Function> function_of_group(unsigned group, unsigned vfs) {
    if (group == first_group) {
        return Function::pf();
    }
    if (group > first_group && group <= first_group + vfs) {
        return Function::vf(group - first_group - 1);
    }
    return std::nullopt;
}

}  // namespace nic82599
