// SPDX-License-Identifier: BSD-2-Clause
// DPDK's questions about addresses, answered for machine addresses.
#pragma once

namespace librettos {

// From now on DPDK believes to have physical addresses: those of the memory that it was given with addresses, and none
// for any other memory.
void use_machine_addresses();

}  // namespace librettos
