// SPDX-License-Identifier: BSD-2-Clause
// What a guest sends: it must tell the truth about itself, then it goes to the wire, to another guest, or both.
#include "daemon/engine/datapath/classifier_state.hpp"
#include "daemon/engine/datapath/cursor.hpp"

namespace librettos {

namespace {

constexpr std::uint16_t dhcp_client_port = 68;
constexpr std::uint16_t dhcp_server_port = 67;
constexpr std::uint8_t igmp_query = 0x11;

// A frame is cut into at most 4,096 segments: below this a guest would make the server work for nothing.
constexpr std::uint16_t least_gso_size = 16;

constexpr std::uint16_t gso_flags = LVIF_GSO_TCP4 | LVIF_GSO_TCP6;

bool is_dhcp_discover(Packet const& packet) {
    return packet.ipv4 && packet.transport == protocol::udp && packet.has_ports() &&
           packet.source_port == dhcp_client_port && packet.destination_port == dhcp_server_port &&
           ipv4_of(packet.destination).be == UINT32_MAX;
}

std::uint8_t message_type(Packet const& packet) {
    return Cursor(packet.from_offset(packet.l4)).byte();
}

bool is_mld(Packet const& packet) {
    if (packet.ipv4 || packet.later || packet.transport != protocol::icmpv6) {
        return false;
    }
    std::uint8_t const type = message_type(packet);
    return type == icmpv6_type::mldv2_report || (type >= icmpv6_type::mld_query && type <= icmpv6_type::mld_done);
}

}  // namespace

Verdict Classifier::State::from_guest(Slot from, std::span<std::uint8_t const> frame, std::size_t frame_bytes,
                                      lvif_record const& offload, std::uint64_t time_us) {
    begin(from, time_us);
    Packet packet;
    if (!parse_ether(frame, frame_bytes, packet)) {
        return dropped(frame.size() < ether_bytes ? Counter::drop_runt : Counter::drop_malformed);
    }
    if (packet.from != own_mac()) {
        return dropped(Counter::drop_spoofed_mac);
    }
    switch (packet.ethertype) {
        case ethertype::ipv4:
        case ethertype::ipv6:
            return packet.tagged ? dropped(Counter::drop_vlan) : guest_ip(packet, offload);
        case ethertype::arp:
            if (packet.tagged) {
                return dropped(Counter::drop_vlan);
            }
            return offload_fits(packet, offload) ? guest_arp(packet) : dropped(Counter::drop_bad_offload);
        default:
            return dropped(packet.tagged ? Counter::drop_vlan : Counter::drop_unknown_ethertype);
    }
}

Verdict Classifier::State::guest_ip(Packet& packet, lvif_record const& offload) {
    if (!parse_ip(packet) || packet.source_routed) {
        return dropped(Counter::drop_malformed);
    }
    if (Counter const name = check_source(packet); name != Counter::none) {
        return dropped(name);
    }
    if (!offload_fits(packet, offload)) {
        return dropped(Counter::drop_bad_offload);
    }
    if (packet.is_nd()) {
        return guest_nd(packet);
    }
    if (Counter const name = check_sender(packet); name != Counter::none) {
        return dropped(name);
    }
    return route(packet);
}

Counter Classifier::State::check_source(Packet const& packet) const {
    if (is_own_address(packet.source)) {
        return Counter::none;
    }
    if (packet.ipv4) {
        bool const none_yet = !ipv4_of(packet.source).is_set();
        return none_yet && !is_shared_guest() && is_dhcp_discover(packet) ? Counter::none : Counter::drop_spoofed_ip;
    }
    // :: asks for duplicates of an address to be (guest_nd checks that it is the guest's), or joins the groups that
    // this takes.
    bool const duplicate_detection = packet.is_nd() && message_type(packet) == icmpv6_type::neighbour_solicitation;
    return !packet.source.is_set() && (duplicate_detection || is_mld(packet)) ? Counter::none
                                                                              : Counter::drop_spoofed_ip;
}

bool Classifier::State::offload_fits(Packet const& packet, lvif_record const& offload) const {
    std::uint16_t const gso = offload.flags & gso_flags;
    bool const partial = (offload.flags & LVIF_CSUM_PARTIAL) != 0;
    if ((offload.flags & (LVIF_PAD | ~LVIF_KNOWN_FLAGS)) != 0) {
        return false;
    }
    if (!partial && gso == 0) {
        return true;
    }
    bool const tcp = packet.transport == protocol::tcp;
    if (packet.fragment || !packet.has_ports() || !partial || offload.csum_start != packet.l4 ||
        offload.csum_offset != (tcp ? 16 : 6)) {
        return false;
    }
    if (gso == 0) {
        return true;
    }
    Cursor at(packet.bytes, packet.l4 + 12);
    std::size_t const headers = packet.l4 + std::size_t{at.byte()} / 16 * 4;
    return at.ok() && tcp && gso == (packet.ipv4 ? LVIF_GSO_TCP4 : LVIF_GSO_TCP6) && headers >= packet.l4 + tcp_bytes &&
           headers <= packet.end && offload.header_length == headers && offload.gso_size >= least_gso_size &&
           offload.gso_size + headers - packet.l3 <= directory.network().mtu_bytes;
}

Counter Classifier::State::check_sender(Packet const& packet) {
    if (is_shared_guest()) {
        return check_shared_sender(packet);
    }
    if (packet.ipv4 && packet.transport == protocol::igmp && !packet.fragment) {
        if (message_type(packet) == igmp_query) {
            return Counter::drop_unsupported_protocol;
        }
        snoop_igmp(packet);
    } else if (is_mld(packet)) {
        if (message_type(packet) == icmpv6_type::mld_query) {
            return Counter::drop_unsupported_protocol;
        }
        snoop_mld(packet);
    }
    return Counter::none;
}

bool Classifier::State::owns_port(std::uint8_t transport, std::uint16_t port) const {
    std::uint32_t const entry = directory.port_entry(transport != protocol::tcp, port);
    return (entry & (LVIF_PORT_STATE_MASK | LVIF_PORT_OWNER_MASK)) ==
           lvif_port_entry(LVIF_PORT_BOUND, directory.guest(origin).domain.value, 0);
}

Counter Classifier::State::check_shared_sender(Packet const& packet) {
    DatagramKey const key = key_of(packet);
    if (packet.later) {
        return guest_fragments.find(key, now_us) ? Counter::none : Counter::drop_fragment_orphan;
    }
    Counter name = Counter::drop_unsupported_protocol;
    if (packet.has_ports()) {
        name = owns_port(packet.transport, packet.source_port) ? Counter::none : Counter::drop_foreign_port;
    } else if (packet.is_icmp()) {
        name = check_shared_icmp(packet);
    }
    if (packet.fragment && name == Counter::none) {
        guest_fragments.remember(key, origin, now_us);
    }
    return name;
}

Counter Classifier::State::check_shared_icmp(Packet const& packet) {
    Cursor at(packet.from_offset(packet.l4));
    std::uint8_t const type = at.byte();
    at.skip(3);
    std::uint16_t const identifier = at.be16();
    if (!at.ok()) {
        return Counter::drop_malformed;
    }
    if (type == (packet.ipv4 ? icmp_type::echo_request : icmpv6_type::echo_request)) {
        echoes.add(packet.destination, identifier, origin, now_us);
        return Counter::none;
    }
    bool const error = packet.ipv4 ? type == icmp_type::unreachable || type == icmp_type::time_exceeded ||
                                         type == icmp_type::parameter_problem
                                   : type >= icmpv6_type::unreachable && type <= icmpv6_type::parameter_problem;
    if (!error) {
        return Counter::drop_unsupported_protocol;
    }
    return quotes_own_port(packet) ? Counter::none : Counter::drop_foreign_port;
}

// An error may be sent about a packet that came to a port of the guest's, and to its sender alone.
bool Classifier::State::quotes_own_port(Packet const& packet) const {
    Packet quoted;
    return parse_quoted_ip(packet.from_offset(0), packet.l4 + icmp_bytes, packet.ipv4, quoted) &&
           is_shared_address(quoted.destination) && quoted.source == packet.destination && quoted.has_ports() &&
           owns_port(quoted.transport, quoted.destination_port);
}

Verdict Classifier::State::route(Packet const& packet) {
    if (is_group(packet.to)) {
        return to_group(packet);
    }
    bool const ip = packet.ethertype != ethertype::arp;
    if (packet.to == directory.network().mac) {
        bool const reachable = ip && !is_shared_guest() && is_shared_address(packet.destination);
        return reachable ? to_shared(packet) : dropped(Counter::drop_not_for_us);
    }
    Slot const slot = directory.dedicated_by_mac(packet.to);
    if (slot != wire_slot) {
        bool const right = slot != origin && (!ip || answers_to(slot, packet.destination));
        return right ? to_guest(slot) : dropped(Counter::drop_not_for_us);
    }
    return ip && is_own_address(packet.destination) ? dropped(Counter::drop_not_for_us) : to_wire();
}

}  // namespace librettos
