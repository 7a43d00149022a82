// SPDX-License-Identifier: BSD-2-Clause
// A flow's number, the same in both directions, to spread flows over the queue pairs of a guest: all frames
// of a flow keep one queue. Fragments and what is not TCP or UDP hash by addresses alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

inline std::uint32_t flow_hash(std::span<std::uint8_t const> frame) {
    std::uint64_t mixed = 0;
    std::size_t ports_at = 0;
    std::uint8_t l4 = 0;
    if (frame.size() < ether_bytes + ipv4_bytes) {
        return 0;
    }
    std::uint8_t const* const ip = frame.data() + ether_bytes;
    std::uint16_t const type = load_be16(frame.data() + 12);
    if (type == ethertype::ipv4) {
        mixed = load_raw<std::uint32_t>(ip + 12) ^ load_raw<std::uint32_t>(ip + 16);
        bool const fragment = (load_be16(ip + 6) & 0x3fff) != 0;
        l4 = fragment ? std::uint8_t{0} : ip[9];
        ports_at = ether_bytes + std::size_t{ip[0] & 0x0fU} * 4;
    } else if (type == ethertype::ipv6 && frame.size() >= ether_bytes + ipv6_bytes) {
        mixed = load_raw<std::uint64_t>(ip + 8) ^ load_raw<std::uint64_t>(ip + 16) ^ load_raw<std::uint64_t>(ip + 24) ^
                load_raw<std::uint64_t>(ip + 32);
        l4 = ip[6];
        ports_at = ether_bytes + ipv6_bytes;
    }
    if ((l4 == protocol::tcp || l4 == protocol::udp) && ports_at + 4 <= frame.size()) {
        mixed ^= std::uint64_t{load_be16(frame.data() + ports_at)} * 0x1'0001U ^
                 std::uint64_t{load_be16(frame.data() + ports_at + 2)} * 0x1'0001U;
    }
    return static_cast<std::uint32_t>((mixed * 0x9e37'79b9'7f4a'7c15ULL) >> 32);
}

}  // namespace librettos
