// SPDX-License-Identifier: BSD-2-Clause
// ARP and neighbour discovery (RFC 826, 4861). The server answers for every address behind it, to the wire and to its
// own guests, and passes on what others answer to the guests that asked.
#include <algorithm>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/classifier_state.hpp"
#include "daemon/engine/datapath/cursor.hpp"

namespace librettos {

namespace {

constexpr std::uint16_t arp_request = 1;
constexpr std::uint16_t arp_reply = 2;
constexpr std::uint8_t nd_hop_limit = 255;  // not forwarded by a router
constexpr std::uint8_t option_source_link_address = 1;
constexpr std::uint8_t option_target_link_address = 2;

// Neighbour discovery is link-local, never fragmented (RFC 6980), and its checksum is always there.
bool nd_well_formed(Packet const& packet) {
    auto const message = packet.from_offset(packet.l4);
    std::size_t const least = message[0] == icmpv6_type::router_solicitation    ? 8
                              : message[0] == icmpv6_type::router_advertisement ? 16
                              : message[0] == icmpv6_type::redirect             ? 40
                                                                                : 24;
    return packet.hop_limit == nd_hop_limit && !packet.fragment && packet.whole() && message.size() >= least &&
           message[1] == 0;
}

bool nd_checksum_ok(Packet const& packet) {
    auto const message = packet.from_offset(packet.l4);
    std::uint64_t const pseudo = pseudo_header_sum(packet.source.bytes, packet.destination.bytes, protocol::icmpv6,
                                                   static_cast<std::uint32_t>(message.size()));
    return checksum_ok(message, pseudo);
}

Ipv6Address nd_target(Packet const& packet) {
    return Cursor(packet.from_offset(packet.l4), 8).ipv6();
}

// Whether each link-layer address option from offset `options` of the message on names `mac`. Malformed options: no.
bool link_addresses_are(Packet const& packet, std::size_t options, MacAddress const& mac) {
    Cursor at(packet.from_offset(packet.l4), options);
    while (at.ok() && at.left() > 0) {
        std::uint8_t const type = at.byte();
        std::size_t const length = std::size_t{at.byte()} * 8;
        if (length == 0) {
            return false;
        }
        bool const link_address = type == option_source_link_address || type == option_target_link_address;
        if (!link_address) {
            at.skip(length - 2);
            continue;
        }
        if (at.mac() != mac) {
            return false;
        }
        at.skip(length - 8);
    }
    return at.ok();
}

}  // namespace

Verdict Classifier::State::wire_arp(Packet const& packet) {
    ArpMessage arp;
    if (!parse_arp(packet, arp)) {
        return dropped(Counter::drop_malformed);
    }
    IpAddress const sender = mapped(arp.sender_ip);
    bool const gratuitous = arp.sender_ip == arp.target_ip && arp.sender_ip.is_set();
    if (gratuitous && is_group(packet.to)) {
        return announce(sender);
    }
    if (arp.operation == arp_reply) {
        return to_askers(packet, sender);
    }
    auto const mac = local_mac(mapped(arp.target_ip));
    if (arp.operation != arp_request || !mac.has_value() || !arp.target_ip.is_set() || is_group(packet.from)) {
        return dropped(arp.operation == arp_request ? Counter::drop_not_for_us : Counter::drop_malformed);
    }
    if (directory.direct(dedicated_at(mapped(arp.target_ip)))) {
        return dropped(Counter::drop_answered_by_vf);
    }
    answers.arp_reply(packet, arp, *mac);
    return answered();
}

// A host that has moved, a router that has taken over: every guest has a neighbour table of its own.
Verdict Classifier::State::announce(IpAddress const& address) {
    if (local_mac(address).has_value()) {
        return dropped(Counter::drop_not_for_us);
    }
    if (!announcements.take(announcements_per_s, now_us)) {
        return dropped(Counter::drop_reply_rate);
    }
    add_behind_us(directory.slots());
    Verdict verdict;
    verdict.to_targets = !targets.empty();
    verdict.drop = verdict.to_targets ? Counter::none : Counter::drop_no_listener;
    return verdict;
}

Verdict Classifier::State::to_askers(Packet const& packet, IpAddress const& address) {
    if (local_mac(address).has_value()) {
        return dropped(Counter::drop_not_for_us);
    }
    asked.for_each(address, 0, now_us, [this](Slot slot) { add_target(slot); });
    Slot const addressee = is_group(packet.to) ? wire_slot : directory.dedicated_by_mac(packet.to);
    if (addressee != wire_slot && !asked.contains(address, 0, addressee, now_us)) {
        add_target(addressee);
    }
    Verdict verdict;
    verdict.to_targets = !targets.empty();
    verdict.drop = verdict.to_targets ? Counter::none : Counter::drop_not_for_us;
    return verdict;
}

Verdict Classifier::State::guest_arp(Packet const& packet) {
    ArpMessage arp;
    if (!parse_arp(packet, arp) || (arp.operation != arp_request && arp.operation != arp_reply)) {
        return dropped(Counter::drop_malformed);
    }
    bool const probe = !arp.sender_ip.is_set() && arp.operation == arp_request;
    IpAddress const own = probe ? mapped(arp.target_ip) : mapped(arp.sender_ip);
    if (arp.sender_mac != own_mac() || !is_own_address(own)) {
        return dropped(Counter::drop_spoofed_arp);
    }
    IpAddress const target = mapped(arp.target_ip);
    if (probe) {
        return to_wire();
    }
    if (target == own || (arp.operation == arp_reply && is_group(packet.to))) {
        return guest_announcement();
    }
    if (arp.operation == arp_reply) {
        return route(packet);
    }
    if (auto const mac = local_mac(target)) {
        answers.arp_reply(packet, arp, *mac);
        return answered();
    }
    if (!is_group(packet.to) && is_local_mac(packet.to)) {
        return dropped(Counter::drop_not_for_us);
    }
    asked.add(target, 0, origin, now_us);
    return to_wire();
}

// "I am here": of the shared address that concerns the wire alone, for all guests that have it live behind the server.
Verdict Classifier::State::guest_announcement() {
    Verdict verdict = to_wire();
    if (!is_shared_guest()) {
        add_behind_us(directory.slots());
        verdict.to_targets = !targets.empty();
    }
    return verdict;
}

Verdict Classifier::State::wire_nd(Packet const& packet) {
    if (!nd_well_formed(packet) || !nd_checksum_ok(packet)) {
        return dropped(Counter::drop_malformed);
    }
    switch (packet.from_offset(packet.l4)[0]) {
        case icmpv6_type::neighbour_solicitation:
            return directory.direct(dedicated_at(nd_target(packet))) ? dropped(Counter::drop_answered_by_vf)
                                                                     : solicitation(packet, nd_target(packet));
        case icmpv6_type::neighbour_advertisement:
            return is_group(packet.to) ? announce(nd_target(packet)) : to_askers(packet, nd_target(packet));
        default:
            break;
    }
    if (is_group(packet.to)) {
        return to_group(packet);
    }
    Slot const slot = directory.dedicated_by_mac(packet.to);
    return slot != wire_slot && answers_to(slot, packet.destination) ? to_guest(slot)
                                                                     : dropped(Counter::drop_icmp_unmatched);
}

Verdict Classifier::State::solicitation(Packet const& packet, Ipv6Address const& target) {
    auto const mac = local_mac(target);
    if (!mac.has_value() || is_group(packet.from) || is_ipv6_multicast(packet.source)) {
        return dropped(Counter::drop_not_for_us);
    }
    answers.neighbour_advertisement(packet, target, *mac);
    return answered();
}

Verdict Classifier::State::guest_nd(Packet const& packet) {
    if (!nd_well_formed(packet)) {
        return dropped(Counter::drop_malformed);
    }
    switch (packet.from_offset(packet.l4)[0]) {
        case icmpv6_type::neighbour_solicitation:
            return guest_solicitation(packet);
        case icmpv6_type::neighbour_advertisement:
            return guest_advertisement(packet);
        case icmpv6_type::router_solicitation:
            return link_addresses_are(packet, 8, own_mac()) ? to_wire() : dropped(Counter::drop_spoofed_arp);
        default:  // guests are no routers
            return dropped(Counter::drop_spoofed_arp);
    }
}

Verdict Classifier::State::guest_solicitation(Packet const& packet) {
    Ipv6Address const target = nd_target(packet);
    bool const own = is_own_address(target);
    bool const duplicate_detection = !packet.source.is_set();
    if (!link_addresses_are(packet, 24, own_mac()) || (duplicate_detection && !own)) {
        return dropped(Counter::drop_spoofed_arp);
    }
    if (own) {
        return to_wire();
    }
    if (local_mac(target).has_value()) {
        return solicitation(packet, target);
    }
    if (!is_group(packet.to) && is_local_mac(packet.to)) {
        return dropped(Counter::drop_not_for_us);
    }
    asked.add(target, 0, origin, now_us);
    return to_wire();
}

Verdict Classifier::State::guest_advertisement(Packet const& packet) {
    if (!is_own_address(nd_target(packet)) || !link_addresses_are(packet, 24, own_mac())) {
        return dropped(Counter::drop_spoofed_arp);
    }
    return is_group(packet.to) ? guest_announcement() : route(packet);
}

}  // namespace librettos
