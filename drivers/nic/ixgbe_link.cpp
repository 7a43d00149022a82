// SPDX-License-Identifier: BSD-2-Clause
// To lay a fibre's laser open that is open already is the one call that has DPDK's ixgbe look at the link.
#include "drivers/nic/ixgbe_link.hpp"

#include <rte_alarm.h>
#include <rte_ethdev.h>

namespace librettos {

IxgbeLink ixgbe_link(std::uint16_t port_id, std::optional<IxgbeRegisters> const& registers) {
    rte_eth_link known{};
    rte_eth_link_get_nowait(port_id, &known);
    bool const known_up = known.link_status == RTE_ETH_LINK_UP;
    if (!registers)
        return {known_up, false};
    bool const up = registers->link_is_up();
    return registers->answers() ? IxgbeLink{up, up != known_up} : IxgbeLink{known_up, false};
}

void refresh_ixgbe_link(std::uint16_t port_id) {
    static_cast<void>(rte_eth_dev_set_link_up(port_id));  // a port that is gone has no link either
}

void refresh_ixgbe_link_soon(std::uint16_t port_id) {
    // Not done: the next look finds it as stale.
    static_cast<void>(rte_eal_alarm_set(
        1, [](void* port) { refresh_ixgbe_link(static_cast<std::uint16_t>(reinterpret_cast<std::uintptr_t>(port))); },
        reinterpret_cast<void*>(std::uintptr_t{port_id})));
}

}  // namespace librettos
