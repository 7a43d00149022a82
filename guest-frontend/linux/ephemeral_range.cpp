// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/ephemeral_range.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "guest-frontend/linux/sysctl.hpp"

namespace librettos::guest {

void set_ephemeral_range(std::vector<PortBlock> blocks) {
    assert(!blocks.empty());
    std::sort(blocks.begin(), blocks.end());
    std::string gaps;
    for (std::size_t i = 1; i < blocks.size(); ++i) {
        unsigned const from = blocks[i - 1].last + 1u;
        unsigned const to = blocks[i].first - 1u;
        if (from <= to) {
            gaps += (gaps.empty() ? "" : ",") + std::to_string(from) + "-" + std::to_string(to);
        }
    }
    // The gaps first: a port between two blocks must not be chosen in the moment between the writes. Growing keeps
    // every old gap but the part that the new block fills, which is ours by now.
    write_sysctl("net/ipv4/ip_local_reserved_ports", gaps + "\n");
    write_sysctl("net/ipv4/ip_local_port_range",
                 std::to_string(blocks.front().first) + " " + std::to_string(blocks.back().last) + "\n");
}

}  // namespace librettos::guest
