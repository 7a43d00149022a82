// SPDX-License-Identifier: BSD-2-Clause
// Reads Ethernet, VLAN, IPv4 with options, IPv6 with extension headers, fragments, and ports.
#include "daemon/engine/datapath/packet.hpp"

#include <algorithm>

#include "daemon/engine/datapath/cursor.hpp"

namespace librettos {

namespace {

constexpr int most_extension_headers = 8;
constexpr std::uint8_t option_end = 0;
constexpr std::uint8_t option_none = 1;
constexpr std::uint8_t option_loose_source_route = 131;
constexpr std::uint8_t option_strict_source_route = 137;

bool read_ipv4_options(Cursor& at, std::size_t end, Packet& packet) {
    while (at.ok() && at.at() < end) {
        std::uint8_t const kind = at.byte();
        if (kind == option_end) {
            return true;
        }
        if (kind == option_none) {
            continue;
        }
        std::uint8_t const length = at.byte();
        if (length < 2 || at.at() + length - 2 > end) {
            return false;
        }
        at.skip(std::size_t{length} - 2);
        packet.source_routed |= kind == option_loose_source_route || kind == option_strict_source_route;
    }
    return at.ok();
}

bool read_ipv4(Cursor& at, Packet& packet) {
    std::size_t const start = at.at();
    std::uint8_t const version_length = at.byte();
    at.skip(1);
    std::size_t const total = at.be16();
    packet.fragment_id = at.be16();
    std::uint16_t const fragment_word = at.be16();
    packet.hop_limit = at.byte();
    packet.transport = at.byte();
    at.skip(2);
    packet.source = mapped(at.ipv4());
    packet.destination = mapped(at.ipv4());
    std::size_t const header = std::size_t{version_length & 15u} * 4;
    if (!at.ok() || version_length >> 4 != 4 || header < ipv4_bytes || total < header) {
        return false;
    }
    packet.end = start + total;
    packet.l4 = packet.fragment_part = start + header;
    packet.later = (fragment_word & 0x1fff) != 0;
    packet.fragment = (fragment_word & 0x3fff) != 0;
    return read_ipv4_options(at, packet.l4, packet);
}

// Leaves `at` behind the extension headers and packet.transport at what follows them.
bool read_extension_headers(Cursor& at, Packet& packet) {
    for (int count = 0; count < most_extension_headers; ++count) {
        switch (packet.transport) {
            case protocol::hop_by_hop:
            case protocol::routing:
            case protocol::destination_options: {
                bool const routing = packet.transport == protocol::routing;
                packet.transport = at.byte();
                std::size_t const length = std::size_t{at.byte()} * 8 + 8;
                packet.source_routed |= at.byte() == 0 && routing;
                at.skip(length - 3);
                break;
            }
            case protocol::authentication: {
                packet.transport = at.byte();
                at.skip(std::size_t{at.byte()} * 4 + 6);
                break;
            }
            case protocol::fragment: {
                packet.transport = at.byte();
                at.skip(1);
                std::uint16_t const word = at.be16();
                packet.fragment_id = at.be32();
                bool const again = packet.fragment;
                packet.later = word >> 3 != 0;
                packet.fragment = packet.later || (word & 1) != 0;
                packet.fragment_part = at.at();
                if (again || packet.later) {
                    return at.ok() && !again;
                }
                break;
            }
            default:
                return at.ok();
        }
        if (!at.ok()) {
            return false;
        }
    }
    return false;
}

bool read_ipv6(Cursor& at, Packet& packet) {
    std::uint8_t const version = at.byte();
    at.skip(3);
    std::size_t const payload = at.be16();
    packet.transport = at.byte();
    packet.hop_limit = at.byte();
    packet.source = at.ipv6();
    packet.destination = at.ipv6();
    packet.fragment_part = at.at();
    packet.end = at.at() + payload;
    if (!at.ok() || version >> 4 != 6) {
        return false;
    }
    bool const good = read_extension_headers(at, packet);
    packet.l4 = at.at();
    return good;
}

std::size_t least_transport_bytes(Packet const& packet) {
    switch (packet.transport) {
        case protocol::tcp:
            return packet.fragment ? 8 : tcp_bytes;
        case protocol::udp:
            return udp_bytes;
        case protocol::icmp:
            return packet.ipv4 ? icmp_bytes : 0;
        case protocol::icmpv6:
            return packet.ipv4 ? 0 : 4;
        default:
            return 0;
    }
}

bool read_ports(Cursor& at, Packet& packet) {
    if (packet.transport == protocol::tcp || packet.transport == protocol::udp) {
        packet.source_port = at.be16();
        packet.destination_port = at.be16();
    }
    return at.ok();
}

}  // namespace

std::span<std::uint8_t const> Packet::from_offset(std::size_t offset) const {
    std::size_t const stop = std::min(end, bytes.size());
    return offset < stop ? bytes.subspan(offset, stop - offset) : std::span<std::uint8_t const>{};
}

bool Packet::is_nd() const {
    if (ipv4 || transport != protocol::icmpv6 || later) {
        return false;
    }
    auto const message = from_offset(l4);
    return !message.empty() && message[0] >= icmpv6_type::router_solicitation && message[0] <= icmpv6_type::redirect;
}

bool parse_ether(std::span<std::uint8_t const> frame, std::size_t frame_bytes, Packet& packet) {
    Cursor at(frame);
    packet.bytes = frame;
    packet.frame_bytes = std::max(frame_bytes, frame.size());
    packet.to = at.mac();
    packet.from = at.mac();
    packet.ethertype = at.be16();
    if (packet.ethertype == ethertype::vlan) {
        packet.tagged = true;
        packet.tag = at.be16();
        packet.ethertype = at.be16();
    }
    packet.l3 = at.at();
    return at.ok();
}

bool parse_ip(Packet& packet) {
    packet.ipv4 = packet.ethertype == ethertype::ipv4;
    Cursor at(packet.bytes, packet.l3);
    if (!(packet.ipv4 ? read_ipv4(at, packet) : read_ipv6(at, packet))) {
        return false;
    }
    if (packet.end > packet.frame_bytes || packet.l4 > packet.end) {
        return false;
    }
    if (packet.later) {
        return true;
    }
    return packet.end - packet.l4 >= least_transport_bytes(packet) && read_ports(at, packet);
}

bool parse_quoted_ip(std::span<std::uint8_t const> bytes, std::size_t offset, bool ipv4, Packet& packet) {
    packet.bytes = bytes;
    packet.ipv4 = ipv4;
    packet.l3 = offset;
    Cursor at(bytes, offset);
    if (!(ipv4 ? read_ipv4(at, packet) : read_ipv6(at, packet)) || packet.later) {
        return false;
    }
    packet.end = std::min(packet.end, bytes.size());
    return at.left() >= 4 && read_ports(at, packet);
}

}  // namespace librettos
