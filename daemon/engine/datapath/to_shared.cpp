// SPDX-License-Identifier: BSD-2-Clause
// What is addressed to the shared address, by the wire or by a dedicated guest: which of the guests behind it, or the
// server.
#include "daemon/engine/datapath/classifier_state.hpp"
#include "daemon/engine/datapath/cursor.hpp"

namespace librettos {

namespace {

// An address that a host may have, so that an answer to it goes to one host.
bool is_host(Packet const& packet, Ipv4Address subnet_broadcast) {
    if (!packet.ipv4) {
        constexpr Ipv6Address loopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
        return packet.source.is_set() && packet.source != loopback && !is_ipv6_multicast(packet.source);
    }
    Ipv4Address const source = ipv4_of(packet.source);
    std::uint8_t const first = packet.source.bytes[12];
    return first != 0 && first != 127 && first < 224 && source != subnet_broadcast;
}

bool is_icmp_error(bool ipv4, std::uint8_t type) {
    if (!ipv4) {
        return type >= icmpv6_type::unreachable && type <= icmpv6_type::parameter_problem;
    }
    return type == icmp_type::unreachable || type == icmp_type::source_quench || type == icmp_type::time_exceeded ||
           type == icmp_type::parameter_problem;
}

}  // namespace

Verdict Classifier::State::to_shared(Packet const& packet) {
    if (packet.later) {
        return later_to_shared(packet);
    }
    if (packet.has_ports()) {
        return to_port(packet, packet.destination_port);
    }
    return packet.is_icmp() ? icmp_to_shared(packet) : dropped(Counter::drop_unsupported_protocol);
}

// Of a fragmented datagram the first one decides; the others follow it.
Verdict Classifier::State::first_or_whole(Packet const& packet, Verdict verdict) {
    if (!packet.fragment) {
        return verdict;
    }
    if (verdict.to_targets) {
        verdict.slot = targets.front();
        verdict.to_targets = false;
    }
    Slot const fate = verdict.slot != wire_slot       ? verdict.slot
                      : verdict.drop == Counter::none ? server_slot
                                                      : refused_slot;
    DatagramKey const key = key_of(packet);
    wire_fragments.remember(key, fate, now_us);
    if (verdict.slot != wire_slot && held.holds(key)) {
        released = key;
        verdict.released = true;
    }
    return verdict;
}

Verdict Classifier::State::later_to_shared(Packet const& packet) {
    bool const icmp = packet.is_icmp();
    if (packet.ipv4 && !icmp && packet.transport != protocol::tcp && packet.transport != protocol::udp) {
        return dropped(Counter::drop_unsupported_protocol);
    }
    DatagramKey const key = key_of(packet);
    if (auto const fate = wire_fragments.find(key, now_us)) {
        switch (*fate) {
            case server_slot:
                return echo_to_shared(packet);
            case refused_slot:
                return dropped(Counter::drop_fragment_orphan);
            default:
                return to_guest(*fate);
        }
    }
    // Part of an echo request that overtook its first one, unless a guest awaits replies from there.
    if (icmp && !echoes.contains_address(packet.source, now_us)) {
        return echo_to_shared(packet);
    }
    if (origin != wire_slot) {
        return dropped(Counter::drop_fragment_orphan);
    }
    to_hold = key;
    Verdict verdict;
    verdict.hold = true;
    return verdict;
}

Verdict Classifier::State::to_port(Packet const& packet, std::uint16_t port) {
    auto const [slot, owned] = directory.owner(directory.port_entry(packet.transport != protocol::tcp, port));
    if (slot != wire_slot) {
        return first_or_whole(packet, to_guest(slot));
    }
    return first_or_whole(packet, owned ? dropped(Counter::drop_guest_gone) : unowned(packet));
}

bool Classifier::State::may_answer(Packet const& packet) const {
    return is_host(packet, directory.network().ipv4_broadcast) && !is_shared_address(packet.source) &&
           !is_group(packet.from);
}

Verdict Classifier::State::unowned(Packet const& packet) {
    NetworkIdentity const& network = directory.network();
    Verdict verdict = dropped(Counter::drop_unowned_port);
    bool const tcp = packet.transport == protocol::tcp;
    if ((tcp ? network.unowned_tcp : network.unowned_udp) == UnownedPort::silent || !may_answer(packet)) {
        return verdict;
    }
    if (tcp && !answers.tcp_reset(packet, network.mac)) {
        return verdict;
    }
    if (!replies.take(network.replies_per_s, now_us)) {
        answers.clear();
        return dropped(Counter::drop_reply_rate);
    }
    if (!tcp) {
        answers.port_unreachable(packet, network.mac);
    }
    verdict.reply = true;
    return verdict;
}

Verdict Classifier::State::icmp_to_shared(Packet const& packet) {
    Cursor at(packet.from_offset(packet.l4));
    std::uint8_t const type = at.byte();
    at.skip(3);
    std::uint16_t const identifier = at.be16();
    if (!at.ok()) {
        return dropped(Counter::drop_malformed);
    }
    if (type == (packet.ipv4 ? icmp_type::echo_request : icmpv6_type::echo_request)) {
        return first_or_whole(packet, echo_to_shared(packet));
    }
    if (type == (packet.ipv4 ? icmp_type::echo_reply : icmpv6_type::echo_reply)) {
        return first_or_whole(packet, echo_owner(packet.source, identifier));
    }
    if (is_icmp_error(packet.ipv4, type)) {
        return first_or_whole(packet, icmp_error_to_shared(packet));
    }
    return dropped(Counter::drop_icmp_unmatched);
}

Verdict Classifier::State::echo_to_shared(Packet const& packet) {
    if (!may_answer(packet)) {
        return dropped(Counter::drop_malformed);
    }
    if (!packet.whole()) {
        return dropped(Counter::drop_too_long);
    }
    if (!replies.take(directory.network().replies_per_s, now_us)) {
        return dropped(Counter::drop_reply_rate);
    }
    answers.echo_reply(packet, directory.network().mac);
    return answered();
}

// Guests may have chosen the same identifier: each of them gets the reply and knows by its content whether it is meant.
Verdict Classifier::State::echo_owner(IpAddress const& peer, std::uint16_t identifier) {
    echoes.for_each(peer, identifier, now_us, [this](Slot slot) { add_target(slot); });
    if (targets.empty()) {
        return dropped(Counter::drop_icmp_unmatched);
    }
    if (targets.size() == 1) {
        return to_guest(targets.front());
    }
    Verdict verdict;
    verdict.to_targets = true;
    return verdict;
}

// The quoted packet was sent by one of ours: its source port, or echo identifier, says by whom.
Verdict Classifier::State::icmp_error_to_shared(Packet const& packet) {
    Packet quoted;
    auto const bytes = packet.from_offset(0);
    if (!parse_quoted_ip(bytes, packet.l4 + icmp_bytes, packet.ipv4, quoted) || !is_shared_address(quoted.source)) {
        return dropped(Counter::drop_icmp_unmatched);
    }
    if (quoted.has_ports()) {
        auto const [slot, owned] =
            directory.owner(directory.port_entry(quoted.transport != protocol::tcp, quoted.source_port));
        return slot != wire_slot ? to_guest(slot)
                                 : dropped(owned ? Counter::drop_guest_gone : Counter::drop_icmp_unmatched);
    }
    Cursor at(bytes, quoted.l4);
    std::uint8_t const type = at.byte();
    at.skip(3);
    std::uint16_t const identifier = at.be16();
    bool const echo = type == (packet.ipv4 ? icmp_type::echo_request : icmpv6_type::echo_request);
    if (!quoted.is_icmp() || !echo || !at.ok()) {
        return dropped(Counter::drop_icmp_unmatched);
    }
    return echo_owner(quoted.destination, identifier);
}

}  // namespace librettos
