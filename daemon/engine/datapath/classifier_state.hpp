// SPDX-License-Identifier: BSD-2-Clause
// The complete rules of classification (architecture section 7) and the bounded state that they keep.
//
// Theory of operation. A frame is parsed once into a Packet; then it is asked where it comes from (the wire or a guest,
// which must tell the truth about itself) and what it is addressed to:
//   the shared address    to_shared.cpp: by port, by fragment, by quoted port, by echo identifier; or answered
//   a dedicated address   that guest, which is found by MAC and must own the IP address
//   a group               groups.cpp: owners of the UDP port, dedicated guests that joined; from guests also the wire
//                         (not to those that are direct: they have it from the wire)
//   neighbours (ARP, ND)  neighbours.cpp: answered for every local address; answers of others go to those who asked
//   anything else         from a guest: the wire; from the wire: dropped
// Time-outs: fragments 30 s, early fragments 300 ms, asked neighbours 3 s, echo identifiers 60 s, groups until left.
// Every table is of fixed size and no guest or sender can have more than a quarter of it. Nothing allocates after
// construction.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daemon/engine/datapath/answers.hpp"
#include "daemon/engine/datapath/classify.hpp"
#include "daemon/engine/datapath/fragment_table.hpp"
#include "daemon/engine/datapath/held_fragments.hpp"
#include "daemon/engine/datapath/packet.hpp"
#include "daemon/engine/datapath/slots_by_address.hpp"
#include "daemon/engine/datapath/token_bucket.hpp"

namespace librettos {

inline Verdict dropped(Counter name) {
    Verdict verdict;
    verdict.drop = name;
    return verdict;
}

inline Verdict to_wire() {
    Verdict verdict;
    verdict.to_wire = true;
    return verdict;
}

inline Verdict to_guest(Slot slot) {
    Verdict verdict;
    verdict.slot = slot;
    return verdict;
}

inline Verdict answered() {
    Verdict verdict;
    verdict.reply = true;
    return verdict;
}

struct Classifier::State {
    // Instead of a guest's slot in wire_fragments: the server answers the rest too; the rest is dropped too.
    static constexpr Slot server_slot = UINT16_MAX;
    static constexpr Slot refused_slot = UINT16_MAX - 1;
    static constexpr std::uint32_t announcements_per_s = 100;

    explicit State(Directory& the_directory);

    Verdict from_wire(std::span<std::uint8_t const> frame, std::size_t frame_bytes, std::uint64_t time_us);
    Verdict from_guest(Slot from, std::span<std::uint8_t const> frame, std::size_t frame_bytes,
                       lvif_record const& offload, std::uint64_t time_us);
    bool hold(void* token);
    void* take_released();
    void forget(Slot slot);

    // from_wire.cpp
    void begin(Slot from, std::uint64_t time_us);
    Verdict wire_ip(Packet& packet);
    void learn_groups(Packet const& packet, Slot sender);

    // from_guest.cpp
    Counter check_source(Packet const& packet) const;
    Counter check_shared_sender(Packet const& packet);
    Counter check_shared_icmp(Packet const& packet);
    bool quotes_own_port(Packet const& packet) const;
    bool owns_port(std::uint8_t transport, std::uint16_t port) const;
    Counter check_sender(Packet const& packet);
    bool offload_fits(Packet const& packet, lvif_record const& offload) const;
    Verdict guest_ip(Packet& packet, lvif_record const& offload);
    Verdict route(Packet const& packet);

    // to_shared.cpp
    Verdict to_shared(Packet const& packet);
    Verdict to_port(Packet const& packet, std::uint16_t port);
    Verdict unowned(Packet const& packet);
    Verdict icmp_to_shared(Packet const& packet);
    Verdict icmp_error_to_shared(Packet const& packet);
    Verdict echo_to_shared(Packet const& packet);
    Verdict echo_owner(IpAddress const& peer, std::uint16_t identifier);
    Verdict later_to_shared(Packet const& packet);
    Verdict first_or_whole(Packet const& packet, Verdict verdict);
    bool may_answer(Packet const& packet) const;

    // neighbours.cpp
    Verdict wire_arp(Packet const& packet);
    Verdict guest_arp(Packet const& packet);
    Verdict wire_nd(Packet const& packet);
    Verdict guest_nd(Packet const& packet);
    Verdict guest_solicitation(Packet const& packet);
    Verdict guest_advertisement(Packet const& packet);
    Verdict solicitation(Packet const& packet, Ipv6Address const& target);
    Verdict to_askers(Packet const& packet, IpAddress const& address);
    Verdict announce(IpAddress const& address);
    Verdict guest_announcement();

    // groups.cpp
    Verdict to_group(Packet const& packet);
    void snoop_igmp(Packet const& packet);
    void snoop_mld(Packet const& packet);
    void snoop_record(IpAddress const& group, std::uint8_t type, std::size_t sources);

    // What belongs to whom
    bool is_shared_address(IpAddress const& address) const;
    bool is_own_address(IpAddress const& address) const;  // of the guest whose frame it is
    std::optional<MacAddress> local_mac(IpAddress const& address) const;
    bool is_local_mac(MacAddress const& mac) const;
    Slot dedicated_at(IpAddress const& address) const;
    Slot direct_sender(Packet const& packet) const;  // a guest of ours that sends past us; wire_slot: none
    void add_behind_us(std::vector<Slot> const& slots);
    bool answers_to(Slot slot, IpAddress const& address) const;
    MacAddress const& own_mac() const;
    bool is_shared_guest() const { return directory.guest(origin).mode == GuestMode::shared; }
    DatagramKey key_of(Packet const& packet) const;
    void add_target(Slot slot);  // but not the sender itself; each slot once per frame

    Directory& directory;
    Answers answers;
    std::vector<Slot> targets;

    // The frame at hand
    Slot origin = wire_slot;
    std::uint64_t now_us = 0;
    std::optional<DatagramKey> to_hold;
    std::optional<DatagramKey> released;

    FragmentTable wire_fragments;   // to the shared address: which guest
    FragmentTable guest_fragments;  // from shared guests: the first one was good
    HeldFragments held;
    SlotsByAddress asked;   // neighbours, tag 0
    SlotsByAddress echoes;  // peers, tag: identifier
    SlotsByAddress groups;  // joined by dedicated guests, tag 0
    TokenBucket replies;
    TokenBucket announcements;
};

}  // namespace librettos
