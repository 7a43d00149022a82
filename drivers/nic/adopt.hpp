// SPDX-License-Identifier: BSD-2-Clause
// What a forked engine does before it touches the port that its parent set up.
#pragma once

#include "drivers/nic/port_description.hpp"

namespace librettos {

// In the child's first thread, before any other is started. This thread then uses no mempool cache; each data thread
// takes one with use_lcore(). The child may use bursts, mbufs and existing mempools, never rte_malloc: the heap's
// bookkeeping is its parent's.
void adopt_port_in_child(PortDescription const& port);

// The calling thread uses mempool cache `lcore` from now on; no two threads share one.
void use_lcore(unsigned lcore);

}  // namespace librettos
