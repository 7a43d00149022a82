// SPDX-License-Identifier: BSD-2-Clause
// The shared object with DPDK's VFs as the component loads it, but with VFs of the test's own.
#pragma once

#include <string>

#include "tests/unit/process/vf_double.hpp"

namespace librettos::test {

// The VF that the component has now; null: none.
guest::VfDouble* loaded_vf();
// The PCI address that was asked for last.
std::string loaded_address();

}  // namespace librettos::test
