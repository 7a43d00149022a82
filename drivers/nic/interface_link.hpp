// SPDX-License-Identifier: BSD-2-Clause
// What the kernel says about the link of an interface.
#pragma once

#include <cstdint>
#include <string>

namespace librettos {

struct LinkState {
    bool up = false;
    std::uint32_t speed_mbps = 0;  // 0: not known
    bool operator==(LinkState const&) const = default;
};

// Of this network namespace; one that is not there is down. The speed is known only while the link is up, and if the
// interface's driver says it.
LinkState interface_link(std::string const& interface);

}  // namespace librettos
