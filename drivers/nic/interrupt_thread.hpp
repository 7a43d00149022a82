// SPDX-License-Identifier: BSD-2-Clause
// DPDK's interrupt thread. A PF answers its VFs there, and nothing guards the registers and tables that it changes: who
// changes them, too, does so in that thread.
#pragma once

#include <functional>

namespace librettos {

// Runs it there and waits; throws what it throws, std::system_error when DPDK cannot. Not to be called in that thread.
void in_interrupt_thread(std::function<void()> work);

}  // namespace librettos
