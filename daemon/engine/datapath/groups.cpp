// SPDX-License-Identifier: BSD-2-Clause
// Broadcast and multicast, from the wire and from guests; and who joined which group, learned from the IGMP and MLD
// reports that dedicated guests send (RFC 2236, 3376, 2710, 3810).
#include "daemon/engine/datapath/classifier_state.hpp"
#include "daemon/engine/datapath/cursor.hpp"

namespace librettos {

namespace {

constexpr std::uint8_t igmp_v1_report = 0x12;
constexpr std::uint8_t igmp_v2_report = 0x16;
constexpr std::uint8_t igmp_v2_leave = 0x17;
constexpr std::uint8_t igmp_v3_report = 0x22;

// Record types, the same in IGMPv3 (section 4.2.12) and MLDv2 (section 5.2.12).
constexpr std::uint8_t mode_is_include = 1;
constexpr std::uint8_t change_to_include = 3;
constexpr std::uint8_t block_old_sources = 6;

constexpr std::uint16_t most_records = 64;

bool is_all_hosts(IpAddress const& address) {
    constexpr IpAddress all_nodes{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
    constexpr IpAddress all_hosts_ipv4{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 224, 0, 0, 1}};
    return address == all_nodes || address == all_hosts_ipv4;
}

}  // namespace

Verdict Classifier::State::to_group(Packet const& packet) {
    bool const multicast =
        packet.ipv4 ? is_ipv4_multicast(ipv4_of(packet.destination)) : is_ipv6_multicast(packet.destination);
    Ipv4Address const subnet_broadcast = directory.network().ipv4_broadcast;
    bool const broadcast =
        packet.ipv4 && (ipv4_of(packet.destination).be == UINT32_MAX ||
                        (subnet_broadcast.is_set() && ipv4_of(packet.destination) == subnet_broadcast));
    if (!multicast && !broadcast) {
        return dropped(Counter::drop_not_for_us);
    }
    if (broadcast || is_all_hosts(packet.destination)) {
        add_behind_us(directory.dedicated_slots());
    } else {
        groups.for_each(packet.destination, 0, now_us, [this](Slot slot) {
            if (!directory.direct(slot)) {
                add_target(slot);
            }
        });
    }
    if (packet.transport == protocol::udp && !packet.later) {
        Slot const owner = directory.owner(directory.port_entry(true, packet.destination_port)).slot;
        add_target(owner);
        if (packet.fragment) {
            wire_fragments.remember(key_of(packet), owner != wire_slot ? owner : refused_slot, now_us);
        }
    } else if (packet.later) {
        Slot const owner = wire_fragments.find(key_of(packet), now_us).value_or(refused_slot);
        add_target(owner != refused_slot ? owner : wire_slot);
    }
    Verdict verdict;
    verdict.to_targets = !targets.empty();
    verdict.to_wire = origin != wire_slot;
    verdict.drop = verdict.to_targets || verdict.to_wire ? Counter::none : Counter::drop_no_listener;
    return verdict;
}

void Classifier::State::snoop_record(IpAddress const& group, std::uint8_t type, std::size_t sources) {
    bool const multicast =
        group == mapped(ipv4_of(group)) ? is_ipv4_multicast(ipv4_of(group)) : is_ipv6_multicast(group);
    if (!multicast || type == block_old_sources) {
        return;
    }
    if (sources == 0 && (type == mode_is_include || type == change_to_include)) {
        groups.remove(group, 0, origin);
    } else {
        groups.add(group, 0, origin, now_us);
    }
}

void Classifier::State::snoop_igmp(Packet const& packet) {
    Cursor at(packet.from_offset(packet.l4));
    std::uint8_t const type = at.byte();
    at.skip(3);
    if (type != igmp_v3_report) {
        IpAddress const group = mapped(at.ipv4());
        if (!at.ok()) {
            return;
        }
        if (type == igmp_v1_report || type == igmp_v2_report) {
            snoop_record(group, 0, 0);
        } else if (type == igmp_v2_leave) {
            snoop_record(group, change_to_include, 0);
        }
        return;
    }
    at.skip(2);
    std::uint16_t const records = at.be16();
    for (std::uint16_t i = 0; i < records && i < most_records; ++i) {
        std::uint8_t const record = at.byte();
        std::size_t const auxiliary = at.byte();
        std::size_t const sources = at.be16();
        IpAddress const group = mapped(at.ipv4());
        at.skip(4 * (sources + auxiliary));
        if (!at.ok()) {
            return;
        }
        snoop_record(group, record, sources);
    }
}

void Classifier::State::snoop_mld(Packet const& packet) {
    Cursor at(packet.from_offset(packet.l4));
    std::uint8_t const type = at.byte();
    at.skip(3);
    if (type == icmpv6_type::mld_report || type == icmpv6_type::mld_done) {
        at.skip(4);
        IpAddress const group = at.ipv6();
        if (at.ok()) {
            snoop_record(group, type == icmpv6_type::mld_done ? change_to_include : std::uint8_t{0}, 0);
        }
        return;
    }
    if (type != icmpv6_type::mldv2_report) {
        return;
    }
    at.skip(2);
    std::uint16_t const records = at.be16();
    for (std::uint16_t i = 0; i < records && i < most_records; ++i) {
        std::uint8_t const record = at.byte();
        std::size_t const auxiliary = at.byte();
        std::size_t const sources = at.be16();
        IpAddress const group = at.ipv6();
        at.skip(16 * sources + 4 * auxiliary);
        if (!at.ok()) {
            return;
        }
        snoop_record(group, record, sources);
    }
}

}  // namespace librettos
