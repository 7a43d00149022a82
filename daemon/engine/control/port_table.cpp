// SPDX-License-Identifier: BSD-2-Clause
// The portmap as an operator reads it.
#include "daemon/engine/control/port_table.hpp"

#include <netinet/in.h>

namespace librettos::control {

namespace {

std::uint32_t entry_at(lvif_portmap const& portmap, std::uint8_t protocol, std::uint32_t port) {
    auto const* const table = protocol == IPPROTO_TCP ? portmap.tcp : portmap.udp;
    return __atomic_load_n(&table[port], __ATOMIC_RELAXED);  // written by the portmap's authority
}

std::string seconds(std::uint32_t s) {
    if (s < 120)
        return std::to_string(s) + " s";
    return s < 7200 ? std::to_string(s / 60) + " min" : std::to_string(s / 3600) + " h";
}

std::string upper_name(std::uint8_t protocol) {
    return protocol == IPPROTO_TCP ? "TCP" : "UDP";
}

std::string owner_text(PortInfo const& info) {
    auto const name = info.owner_name.empty() ? std::string("a guest") : "guest '" + info.owner_name + "'";
    return name + " (domain " + std::to_string(port_owner(info.entry).value) + ")";
}

}  // namespace

lvif_port_state port_state(std::uint32_t entry) {
    return static_cast<lvif_port_state>((entry & LVIF_PORT_STATE_MASK) >> LVIF_PORT_STATE_SHIFT);
}

DomId port_owner(std::uint32_t entry) {
    return {static_cast<std::uint16_t>(entry & LVIF_PORT_OWNER_MASK)};
}

char const* to_text(lvif_port_state state) {
    switch (state) {
        case LVIF_PORT_BOUND:
            return "bound";
        case LVIF_PORT_RESERVED:
            return "reserved";
        case LVIF_PORT_QUARANTINED:
            return "quarantined";
        case LVIF_PORT_FREE:
            break;
    }
    return "free";
}

char const* protocol_text(std::uint8_t protocol) {
    return protocol == IPPROTO_TCP ? "tcp" : "udp";
}

std::vector<PortRange> port_ranges(lvif_portmap const& portmap, std::uint8_t protocol, std::optional<DomId> owner) {
    std::vector<PortRange> ranges;
    std::uint32_t previous = 0;
    for (std::uint32_t port = 0; port < LVIF_PORTS; ++port) {
        auto entry = entry_at(portmap, protocol, port);
        auto const state = port_state(entry);
        if (state == LVIF_PORT_FREE || (owner && (port_owner(entry) != *owner || state != LVIF_PORT_BOUND)))
            entry = 0;
        if (entry != 0 && entry == previous) {
            ranges.back().last = static_cast<std::uint16_t>(port);
        } else if (entry != 0) {
            auto const at = static_cast<std::uint16_t>(port);
            ranges.push_back({protocol, at, at, state, port_owner(entry), (entry & LVIF_PORT_LEASED) != 0});
        }
        previous = entry;
    }
    return ranges;
}

PortSums sum_ports(lvif_portmap const& portmap) {
    PortSums sums;
    for (std::uint32_t port = 0; port < LVIF_PORTS; ++port) {
        auto const tcp = port_state(entry_at(portmap, IPPROTO_TCP, port));
        auto const udp = port_state(entry_at(portmap, IPPROTO_UDP, port));
        sums.tcp_bound += tcp == LVIF_PORT_BOUND;
        sums.udp_bound += udp == LVIF_PORT_BOUND;
        sums.quarantined += tcp == LVIF_PORT_QUARANTINED;
        sums.quarantined += udp == LVIF_PORT_QUARANTINED;
    }
    return sums;
}

std::vector<std::uint32_t> owned_ports(lvif_portmap const& portmap) {
    std::vector<std::uint32_t> owned(65536);
    for (auto const protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
        for (std::uint32_t port = 0; port < LVIF_PORTS; ++port) {
            auto const entry = entry_at(portmap, static_cast<std::uint8_t>(protocol), port);
            if (port_state(entry) == LVIF_PORT_BOUND)
                ++owned[port_owner(entry).value];
        }
    }
    return owned;
}

std::string explain_port(std::uint8_t protocol, std::uint16_t port, PortInfo const& info, bool owner_attached,
                         UnownedAnswers answers) {
    auto const name = upper_name(protocol) + " " + std::to_string(port);
    switch (port_state(info.entry)) {
        case LVIF_PORT_BOUND:
            return name + " is owned by " + owner_text(info) + ", " +
                   ((info.entry & LVIF_PORT_LEASED) != 0 ? "leased " : "bound ") + seconds(info.age_s) +
                   " ago; the guest is " +
                   (owner_attached ? "attached" : "not attached, so frames to it are dropped (drop_guest_gone)");
        case LVIF_PORT_QUARANTINED:
            return name + " is quarantined for " + seconds(info.quarantine_left_s) + " more: it belonged to " +
                   (info.owner_name.empty() ? "a guest that is gone" : "'" + info.owner_name + "'") +
                   ", only a guest of that name may take it before";
        case LVIF_PORT_RESERVED:
            return name + " is reserved for the host: no guest may take it";
        case LVIF_PORT_FREE:
            break;
    }
    bool const answered = protocol == IPPROTO_TCP ? answers.tcp : answers.udp;
    auto const answer = protocol == IPPROTO_TCP ? "answered with RST" : "answered with ICMP port unreachable";
    return name + " is free: nobody has claimed it; frames to it are " + (answered ? answer : "dropped silently");
}

}  // namespace librettos::control
