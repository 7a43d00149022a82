// SPDX-License-Identifier: BSD-2-Clause
// Where the headers of a frame are, as the receive parser sees them (7.1.6.2 packet type, 7.1.11 checksums).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace nic82599 {

constexpr std::size_t ethernet_bytes = 14, vlan_bytes = 4;

inline std::uint16_t be16(std::span<std::uint8_t const> bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
inline std::uint32_t be32(std::span<std::uint8_t const> bytes, std::size_t at) {
    return std::uint32_t{be16(bytes, at)} << 16 | be16(bytes, at + 2);
}
inline void put_be16(std::span<std::uint8_t> bytes, std::size_t at, std::uint16_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}
inline void put_be32(std::span<std::uint8_t> bytes, std::size_t at, std::uint32_t value) {
    put_be16(bytes, at, static_cast<std::uint16_t>(value >> 16));
    put_be16(bytes, at + 2, static_cast<std::uint16_t>(value));
}

struct Headers {
    enum class Network { none, ipv4, ipv6 };
    enum class Transport { none, tcp, udp, sctp };

    std::optional<std::uint16_t> vlan_tci;
    std::uint16_t ether_type = 0;  // behind a VLAN tag
    Network network = Network::none;
    std::size_t network_at = 0;
    bool network_options = false;  // IPv4 options, IPv6 extension headers
    bool fragment = false;
    Transport transport = Transport::none;  // none for fragments
    std::uint8_t protocol = 0;
    std::size_t transport_at = 0;
    std::size_t end = 0;  // of the IP packet in the frame

    std::optional<std::uint16_t> vlan_id() const {
        return vlan_tci ? std::optional<std::uint16_t>(*vlan_tci & 0xFFF) : std::nullopt;
    }
};

// Needs 14 bytes; headers that are cut off or contradict themselves are not there.
Headers parse_headers(std::span<std::uint8_t const> frame);

bool is_broadcast(std::span<std::uint8_t const> frame);
bool is_multicast(std::span<std::uint8_t const> frame);  // a broadcast too

}  // namespace nic82599
