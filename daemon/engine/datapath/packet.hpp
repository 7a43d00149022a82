// SPDX-License-Identifier: BSD-2-Clause
// A frame as the rules of classification see it: its headers read and checked once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/api/counters.hpp"
#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

struct Packet {
    std::span<std::uint8_t const> bytes;  // what there is of the frame, from the Ethernet header on
    std::size_t frame_bytes = 0;          // its whole length, >= bytes.size()
    MacAddress to;
    MacAddress from;
    bool tagged = false;
    std::uint16_t tag = 0;        // priority and VLAN id, when tagged
    std::uint16_t ethertype = 0;  // of what is inside the tag
    std::size_t l3 = 0;           // offset of ARP or IP

    // IPv4 and IPv6
    bool ipv4 = false;
    IpAddress source;
    IpAddress destination;
    std::uint8_t transport =
        0;  // protocol number behind IPv6 extension headers; of a later fragment: as its header says
    std::uint8_t hop_limit = 0;
    std::size_t l4 = 0;          // offset of the transport header; of a later fragment: of its part
    std::size_t end = 0;         // offset of the end of the IP packet, <= frame_bytes
    bool source_routed = false;  // IPv4 source route option, IPv6 routing header type 0

    bool fragment = false;  // one of several
    bool later = false;     // and not the first
    std::uint32_t fragment_id = 0;
    std::size_t fragment_part = 0;  // offset of the fragmentable part

    // TCP and UDP, not of later fragments
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;

    // What there is of the IP packet's bytes from `offset` on, without Ethernet padding.
    std::span<std::uint8_t const> from_offset(std::size_t offset) const;
    bool whole() const { return bytes.size() >= end; }  // all of the IP packet is there
    bool is_icmp() const { return transport == (ipv4 ? protocol::icmp : protocol::icmpv6); }
    bool is_nd() const;  // neighbour discovery, ICMPv6 types 133 to 137
    bool has_ports() const { return (transport == protocol::tcp || transport == protocol::udp) && !later; }
};

// Reads the Ethernet header and one VLAN tag. False: too short.
bool parse_ether(std::span<std::uint8_t const> frame, std::size_t frame_bytes, Packet& packet);

// Reads IPv4 or IPv6 and the ports behind it. False: malformed.
bool parse_ip(Packet& packet);

// Reads an IP header that an ICMP error quotes at `offset`, of which anything may be cut but the first 4 bytes of the
// transport header. `packet` takes the quoted addresses, transport, l4 and ports. False: no use.
bool parse_quoted_ip(std::span<std::uint8_t const> bytes, std::size_t offset, bool ipv4, Packet& packet);

}  // namespace librettos
