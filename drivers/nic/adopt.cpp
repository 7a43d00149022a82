// SPDX-License-Identifier: BSD-2-Clause
// Child side of a forked port.
#include "drivers/nic/adopt.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cassert>

#include <rte_lcore.h>

namespace librettos {

void adopt_port_in_child(PortDescription const& port) {
    RTE_PER_LCORE(_lcore_id) = LCORE_ID_ANY;
    for (int const fd : port.wait_fds) {
        // Should a driver have asked for signals after all, they are for us, not for the holder.
        int const flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_ASYNC) != 0) {
            fcntl(fd, F_SETOWN, getpid());
        }
    }
}

void use_lcore(unsigned lcore) {
    assert(lcore < RTE_MAX_LCORE);
    RTE_PER_LCORE(_lcore_id) = lcore;
}

}  // namespace librettos
