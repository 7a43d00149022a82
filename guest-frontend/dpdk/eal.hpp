// SPDX-License-Identifier: BSD-2-Clause
// DPDK's EAL in a process that is no DPDK program.
#pragma once

namespace librettos::guest {

// Once per process; later calls return what the first did. Without huge pages, without devices; `memory_mib` for what
// is allocated later. Moves the calling thread to other CPUs: call it from one that ends. Throws std::system_error.
void start_eal(unsigned memory_mib);

}  // namespace librettos::guest
