// SPDX-License-Identifier: BSD-2-Clause
// The descriptors that a software port's queues wait on. DPDK does not tell them, so they are found by what has been
// opened meanwhile.
#pragma once

#include <set>
#include <vector>

namespace librettos {

// Every open descriptor of this process.
std::set<int> open_fds();

// Those opened since `before` that become readable when a frame arrives: bound packet sockets, AF_XDP sockets, attached
// queues of /dev/net/tun; ascending, one per open file (duplicates of a descriptor are left out).
std::vector<int> frame_fds_since(std::set<int> const& before);

}  // namespace librettos
