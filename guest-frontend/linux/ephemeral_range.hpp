// SPDX-License-Identifier: BSD-2-Clause
// The blocks of ports from which the kernel chooses by itself, in the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <vector>

namespace librettos::guest {

struct PortBlock {
    std::uint16_t first;
    std::uint16_t last;  // inclusive
    friend auto operator<=>(PortBlock const&, PortBlock const&) = default;
};

// Makes the kernel choose from these blocks (at least one, disjoint, any order) and from nothing else:
// ip_local_port_range spans them all, ip_local_reserved_ports takes out what lies between. Both hold for IPv6
// too. Explicit binds are not affected. Throws std::system_error.
void set_ephemeral_range(std::vector<PortBlock> blocks);

}  // namespace librettos::guest
