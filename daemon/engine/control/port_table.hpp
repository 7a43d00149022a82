// SPDX-License-Identifier: BSD-2-Clause
// The portmap as an operator reads it: ranges of equal neighbours, sums, and the answer to "who has this port, and
// why".
#pragma once

#include <librettos/portmap.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos::control {

struct PortRange {
    std::uint8_t protocol = 0;  // IPPROTO_TCP or IPPROTO_UDP
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    lvif_port_state state = LVIF_PORT_FREE;
    DomId owner;
    bool leased = false;
};

// What is not free, in order; one pass over the table. `owner`: that domain's alone.
std::vector<PortRange> port_ranges(lvif_portmap const& portmap, std::uint8_t protocol, std::optional<DomId> owner);

struct PortSums {
    std::uint32_t tcp_bound = 0;
    std::uint32_t udp_bound = 0;
    std::uint32_t quarantined = 0;
};
PortSums sum_ports(lvif_portmap const& portmap);
// Ports of both protocols that each domain owns, by domain id.
std::vector<std::uint32_t> owned_ports(lvif_portmap const& portmap);

lvif_port_state port_state(std::uint32_t entry);
DomId port_owner(std::uint32_t entry);
char const* to_text(lvif_port_state state);
char const* protocol_text(std::uint8_t protocol);  // "tcp" or "udp"

struct UnownedAnswers {
    bool tcp = true;
    bool udp = true;
};
// One or two sentences in plain words.
std::string explain_port(std::uint8_t protocol, std::uint16_t port, PortInfo const& info, bool owner_attached,
                         UnownedAnswers answers);

}  // namespace librettos::control
