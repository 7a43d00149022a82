// SPDX-License-Identifier: BSD-2-Clause
// Every counter of the data path, by name. A frame that is not delivered is counted under exactly one
// name with the prefix "drop_". Names are stable: they are the keys of `librettosctl stats --json`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace librettos {

// Kept per guest and data thread. Frames that belong to no guest are counted in slot 0, "wire". What the port lost is
// counted by the holder, in the wire's cells of data thread 0: once a second, ten times a second while it grows.
enum class Counter : std::uint8_t {
    none = 0,  // never incremented: "not dropped"
    to_guest_frames,
    to_guest_bytes,
    from_guest_frames,
    from_guest_bytes,
    wire_rx_frames,
    wire_rx_bytes,
    wire_tx_frames,
    wire_tx_bytes,
    switched_frames,
    replies,
    doorbells_sent,
    doorbells_received,
    throttled,
    fragments_held,
    segmented_frames,
    checksums_computed,
    coalesced_frames,
    // a frame that the port lost
    drop_wire_missed,
    drop_wire_merged,
    // a frame for a guest, or for nobody
    drop_ring_full,
    drop_too_long,
    drop_malformed,
    drop_not_for_us,
    drop_unknown_ethertype,
    drop_vlan,
    drop_unowned_port,
    drop_unsupported_protocol,
    drop_guest_gone,
    drop_fragment_orphan,
    drop_fragment_limit,
    drop_icmp_unmatched,
    drop_reply_rate,
    drop_no_listener,
    drop_answered_by_vf,
    drop_handoff_full,
    // a frame from a guest
    drop_runt,
    drop_spoofed_mac,
    drop_spoofed_ip,
    drop_spoofed_arp,
    drop_foreign_port,
    drop_bad_offload,
    drop_no_memory,
    drop_wire_full,
    drop_wire_too_long,
    count_
};

inline constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::count_);

struct CounterText {
    std::string_view name;
    std::string_view meaning;
};

inline constexpr std::array<CounterText, counter_count> counter_texts{{
    {"none", ""},
    {"to_guest_frames", "frames put into the guest's rx rings"},
    {"to_guest_bytes", "their bytes"},
    {"from_guest_frames", "frames taken from the guest's tx rings"},
    {"from_guest_bytes", "their bytes"},
    {"wire_rx_frames", "frames received from the NIC"},
    {"wire_rx_bytes", "their bytes"},
    {"wire_tx_frames", "frames given to the NIC"},
    {"wire_tx_bytes", "their bytes"},
    {"switched_frames", "frames from this guest handed to another local guest"},
    {"replies", "ARP, ND, ICMP and RST answers made by the server"},
    {"doorbells_sent", "notifications sent to the guest"},
    {"doorbells_received", "notifications taken from the guest"},
    {"throttled", "times the guest's rate limit made it wait"},
    {"fragments_held", "fragments that waited for their first fragment"},
    {"segmented_frames", "large TCP frames cut into segments by the server"},
    {"checksums_computed", "checksums completed by the server"},
    {"coalesced_frames", "TCP segments merged into a larger frame for the guest"},
    {"drop_wire_missed", "came while the NIC's receive queue was full, or no buffer was free"},
    {"drop_wire_merged", "merged by the kernel into more than 64 KiB, or into what is not TCP"},
    {"drop_ring_full", "the guest's rx ring had no room"},
    {"drop_too_long", "longer than the guest's ring or MTU takes"},
    {"drop_malformed", "a header is cut short or contradicts itself"},
    {"drop_not_for_us", "addressed to another host"},
    {"drop_unknown_ethertype", "neither ARP, IPv4 nor IPv6"},
    {"drop_vlan", "a VLAN tag that is not ours, or none where one is needed"},
    {"drop_unowned_port", "to a port of the shared address that nobody owns"},
    {"drop_unsupported_protocol", "to the shared address, neither TCP, UDP nor ICMP"},
    {"drop_guest_gone", "the port's owner is not attached"},
    {"drop_fragment_orphan", "a fragment whose first fragment did not come in time"},
    {"drop_fragment_limit", "too many fragments waiting"},
    {"drop_icmp_unmatched", "ICMP that belongs to no guest"},
    {"drop_reply_rate", "not answered or passed on: over the limit on answers, or on announcements of addresses"},
    {"drop_no_listener", "broadcast or multicast that no guest listens to"},
    {"drop_answered_by_vf", "question about the address of a guest that has a VF, and answers through it"},
    {"drop_handoff_full", "the queue to another data thread was full"},
    {"drop_runt", "shorter than an Ethernet header"},
    {"drop_spoofed_mac", "source MAC is not the guest's"},
    {"drop_spoofed_ip", "source IP is not the guest's"},
    {"drop_spoofed_arp", "ARP or ND that claims another's address"},
    {"drop_foreign_port", "source port is not owned by the guest"},
    {"drop_bad_offload", "checksum or segmentation request that does not fit the frame"},
    {"drop_no_memory", "no buffer was free"},
    {"drop_wire_full", "the NIC's transmit queue was full"},
    {"drop_wire_too_long", "longer than the MTU"},
}};
static_assert(counter_texts.back().name == "drop_wire_too_long", "one text per counter, in order");

}  // namespace librettos
