// SPDX-License-Identifier: BSD-2-Clause
// Machine addresses of a Xen PV domain, however the server was built: without a header of Xen's.
#pragma once

#include "drivers/machine_addresses.hpp"

namespace librettos {

// Throws std::system_error; EOPNOTSUPP: this build has no Xen.
std::unique_ptr<MachineAddresses> open_machine_addresses();

}  // namespace librettos
