// SPDX-License-Identifier: BSD-2-Clause
// The receive parser.
#include "tests/nic82599/headers.hpp"

#include <algorithm>

namespace nic82599 {
namespace {

Headers::Transport transport_of(std::uint8_t protocol) {
    switch (protocol) {
        case 6:
            return Headers::Transport::tcp;
        case 17:
            return Headers::Transport::udp;
        case 132:
            return Headers::Transport::sctp;
        default:
            return Headers::Transport::none;
    }
}

void parse_ipv4(std::span<std::uint8_t const> frame, Headers& headers) {
    std::size_t const at = headers.network_at;
    if (frame.size() < at + 20 || frame[at] >> 4 != 4) {
        return;
    }
    std::size_t const header = (frame[at] & 0xFu) * 4;
    std::size_t const total = be16(frame, at + 2);
    if (header < 20 || total < header || frame.size() < at + total) {
        return;
    }
    headers.network = Headers::Network::ipv4;
    headers.network_options = header > 20;
    headers.fragment = (be16(frame, at + 6) & 0x3FFF) != 0;
    headers.protocol = frame[at + 9];
    headers.transport_at = at + header;
    headers.end = at + total;
}

void parse_ipv6(std::span<std::uint8_t const> frame, Headers& headers) {
    std::size_t const at = headers.network_at;
    if (frame.size() < at + 40 || frame[at] >> 4 != 6 || frame.size() < at + 40 + be16(frame, at + 4)) {
        return;
    }
    headers.network = Headers::Network::ipv6;
    headers.end = at + 40 + be16(frame, at + 4);
    headers.protocol = frame[at + 6];
    headers.transport_at = at + 40;
    constexpr std::uint8_t hop_by_hop = 0, routing = 43, fragment = 44, destination = 60;
    while (headers.protocol == hop_by_hop || headers.protocol == routing || headers.protocol == fragment ||
           headers.protocol == destination) {
        if (headers.transport_at + 8 > headers.end) {
            headers.protocol = 59;  // nothing follows
            return;
        }
        headers.network_options = true;
        std::size_t const size = headers.protocol == fragment ? 8 : (frame[headers.transport_at + 1] + 1u) * 8;
        headers.fragment = headers.fragment || headers.protocol == fragment;
        headers.protocol = frame[headers.transport_at];
        headers.transport_at += size;
    }
}

std::size_t least_bytes(Headers::Transport transport) {
    switch (transport) {
        case Headers::Transport::tcp:
            return 20;
        case Headers::Transport::udp:
            return 8;
        case Headers::Transport::sctp:
            return 12;
        default:
            return 0;
    }
}

}  // namespace

Headers parse_headers(std::span<std::uint8_t const> frame) {
    Headers headers;
    headers.ether_type = be16(frame, 12);
    headers.network_at = ethernet_bytes;
    if (headers.ether_type == 0x8100 && frame.size() >= ethernet_bytes + vlan_bytes) {
        headers.vlan_tci = be16(frame, 14);
        headers.ether_type = be16(frame, 16);
        headers.network_at += vlan_bytes;
    }
    if (headers.ether_type == 0x0800) {
        parse_ipv4(frame, headers);
    } else if (headers.ether_type == 0x86DD) {
        parse_ipv6(frame, headers);
    }
    if (headers.network != Headers::Network::none && !headers.fragment) {
        Headers::Transport const transport = transport_of(headers.protocol);
        if (headers.transport_at + least_bytes(transport) <= headers.end) {
            headers.transport = transport;
        }
    }
    return headers;
}

bool is_broadcast(std::span<std::uint8_t const> frame) {
    return std::all_of(frame.begin(), frame.begin() + 6, [](std::uint8_t byte) { return byte == 0xFF; });
}

bool is_multicast(std::span<std::uint8_t const> frame) {
    return (frame[0] & 1) != 0;
}

}  // namespace nic82599
