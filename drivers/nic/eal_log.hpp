// SPDX-License-Identifier: BSD-2-Clause
// DPDK's log lines, passed on to spdlog, with the last ones kept for the message of a failed start.
#pragma once

#include <string>

namespace librettos {

// Call before rte_eal_init; for the life of the process.
void route_eal_log();
// The last complaints (warning and worse), one line, or empty.
std::string last_eal_complaints();

}  // namespace librettos
