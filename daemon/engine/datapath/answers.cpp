// SPDX-License-Identifier: BSD-2-Clause
// Makes the server's own frames, headers and checksums.
#include "daemon/engine/datapath/answers.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/cursor.hpp"

namespace librettos {

namespace {

constexpr std::size_t fragment_header_bytes = 8;
constexpr std::size_t most_bytes = ether_bytes + vlan_tag_bytes + ipv6_bytes + fragment_header_bytes + 65535;
constexpr std::uint8_t our_hop_limit = 64;
constexpr std::uint16_t dont_fragment = 0x4000;
constexpr std::uint16_t arp_reply_operation = 2;
constexpr std::uint8_t code_port_unreachable_v4 = 3;
constexpr std::uint8_t code_port_unreachable_v6 = 4;
constexpr std::size_t most_quoted_v4 = 576 - ipv4_bytes - icmp_bytes;   // RFC 1812, section 4.3.2.3
constexpr std::size_t most_quoted_v6 = 1280 - ipv6_bytes - icmp_bytes;  // RFC 4443, section 3.1
constexpr std::uint8_t advertisement_solicited = 0x40;
constexpr std::uint8_t advertisement_override = 0x20;
constexpr std::uint8_t option_target_link_address = 2;

constexpr MacAddress all_nodes_mac{{0x33, 0x33, 0, 0, 0, 1}};
constexpr Ipv6Address all_nodes{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

void copy_mac(std::uint8_t* at, MacAddress const& mac) {
    std::memcpy(at, mac.bytes.data(), mac.bytes.size());
}
void copy_ip(std::uint8_t* at, Ipv6Address const& ip) {
    std::memcpy(at, ip.bytes.data(), ip.bytes.size());
}
void copy_ip(std::uint8_t* at, Ipv4Address ip) {
    std::memcpy(at, &ip.be, sizeof ip.be);
}

}  // namespace

bool parse_arp(Packet const& packet, ArpMessage& arp) {
    Cursor at(packet.bytes, packet.l3);
    bool const ethernet_ipv4 = at.be16() == 1 && at.be16() == ethertype::ipv4 && at.byte() == 6 && at.byte() == 4;
    arp.operation = at.be16();
    arp.sender_mac = at.mac();
    arp.sender_ip = at.ipv4();
    arp.target_mac = at.mac();
    arp.target_ip = at.ipv4();
    return ethernet_ipv4 && at.ok();
}

Answers::Answers() : buffer_(most_bytes) {
}

std::uint8_t* Answers::append(std::size_t bytes) {
    assert(size_ + bytes <= buffer_.size());
    std::uint8_t* const at = buffer_.data() + size_;
    std::memset(at, 0, bytes);
    size_ += bytes;
    return at;
}

void Answers::append(std::span<std::uint8_t const> bytes) {
    if (bytes.empty()) {
        return;
    }
    assert(size_ + bytes.size() <= buffer_.size());
    std::memcpy(buffer_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
}

void Answers::ethernet(Packet const& packet, MacAddress const& to, MacAddress const& from) {
    size_ = 0;
    std::uint8_t* const at = append(ether_bytes);
    copy_mac(at, to);
    copy_mac(at + 6, from);
    if (packet.tagged) {
        store_be16(at + 12, ethertype::vlan);
        std::uint8_t* const tag = append(vlan_tag_bytes);
        store_be16(tag, packet.tag);
        store_be16(tag + 2, packet.ethertype);
    } else {
        store_be16(at + 12, packet.ethertype);
    }
    ip_at_ = size_;
}

void Answers::ipv4(Packet const& packet, std::uint16_t id, std::uint16_t fragment_word, std::uint8_t transport,
                   std::size_t payload_bytes) {
    std::uint8_t* const at = append(ipv4_bytes);
    at[0] = 0x45;
    store_be16(at + 2, static_cast<std::uint16_t>(ipv4_bytes + payload_bytes));
    store_be16(at + 4, id);
    store_be16(at + 6, fragment_word);
    at[8] = our_hop_limit;
    at[9] = transport;
    copy_ip(at + 12, ipv4_of(packet.destination));
    copy_ip(at + 16, ipv4_of(packet.source));
    checksum_store(at + 10, checksum_finish(checksum_add({at, ipv4_bytes})));
}

void Answers::ipv6(IpAddress const& source, IpAddress const& destination, std::uint8_t transport,
                   std::uint8_t hop_limit, std::size_t payload_bytes) {
    std::uint8_t* const at = append(ipv6_bytes);
    at[0] = 0x60;
    store_be16(at + 4, static_cast<std::uint16_t>(payload_bytes));
    at[6] = transport;
    at[7] = hop_limit;
    copy_ip(at + 8, source);
    copy_ip(at + 24, destination);
}

void Answers::ip(Packet const& packet, std::uint8_t transport, std::size_t payload_bytes) {
    if (packet.ipv4) {
        ipv4(packet, 0, dont_fragment, transport, payload_bytes);
    } else {
        ipv6(packet.destination, packet.source, transport, our_hop_limit, payload_bytes);
    }
}

std::uint64_t Answers::pseudo_sum(std::uint8_t transport, std::size_t bytes) const {
    std::uint8_t const* const at = buffer_.data() + ip_at_;
    auto const length_bytes = static_cast<std::uint32_t>(bytes);
    return at[0] >> 4 == 4 ? pseudo_header_sum({at + 12, 4}, {at + 16, 4}, transport, length_bytes)
                           : pseudo_header_sum({at + 8, 16}, {at + 24, 16}, transport, length_bytes);
}

void Answers::arp_reply(Packet const& packet, ArpMessage const& asked, MacAddress const& mac) {
    ethernet(packet, packet.from, mac);
    std::uint8_t* const at = append(28);
    store_be16(at, 1);
    store_be16(at + 2, ethertype::ipv4);
    at[4] = 6;
    at[5] = 4;
    store_be16(at + 6, arp_reply_operation);
    copy_mac(at + 8, mac);
    copy_ip(at + 14, asked.target_ip);
    copy_mac(at + 18, asked.sender_mac);
    copy_ip(at + 24, asked.sender_ip);
}

void Answers::neighbour_advertisement(Packet const& packet, Ipv6Address const& target, MacAddress const& mac) {
    constexpr std::size_t bytes = 32;
    bool const solicited = packet.source.is_set();
    ethernet(packet, solicited ? packet.from : all_nodes_mac, mac);
    ipv6(target, solicited ? packet.source : all_nodes, protocol::icmpv6, 255, bytes);
    std::uint8_t* const at = append(bytes);
    at[0] = icmpv6_type::neighbour_advertisement;
    at[4] = advertisement_override | (solicited ? advertisement_solicited : std::uint8_t{0});
    copy_ip(at + 8, target);
    at[24] = option_target_link_address;
    at[25] = 1;
    copy_mac(at + 26, mac);
    checksum_store(at + 2, checksum_finish(checksum_add({at, bytes}, pseudo_sum(protocol::icmpv6, bytes))));
}

void Answers::echo_reply(Packet const& packet, MacAddress const& mac) {
    assert(packet.whole());
    ethernet(packet, packet.from, mac);
    bool const in_parts = packet.fragment;
    auto const part = packet.from_offset(in_parts ? packet.fragment_part : packet.l4);
    if (packet.ipv4) {
        std::uint8_t const* const header = packet.bytes.data() + packet.l3;
        ipv4(packet, load_be16(header + 4), load_be16(header + 6), protocol::icmp, part.size());
    } else if (in_parts) {
        ipv6(packet.destination, packet.source, protocol::fragment, our_hop_limit, fragment_header_bytes + part.size());
        append(packet.bytes.subspan(packet.fragment_part - fragment_header_bytes, fragment_header_bytes));
    } else {
        ipv6(packet.destination, packet.source, protocol::icmpv6, our_hop_limit, part.size());
    }
    std::size_t const part_at = size_;
    append(part);
    if (packet.later) {
        return;
    }
    // The addresses change places, which leaves the pseudo header's sum as it is: only the type differs.
    std::uint8_t* const icmp = buffer_.data() + part_at + (packet.l4 - (in_parts ? packet.fragment_part : packet.l4));
    std::uint16_t const old_word = load_be16(icmp);
    icmp[0] = packet.ipv4 ? icmp_type::echo_reply : icmpv6_type::echo_reply;
    store_be16(icmp + 2, checksum_update(load_be16(icmp + 2), old_word, load_be16(icmp)));
}

bool Answers::tcp_reset(Packet const& packet, MacAddress const& mac) {
    Cursor from(packet.bytes, packet.l4 + 4);
    std::uint32_t const sequence = from.be32();
    std::uint32_t const acknowledged = from.be32();
    std::size_t const header = std::size_t{from.byte()} / 16 * 4;
    std::uint8_t const flags = from.byte();
    if (!from.ok() || header < tcp_bytes || header > packet.end - packet.l4 || (flags & tcp_flag::rst) != 0) {
        return false;
    }
    ethernet(packet, packet.from, mac);
    ip(packet, protocol::tcp, tcp_bytes);
    std::uint8_t* const at = append(tcp_bytes);
    store_be16(at, packet.destination_port);
    store_be16(at + 2, packet.source_port);
    at[12] = tcp_bytes / 4 << 4;
    at[13] = tcp_flag::rst;
    if ((flags & tcp_flag::ack) != 0) {  // RFC 9293, section 3.10.7.1
        store_be32(at + 4, acknowledged);
    } else {
        std::size_t const length = packet.end - packet.l4 - header + ((flags & tcp_flag::syn) != 0 ? 1 : 0) +
                                   ((flags & tcp_flag::fin) != 0 ? 1 : 0);
        at[13] |= tcp_flag::ack;
        store_be32(at + 8, static_cast<std::uint32_t>(sequence + length));
    }
    checksum_store(at + 16, checksum_finish(checksum_add({at, tcp_bytes}, pseudo_sum(protocol::tcp, tcp_bytes))));
    return true;
}

void Answers::port_unreachable(Packet const& packet, MacAddress const& mac) {
    auto quoted = packet.from_offset(packet.l3);
    quoted = quoted.first(std::min(quoted.size(), packet.ipv4 ? most_quoted_v4 : most_quoted_v6));
    std::size_t const bytes = icmp_bytes + quoted.size();
    std::uint8_t const transport = packet.ipv4 ? protocol::icmp : protocol::icmpv6;
    ethernet(packet, packet.from, mac);
    ip(packet, transport, bytes);
    std::uint8_t* const at = append(icmp_bytes);
    at[0] = packet.ipv4 ? icmp_type::unreachable : icmpv6_type::unreachable;
    at[1] = packet.ipv4 ? code_port_unreachable_v4 : code_port_unreachable_v6;
    append(quoted);
    std::uint64_t const pseudo = packet.ipv4 ? 0 : pseudo_sum(transport, bytes);
    checksum_store(at + 2, checksum_finish(checksum_add({at, bytes}, pseudo)));
}

}  // namespace librettos
