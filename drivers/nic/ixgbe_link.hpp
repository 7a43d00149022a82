// SPDX-License-Identifier: BSD-2-Clause
// The link of an 82599 as the NIC has it, where DPDK's driver missed a change (ixgbe_registers.hpp says how). DPDK's
// word counts as well: it limits no VF's rate while it takes the link for down.
#pragma once

#include <cstdint>
#include <optional>

#include "drivers/nic/ixgbe_registers.hpp"

namespace librettos {

struct IxgbeLink {
    bool up = false;
    bool stale = false;  // DPDK says otherwise
};

// Without registers, or when they do not answer, what DPDK says.
IxgbeLink ixgbe_link(std::uint16_t port_id, std::optional<IxgbeRegisters> const& registers);

// DPDK looks again, which takes a tenth of a second; while it sets the link up, not yet. In its interrupt thread.
void refresh_ixgbe_link(std::uint16_t port_id);
// In that thread, without waiting for it.
void refresh_ixgbe_link_soon(std::uint16_t port_id);

}  // namespace librettos
