// SPDX-License-Identifier: BSD-2-Clause
// TCP frames of more than an MTU that pass the port whole, where the port can cut and merge them: one frame of 64 KB
// costs little more than one of 1,500 bytes. And checksums that the port leaves to us.
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "daemon/engine/datapath/checksum.hpp"
#include "daemon/engine/datapath/data_thread.hpp"
#include "daemon/engine/datapath/packet.hpp"
#include "daemon/engine/datapath/segment.hpp"

namespace librettos {

namespace {

// Smaller ones are cut in software: NICs take a guest that asks for them for malicious and stop.
constexpr std::uint16_t least_port_segment_bytes = 256;

constexpr std::size_t tcp_header_length_at = 12;
constexpr std::size_t tcp_checksum_at = 16;
constexpr std::size_t udp_checksum_at = 6;

std::uint64_t tcp_pseudo_header_sum(Packet const& packet) {
    std::uint8_t const* const ip = packet.bytes.data() + packet.l3;
    auto const tcp_length = static_cast<std::uint32_t>(packet.end - packet.l4);
    return packet.ipv4 ? pseudo_header_sum({ip + 12, 4}, {ip + 16, 4}, protocol::tcp, tcp_length)
                       : pseudo_header_sum({ip + 8, 16}, {ip + 24, 16}, protocol::tcp, tcp_length);
}

}  // namespace

// ---- to the wire ----

// A frame in as many buffers as it needs; nullptr: the pool is empty. Until it is forgotten there, mine_.building has
// it.
rte_mbuf* DataThread::chain(std::span<std::uint8_t const> bytes) noexcept {
    rte_mbuf* last = nullptr;
    while (!bytes.empty()) {
        rte_mbuf* const buffer = take_spare();
        if (buffer == nullptr) {
            rte_pktmbuf_free(std::exchange(mine_.building, nullptr));
            return nullptr;
        }
        auto const length = static_cast<std::uint16_t>(std::min<std::size_t>(bytes.size(), buffer_room_));
        std::memcpy(rte_pktmbuf_mtod(buffer, void*), bytes.data(), length);
        buffer->data_len = length;
        if (last == nullptr) {
            buffer->pkt_len = static_cast<std::uint32_t>(bytes.size());
            mine_.building = buffer;
        } else {
            last->next = buffer;
            ++mine_.building->nb_segs;
        }
        last = buffer;
        bytes = bytes.subspan(length);
    }
    return mine_.building;
}

// false: the port is not for this frame, which is still to be dealt with.
bool DataThread::whole_to_wire(Guest const& from, Frame const& frame) {
    std::uint16_t const gso_size = frame.record.gso_size;
    auto const headers = Segmenter::make({frame.bytes, frame.length}, gso_size);
    if (!headers || gso_size < least_port_segment_bytes || headers->count() < 2 || headers->count() > max_segments) {
        return false;
    }
    rte_mbuf* buffer = chain({frame.bytes, headers->packet_end()});
    if (buffer == nullptr) {
        counters_.add(from.slot, Counter::drop_no_memory);
        return true;
    }
    bool const ipv4 = (frame.record.flags & LVIF_GSO_TCP4) != 0;
    buffer->ol_flags = RTE_MBUF_F_TX_TCP_SEG | (ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
    buffer->ol_flags |= ipv4 && setup_.port->tx_ip_checksum ? RTE_MBUF_F_TX_IP_CKSUM : 0;
    buffer->tx_offload = 0;
    buffer->l2_len = headers->ip_at();
    buffer->l3_len = headers->tcp_at() - headers->ip_at();
    buffer->l4_len = headers->header_bytes() - headers->tcp_at();
    buffer->tso_segsz = gso_size;
    tag(buffer);
    bool const fits = rte_eth_tx_prepare(setup_.port->port_id, setup_.index, &buffer, 1) == 1;
    mine_.building = nullptr;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (fits) {
        append(buffer, from.slot);
    } else {
        counters_.add(from.slot, Counter::drop_bad_offload);
        rte_pktmbuf_free(buffer);
    }
    return true;
}

// ---- from the wire ----

// Frames in several buffers, merged ones, and those whose checksum field holds the sum of the pseudo header only.
// false: too long, or not what it is said to be.
bool DataThread::received_unfinished(rte_mbuf const& buffer, Frame& frame) {
    bool const merged = (buffer.ol_flags & RTE_MBUF_F_RX_LRO) != 0;
    if (buffer.nb_segs > 1) {
        if (buffer.pkt_len > (merged ? LVIF_MAX_FRAME_BYTES : max_wire_frame_ + vlan_tag_bytes) ||
            rte_pktmbuf_read(&buffer, 0, buffer.pkt_len, large_frame_.get()) == nullptr) {
            return false;
        }
        frame.bytes = large_frame_.get();
        frame.length = buffer.pkt_len;
    }
    Packet packet;
    if (!parse_ether({frame.bytes, frame.length}, frame.length, packet) ||
        (packet.ethertype != ethertype::ipv4 && packet.ethertype != ethertype::ipv6) || !parse_ip(packet) ||
        packet.fragment || !packet.has_ports()) {
        return !merged;
    }
    if (merged) {
        return describe_merged(packet, buffer.tso_segsz, frame);
    }
    if ((buffer.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE) {
        frame.record.flags = LVIF_CSUM_PARTIAL;
        frame.record.csum_start = static_cast<std::uint16_t>(packet.l4);
        frame.record.csum_offset = packet.transport == protocol::tcp ? tcp_checksum_at : udp_checksum_at;
    }
    return true;
}

bool DataThread::describe_merged(Packet const& packet, std::uint16_t segment_bytes, Frame& frame) {
    if (packet.transport != protocol::tcp || (!packet.ipv4 && packet.l4 != packet.l3 + ipv6_bytes)) {
        return false;
    }
    std::uint8_t* const tcp = frame.bytes + packet.l4;
    std::size_t const headers = packet.l4 + std::size_t{tcp[tcp_header_length_at]} / 16 * 4;
    if (segment_bytes == 0 || headers < packet.l4 + tcp_bytes || headers > packet.end) {
        return false;
    }
    frame.length = static_cast<std::uint32_t>(packet.end);
    frame.record.flags = LVIF_CSUM_PARTIAL;
    frame.record.csum_start = static_cast<std::uint16_t>(packet.l4);
    frame.record.csum_offset = tcp_checksum_at;
    checksum_store(tcp + tcp_checksum_at, checksum_fold(tcp_pseudo_header_sum(packet)));
    if (packet.end - headers > segment_bytes) {
        frame.record.flags |= packet.ipv4 ? LVIF_GSO_TCP4 : LVIF_GSO_TCP6;
        frame.record.gso_size = segment_bytes;
        frame.record.header_length = static_cast<std::uint16_t>(headers);
    }
    return true;
}

}  // namespace librettos
