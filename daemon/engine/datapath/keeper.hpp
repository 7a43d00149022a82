// SPDX-License-Identifier: BSD-2-Clause
// Which frames are judged by one thread alone, the keeper, however many data threads there are.
//
// What a frame alone does not tell (who asked for a neighbour, who sent an echo, who joined a group, where the first
// fragment went) a Classifier remembers from earlier frames, and a port spreads frames over its queues as it likes: the
// question leaves through one thread and its answer arrives at another. So every frame that teaches a Classifier
// something, or needs what it knows, goes to the keeper's. All others, TCP and UDP in whole packets to one host, are
// judged where they are.
#pragma once

#include <cstdint>
#include <span>

#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

inline constexpr std::uint16_t keeper_thread = 0;
inline constexpr std::uint16_t to_be_judged =
    UINT16_MAX;  // Handoff::queue: for the keeper; slot is where it comes from

// `frame` starts with the Ethernet header, tagged or not. What is cut short counts as ordinary: any thread drops it.
inline bool is_for_keeper(std::span<std::uint8_t const> frame) {
    constexpr std::uint16_t fragment_bits = 0x3fff;  // MF and offset
    auto const ordinary = [](std::uint8_t transport) {
        return transport == protocol::tcp || transport == protocol::udp;
    };
    if (frame.size() < ether_bytes + vlan_tag_bytes) {
        return false;
    }
    bool const tagged = load_be16(frame.data() + 12) == ethertype::vlan;
    std::size_t const ip_at = tagged ? ether_bytes + vlan_tag_bytes : ether_bytes;
    std::uint8_t const* const ip = frame.data() + ip_at;
    if ((frame[0] & 1U) != 0) {
        return true;
    }
    switch (load_be16(ip - 2)) {
        case ethertype::arp:
            return true;
        case ethertype::ipv4:
            return frame.size() >= ip_at + ipv4_bytes && ((load_be16(ip + 6) & fragment_bits) != 0 || !ordinary(ip[9]));
        case ethertype::ipv6:
            return frame.size() >= ip_at + ipv6_bytes && !ordinary(ip[6]);
        default:
            return false;
    }
}

}  // namespace librettos
