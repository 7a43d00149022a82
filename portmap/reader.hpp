// SPDX-License-Identifier: BSD-2-Clause
// Reading the portmap: one relaxed load gives everything there is to know about a port.
#pragma once

#include <netinet/in.h>

#include <cstdint>

#include <librettos/portmap.h>

#include "portmap/domain_id.hpp"

namespace librettos {

class PortEntry {
  public:
    constexpr explicit PortEntry(std::uint32_t word) : word_{word} {}

    constexpr lvif_port_state state() const {
        return static_cast<lvif_port_state>((word_ & LVIF_PORT_STATE_MASK) >> LVIF_PORT_STATE_SHIFT);
    }
    constexpr DomId owner() const { return DomId{static_cast<std::uint16_t>(word_ & LVIF_PORT_OWNER_MASK)}; }
    constexpr bool leased() const { return (word_ & LVIF_PORT_LEASED) != 0; }
    constexpr bool bound_to(DomId domain) const { return state() == LVIF_PORT_BOUND && owner() == domain; }
    constexpr std::uint32_t word() const { return word_; }
    friend constexpr bool operator==(PortEntry, PortEntry) = default;

  private:
    std::uint32_t word_;
};

// protocol: IPPROTO_TCP, anything else is taken for IPPROTO_UDP.
inline PortEntry read_port(lvif_portmap const& portmap, std::uint8_t protocol, std::uint16_t port) {
    std::uint32_t const* table = protocol == IPPROTO_TCP ? portmap.tcp : portmap.udp;
    return PortEntry{__atomic_load_n(&table[port], __ATOMIC_RELAXED)};
}

}  // namespace librettos
