// SPDX-License-Identifier: BSD-2-Clause
// What the wire brings.
#include "daemon/engine/datapath/classifier_state.hpp"

namespace librettos {

namespace {

constexpr std::uint16_t vlan_id_mask = 0x0fff;

}  // namespace

Verdict Classifier::State::from_wire(std::span<std::uint8_t const> frame, std::size_t frame_bytes,
                                     std::uint64_t time_us) {
    begin(wire_slot, time_us);
    Packet packet;
    if (!parse_ether(frame, frame_bytes, packet)) {
        return dropped(Counter::drop_malformed);
    }
    std::uint16_t const vlan = packet.tagged ? packet.tag & vlan_id_mask : 0;
    if (vlan != directory.network().vlan) {
        return dropped(Counter::drop_vlan);
    }
    // A frame of ours that comes back is a loop in the network, or a forgery; unless its guest sends past us.
    bool const ours = is_group(packet.to) ? !is_local_mac(packet.from) || direct_sender(packet) != wire_slot
                                          : is_local_mac(packet.to);
    if (!ours) {
        return dropped(Counter::drop_not_for_us);
    }
    switch (packet.ethertype) {
        case ethertype::arp:
            return wire_arp(packet);
        case ethertype::ipv4:
        case ethertype::ipv6:
            return wire_ip(packet);
        case ethertype::vlan:
            return dropped(Counter::drop_vlan);
        default:
            return dropped(Counter::drop_unknown_ethertype);
    }
}

Verdict Classifier::State::wire_ip(Packet& packet) {
    if (!parse_ip(packet)) {
        return dropped(Counter::drop_malformed);
    }
    if (packet.is_nd()) {
        return wire_nd(packet);
    }
    if (is_group(packet.to)) {
        if (Slot const sender = direct_sender(packet); sender != wire_slot) {
            learn_groups(packet, sender);
        }
        return to_group(packet);
    }
    if (packet.to == directory.network().mac) {
        return is_shared_address(packet.destination) ? to_shared(packet) : dropped(Counter::drop_not_for_us);
    }
    Slot const slot = directory.dedicated_by_mac(packet.to);
    return answers_to(slot, packet.destination) ? to_guest(slot) : dropped(Counter::drop_not_for_us);
}

// For when it is back: what it joins meanwhile it says on the wire.
void Classifier::State::learn_groups(Packet const& packet, Slot sender) {
    origin = sender;
    (void)check_sender(packet);
    origin = wire_slot;
}

}  // namespace librettos
