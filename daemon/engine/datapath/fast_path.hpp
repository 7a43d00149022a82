// SPDX-License-Identifier: BSD-2-Clause
// The common case of classification: TCP or UDP over IPv4, untagged, without options and fragments, to and from the
// wire. Each function either decides with the same outcome as the complete rules, or says that it cannot.
#pragma once

#include <cstring>
#include <span>

#include <librettos/frame_ring.h>

#include "daemon/engine/datapath/directory.hpp"
#include "daemon/engine/datapath/headers.hpp"

namespace librettos::fast_path {

inline constexpr Slot undecided = UINT16_MAX;
inline constexpr std::size_t ip_at = ether_bytes;
inline constexpr std::size_t ports_at = ip_at + ipv4_bytes;

struct Ipv4Frame {
    Ipv4Address source;
    Ipv4Address destination;
    std::uint16_t source_port;
    std::uint16_t destination_port;
    bool udp;  // else TCP
};

// `frame_bytes` is the frame's whole length, of which the span may hold only the beginning.
inline bool read(std::span<std::uint8_t const> frame, std::size_t frame_bytes, Ipv4Frame& out) {
    if (frame.size() < ports_at + udp_bytes) {
        return false;
    }
    std::uint8_t const* const at = frame.data();
    // EtherType 0800 and version 4, header length 5 in one load; then the fragment word without DF
    bool const plain = (load_be32(at + 12) & 0xffffff00) == 0x08004500 && (load_be16(at + ip_at + 6) & 0x3fff) == 0;
    std::uint8_t const transport = at[ip_at + 9];
    out.udp = transport == protocol::udp;
    std::size_t const total = load_be16(at + ip_at + 2);
    // Without branches on what comes in any order.
    std::size_t const least = ipv4_bytes + tcp_bytes - std::size_t{out.udp} * (tcp_bytes - udp_bytes);
    bool const ports = out.udp | (transport == protocol::tcp);
    if (!plain || !ports || total < least || total > frame_bytes - ether_bytes) {
        return false;
    }
    out.source = {load_raw<std::uint32_t>(at + ip_at + 12)};
    out.destination = {load_raw<std::uint32_t>(at + ip_at + 16)};
    out.source_port = load_be16(at + ports_at);
    out.destination_port = load_be16(at + ports_at + 2);
    return true;
}

// After a frame was copied in pieces of 16 bytes: once more the piece that holds both addresses and the ports, so that
// each of them comes out of one store. A load from two stores waits until both have left the store buffer.
inline void make_readable(std::span<std::uint8_t> copy, std::byte const* frame) {
    constexpr std::size_t addresses_at = ip_at + 12;
    if (copy.size() >= addresses_at + 16) {
        std::memcpy(copy.data() + addresses_at, frame + addresses_at, 16);
    }
}

// The guest that a frame from the wire is for; wire_slot: the complete rules decide. (A number and not a Verdict: that
// is put together in memory byte by byte, and reading it back as one word waits for the stores.)
inline Slot from_wire(Directory const& directory, std::span<std::uint8_t const> frame, std::size_t frame_bytes) {
    Ipv4Frame ip;
    if (directory.network().vlan != 0 || !read(frame, frame_bytes, ip)) {
        return wire_slot;
    }
    std::uint64_t const mac = mac_key(frame.data());
    if (mac == directory.network_mac_key()) {
        if (ip.destination != directory.network().ipv4) {
            return wire_slot;
        }
        return directory.owner(directory.port_entry(ip.udp, ip.destination_port)).slot;
    }
    Slot const slot = directory.dedicated_by_mac_key(mac);
    return slot == wire_slot || directory.guest(slot).ipv4 != ip.destination ? wire_slot : slot;
}

inline bool checksum_offload_fits(bool udp, std::size_t frame_bytes, lvif_record const& offload) {
    std::size_t const field = udp ? 6 : 16;
    return offload.csum_start == ports_at && offload.csum_offset == field && frame_bytes >= ports_at + field + 2;
}

// Where a guest's frame goes: to this slot, to the wire (wire_slot), or undecided: the complete rules decide. (A number
// for the same reason as above: an optional is put together bytewise.)
inline Slot from_guest(Directory const& directory, Slot from, std::span<std::uint8_t const> frame,
                       std::size_t frame_bytes, lvif_record const& offload) {
    Ipv4Frame ip;
    if ((offload.flags & ~(LVIF_CSUM_PARTIAL | LVIF_CSUM_OK)) != 0 || !read(frame, frame_bytes, ip)) {
        return undecided;
    }
    if ((offload.flags & LVIF_CSUM_PARTIAL) != 0 && !checksum_offload_fits(ip.udp, frame_bytes, offload)) {
        return undecided;
    }
    GuestIdentity const& guest = directory.guest(from);
    std::uint64_t const own_mac = mac_key(frame.data() + 6);
    if (guest.mode == GuestMode::shared) {
        std::uint32_t const entry = directory.port_entry(ip.udp, ip.source_port);
        bool const owned = (entry & (LVIF_PORT_STATE_MASK | LVIF_PORT_OWNER_MASK)) ==
                           lvif_port_entry(LVIF_PORT_BOUND, guest.domain.value, 0);
        if (!owned || own_mac != directory.network_mac_key() || ip.source != directory.network().ipv4) {
            return undecided;
        }
    } else if (own_mac != mac_key(guest.mac) || ip.source != guest.ipv4 || !guest.ipv4.is_set()) {
        return undecided;
    }
    std::uint64_t const to_mac = mac_key(frame.data());
    bool const group = (frame[0] & 1) != 0;
    if (group || to_mac == directory.network_mac_key() || ip.destination == ip.source) {
        return undecided;
    }
    Slot const local = directory.dedicated_by_mac_key(to_mac);
    bool const plain = local == wire_slot || (local != from && directory.guest(local).ipv4 == ip.destination);
    return plain ? local : undecided;
}

}  // namespace librettos::fast_path
