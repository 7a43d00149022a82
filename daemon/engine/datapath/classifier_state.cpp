// SPDX-License-Identifier: BSD-2-Clause
// The classifier's state: its sizes, held fragments, and the questions of what belongs to whom.
#include "daemon/engine/datapath/classifier_state.hpp"

namespace librettos {

namespace {

constexpr std::uint64_t ask_lifetime_us = 3'000'000;
constexpr std::uint64_t echo_lifetime_us = 60'000'000;

}  // namespace

Classifier::State::State(Directory& the_directory)
    : directory(the_directory),
      asked(4096, 64, ask_lifetime_us),
      echoes(4096, 512, echo_lifetime_us),
      groups(8192, 64, SlotsByAddress::for_ever) {
    targets.reserve(max_slots);
}

void Classifier::State::begin(Slot from, std::uint64_t time_us) {
    targets.clear();
    answers.clear();
    to_hold.reset();
    released.reset();
    origin = from;
    now_us = time_us;
}

bool Classifier::State::hold(void* token) {
    if (!to_hold.has_value()) {
        return false;
    }
    bool const room = held.add(*to_hold, token, now_us);
    to_hold.reset();
    return room;
}

void* Classifier::State::take_released() {
    return released.has_value() ? held.take(*released) : nullptr;
}

void Classifier::State::forget(Slot slot) {
    wire_fragments.forget(slot);
    guest_fragments.forget(slot);
    asked.forget(slot);
    echoes.forget(slot);
    groups.forget(slot);
}

bool Classifier::State::is_shared_address(IpAddress const& address) const {
    NetworkIdentity const& network = directory.network();
    return (network.ipv4.is_set() && address == mapped(network.ipv4)) ||
           (network.ipv6.is_set() && address == network.ipv6);
}

bool Classifier::State::answers_to(Slot slot, IpAddress const& address) const {
    GuestIdentity const& guest = directory.guest(slot);
    return (guest.ipv4.is_set() && address == mapped(guest.ipv4)) || (guest.ipv6.is_set() && address == guest.ipv6) ||
           address == link_local(guest.mac);
}

bool Classifier::State::is_own_address(IpAddress const& address) const {
    return is_shared_guest() ? is_shared_address(address) : answers_to(origin, address);
}

MacAddress const& Classifier::State::own_mac() const {
    return is_shared_guest() ? directory.network().mac : directory.guest(origin).mac;
}

std::optional<MacAddress> Classifier::State::local_mac(IpAddress const& address) const {
    if (is_shared_address(address)) {
        return directory.network().mac;
    }
    Slot const slot = dedicated_at(address);
    return slot != wire_slot ? std::optional(directory.guest(slot).mac) : std::nullopt;
}

Slot Classifier::State::dedicated_at(IpAddress const& address) const {
    bool const ipv4 = address == mapped(ipv4_of(address));
    return ipv4 ? directory.dedicated_by_ipv4(ipv4_of(address)) : directory.dedicated_by_ipv6(address);
}

Slot Classifier::State::direct_sender(Packet const& packet) const {
    Slot const slot = directory.dedicated_by_mac(packet.from);
    return slot != wire_slot && directory.direct(slot) ? slot : wire_slot;
}

// Those of them that have what goes to everybody from us alone.
void Classifier::State::add_behind_us(std::vector<Slot> const& slots) {
    for (Slot slot : slots) {
        if (!directory.direct(slot)) {
            add_target(slot);
        }
    }
}

bool Classifier::State::is_local_mac(MacAddress const& mac) const {
    return mac == directory.network().mac || directory.dedicated_by_mac(mac) != wire_slot;
}

DatagramKey Classifier::State::key_of(Packet const& packet) const {
    // RFC 8200 does not count the protocol among what identifies an IPv6 datagram.
    std::uint8_t const transport = packet.ipv4 ? packet.transport : protocol::fragment;
    return {packet.source, packet.destination, packet.fragment_id, transport, origin};
}

void Classifier::State::add_target(Slot slot) {
    if (slot != origin && slot != wire_slot) {
        targets.push_back(slot);
    }
}

}  // namespace librettos
