// SPDX-License-Identifier: BSD-2-Clause
// Numbers and small value functions of the protocols that the data path reads: Ethernet, ARP, IP, ICMP.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "daemon/engine/datapath/addresses.hpp"

namespace librettos {

inline constexpr std::size_t ether_bytes = 14;
inline constexpr std::size_t vlan_tag_bytes = 4;
inline constexpr std::size_t ipv4_bytes = 20;  // without options
inline constexpr std::size_t ipv6_bytes = 40;
inline constexpr std::size_t tcp_bytes = 20;  // without options
inline constexpr std::size_t udp_bytes = 8;
inline constexpr std::size_t icmp_bytes = 8;

namespace ethertype {
inline constexpr std::uint16_t ipv4 = 0x0800;
inline constexpr std::uint16_t arp = 0x0806;
inline constexpr std::uint16_t vlan = 0x8100;
inline constexpr std::uint16_t ipv6 = 0x86dd;
}  // namespace ethertype

namespace protocol {
inline constexpr std::uint8_t hop_by_hop = 0;
inline constexpr std::uint8_t icmp = 1;
inline constexpr std::uint8_t igmp = 2;
inline constexpr std::uint8_t tcp = 6;
inline constexpr std::uint8_t udp = 17;
inline constexpr std::uint8_t routing = 43;
inline constexpr std::uint8_t fragment = 44;
inline constexpr std::uint8_t authentication = 51;
inline constexpr std::uint8_t icmpv6 = 58;
inline constexpr std::uint8_t destination_options = 60;
}  // namespace protocol

namespace icmp_type {
inline constexpr std::uint8_t echo_reply = 0;
inline constexpr std::uint8_t unreachable = 3;
inline constexpr std::uint8_t source_quench = 4;
inline constexpr std::uint8_t echo_request = 8;
inline constexpr std::uint8_t time_exceeded = 11;
inline constexpr std::uint8_t parameter_problem = 12;
}  // namespace icmp_type

namespace icmpv6_type {
inline constexpr std::uint8_t unreachable = 1;
inline constexpr std::uint8_t packet_too_big = 2;
inline constexpr std::uint8_t time_exceeded = 3;
inline constexpr std::uint8_t parameter_problem = 4;
inline constexpr std::uint8_t echo_request = 128;
inline constexpr std::uint8_t echo_reply = 129;
inline constexpr std::uint8_t mld_query = 130;
inline constexpr std::uint8_t mld_report = 131;
inline constexpr std::uint8_t mld_done = 132;
inline constexpr std::uint8_t router_solicitation = 133;
inline constexpr std::uint8_t router_advertisement = 134;
inline constexpr std::uint8_t neighbour_solicitation = 135;
inline constexpr std::uint8_t neighbour_advertisement = 136;
inline constexpr std::uint8_t redirect = 137;
inline constexpr std::uint8_t mldv2_report = 143;
}  // namespace icmpv6_type

namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01;
inline constexpr std::uint8_t syn = 0x02;
inline constexpr std::uint8_t rst = 0x04;
inline constexpr std::uint8_t psh = 0x08;
inline constexpr std::uint8_t ack = 0x10;
inline constexpr std::uint8_t cwr = 0x80;
}  // namespace tcp_flag

// Loads and stores in network byte order at any alignment; the caller has checked the bounds.
inline std::uint16_t load_be16(std::uint8_t const* at) {
    std::uint16_t value;
    std::memcpy(&value, at, sizeof value);
    return static_cast<std::uint16_t>(value << 8 | value >> 8);
}

inline std::uint32_t load_be32(std::uint8_t const* at) {
    std::uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

// As it lies in memory.
template <typename T>
inline T load_raw(std::uint8_t const* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

inline void store_be16(std::uint8_t* at, std::uint16_t value) {
    value = static_cast<std::uint16_t>(value << 8 | value >> 8);
    std::memcpy(at, &value, sizeof value);
}

inline void store_be32(std::uint8_t* at, std::uint32_t value) {
    value = __builtin_bswap32(value);
    std::memcpy(at, &value, sizeof value);
}

// A MAC address as a number, to compare and hash: its bytes as they lie in memory, in the low 48 bits.
inline std::uint64_t mac_key(std::uint8_t const* at) {
    return load_raw<std::uint32_t>(at) | static_cast<std::uint64_t>(load_raw<std::uint16_t>(at + 4)) << 32;
}
inline std::uint64_t mac_key(MacAddress const& mac) {
    return mac_key(mac.bytes.data());
}

inline bool is_group(MacAddress const& mac) {
    return (mac.bytes[0] & 1) != 0;
}

// An address of either family: IPv4 as ::ffff:a.b.c.d.
using IpAddress = Ipv6Address;

inline IpAddress mapped(Ipv4Address address) {
    IpAddress ip{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    std::memcpy(ip.bytes.data() + 12, &address.be, 4);
    return ip;
}
inline Ipv4Address ipv4_of(IpAddress const& ip) {
    return {load_raw<std::uint32_t>(ip.bytes.data() + 12)};
}

inline bool is_ipv4_multicast(Ipv4Address address) {
    return (load_raw<std::uint8_t>(reinterpret_cast<std::uint8_t const*>(&address.be)) & 0xf0) == 0xe0;
}
inline bool is_ipv6_multicast(Ipv6Address const& address) {
    return address.bytes[0] == 0xff;
}
inline bool is_ipv6_link_local(Ipv6Address const& address) {
    return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

// The link-local address that a MAC address gives (RFC 4291, appendix A).
inline Ipv6Address link_local(MacAddress const& mac) {
    auto const& m = mac.bytes;
    return {
        {0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(m[0] ^ 2), m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}};
}

}  // namespace librettos
