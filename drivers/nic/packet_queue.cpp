// SPDX-License-Identifier: BSD-2-Clause
// Bursts of a packet socket.
#include "drivers/nic/packet_queue.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "drivers/nic/preflight.hpp"

namespace librettos {
namespace {

constexpr std::uint32_t largest_frame_bytes = 65536 + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;

// Of the checksum field: what it is to hold for the kernel, which completes it for each segment.
void store_pseudo_header_sum(rte_mbuf& frame) {
    auto* const tcp = rte_pktmbuf_mtod_offset(&frame, rte_tcp_hdr*, frame.l2_len + frame.l3_len);
    if ((frame.ol_flags & RTE_MBUF_F_TX_IPV4) != 0) {
        tcp->cksum = rte_ipv4_phdr_cksum(rte_pktmbuf_mtod_offset(&frame, rte_ipv4_hdr*, frame.l2_len), 0);
    } else if (frame.l3_len == sizeof(rte_ipv6_hdr)) {
        tcp->cksum = rte_ipv6_phdr_cksum(rte_pktmbuf_mtod_offset(&frame, rte_ipv6_hdr*, frame.l2_len), 0);
    }
}

tpacket_auxdata auxiliary_data(msghdr& message) {
    tpacket_auxdata data{};
    for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
        if (item->cmsg_level == SOL_PACKET && item->cmsg_type == PACKET_AUXDATA) {
            std::memcpy(&data, CMSG_DATA(item), sizeof data);
        }
    }
    return data;
}

void insert_tag(rte_mbuf& frame, tpacket_auxdata const& data) {
    rte_mbuf* tagged = &frame;
    frame.vlan_tci = data.tp_vlan_tci;
    rte_vlan_insert(&tagged);  // an 802.1Q tag, for which buffers have room
    if ((data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0) {
        rte_pktmbuf_mtod(tagged, rte_ether_hdr*)->ether_type = rte_cpu_to_be_16(data.tp_vlan_tpid);
    }
}

// Not this frame: it would be refused again.
bool refused_for_good(int error) {
    return error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP;
}

}  // namespace

PacketQueue::PacketQueue(int socket, rte_mempool* pool)
    : socket_(socket),
      pool_(pool),
      room_bytes_(rte_pktmbuf_data_room_size(pool) - std::uint32_t{RTE_PKTMBUF_HEADROOM}),
      parts_((largest_frame_bytes + room_bytes_ - 1) / room_bytes_) {
    if (parts_ > most_parts) {
        throw NicError("buffers of " + std::to_string(room_bytes_) + " bytes are too small for frames of 64 KiB");
    }
    for (unsigned i = 0; i < burst; ++i) {
        Received& received = received_[i];
        if (rte_pktmbuf_alloc_bulk(pool, received.parts.data(), parts_) != 0) {
            received.parts.fill(nullptr);
            throw NicError("a queue of a Linux interface needs " + std::to_string(burst * parts_) +
                           " buffers; write more port.buffers");
        }
        received.pieces[0] = {&received.header, sizeof received.header};
        for (unsigned part = 0; part < parts_; ++part) {
            put_part(received, part, received.parts[part]);
        }
        receive_messages_[i].msg_hdr.msg_iov = received.pieces.data();
        receive_messages_[i].msg_hdr.msg_iovlen = 1 + parts_;
        receive_messages_[i].msg_hdr.msg_control = received.control.data();
        offer_again(i);
        sent_[i].pieces[0] = {&sent_[i].header, sizeof sent_[i].header};
        send_messages_[i].msg_hdr.msg_iov = sent_[i].pieces.data();
    }
}

PacketQueue::~PacketQueue() {
    for (Received& received : received_) {
        for (unsigned part = 0; part < parts_; ++part) {
            rte_pktmbuf_free(received.parts[part]);
        }
    }
}

void PacketQueue::put_part(Received& received, unsigned part, rte_mbuf* buffer) const {
    received.parts[part] = buffer;
    received.pieces[1 + part] = {rte_pktmbuf_mtod(buffer, void*), room_bytes_};
}

// What recvmmsg() writes there tells how much came.
void PacketQueue::offer_again(unsigned number) {
    receive_messages_[number].msg_hdr.msg_controllen = control_bytes;
    receive_messages_[number].msg_hdr.msg_flags = 0;
}

std::uint16_t PacketQueue::receive(std::span<rte_mbuf*> frames) {
    auto const most = std::min<unsigned>(static_cast<unsigned>(frames.size()), burst);
    int const got = recvmmsg(socket_, receive_messages_.data(), most, MSG_DONTWAIT, nullptr);
    if (got < 0 && errno == EINVAL) {
        lose(merged_);  // into something that the kernel has no virtio_net_hdr for; the next frame is another
    }
    std::uint16_t count = 0;
    for (int i = 0; i < got; ++i) {
        if (rte_mbuf* const frame = take(static_cast<unsigned>(i))) {
            frames[count++] = frame;
        }
        offer_again(static_cast<unsigned>(i));
    }
    return count;
}

rte_mbuf* PacketQueue::lose(std::atomic<std::uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // one writer
    return nullptr;
}

// The frame of that message; nullptr: too long, not understood, or there are no buffers to take its place.
rte_mbuf* PacketQueue::take(unsigned number) {
    Received& received = received_[number];
    mmsghdr& message = receive_messages_[number];
    if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0 || message.msg_len < sizeof(VirtioNetHeader) + RTE_ETHER_HDR_LEN) {
        return lose(merged_);
    }
    std::uint32_t const bytes = message.msg_len - static_cast<std::uint32_t>(sizeof(VirtioNetHeader));
    unsigned const parts = (bytes + room_bytes_ - 1) / room_bytes_;
    std::array<rte_mbuf*, most_parts> fresh;
    rte_mbuf* const frame = received.parts[0];
    if (!describe(received.header, *frame)) {
        return lose(merged_);
    }
    if (rte_pktmbuf_alloc_bulk(pool_, fresh.data(), parts) != 0) {
        return lose(without_buffers_);
    }
    frame->pkt_len = bytes;
    frame->nb_segs = static_cast<std::uint16_t>(parts);
    for (unsigned part = 0; part < parts; ++part) {
        rte_mbuf* const buffer = received.parts[part];
        buffer->data_len = static_cast<std::uint16_t>(std::min(bytes - part * room_bytes_, room_bytes_));
        buffer->next = part + 1 < parts ? received.parts[part + 1] : nullptr;
    }
    // Others are in their place before they are given away: a kill in between loses them, and gives none away twice.
    for (unsigned part = 0; part < parts; ++part) {
        put_part(received, part, fresh[part]);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    tpacket_auxdata const data = auxiliary_data(message.msg_hdr);
    if ((data.tp_status & TP_STATUS_VLAN_VALID) != 0) {
        insert_tag(*frame, data);
    }
    return frame;
}

// false: merged of something else than TCP segments.
bool PacketQueue::describe(VirtioNetHeader const& header, rte_mbuf& frame) const {
    frame.ol_flags = 0;
    if ((header.flags & VirtioNetHeader::needs_csum) != 0) {
        frame.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
    } else if ((header.flags & VirtioNetHeader::data_valid) != 0) {
        frame.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    }
    switch (header.gso_type & ~VirtioNetHeader::gso_ecn) {
        case VirtioNetHeader::gso_none:
            return true;
        case VirtioNetHeader::gso_tcpv4:
        case VirtioNetHeader::gso_tcpv6:
            frame.ol_flags |= RTE_MBUF_F_RX_LRO;
            frame.tso_segsz = header.gso_size;
            return true;
        default:
            return false;
    }
}

void PacketQueue::prepare(rte_mbuf& frame, unsigned number) {
    Sent& sent = sent_[number];
    sent.header = {};
    if ((frame.ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
        store_pseudo_header_sum(frame);
        sent.header.flags = VirtioNetHeader::needs_csum;
        sent.header.gso_type =
            (frame.ol_flags & RTE_MBUF_F_TX_IPV4) != 0 ? VirtioNetHeader::gso_tcpv4 : VirtioNetHeader::gso_tcpv6;
        sent.header.gso_size = frame.tso_segsz;
        sent.header.csum_start = static_cast<std::uint16_t>(frame.l2_len + frame.l3_len);
        sent.header.csum_offset = offsetof(rte_tcp_hdr, cksum);
        sent.header.hdr_len = static_cast<std::uint16_t>(frame.l2_len + frame.l3_len + frame.l4_len);
    }
    unsigned pieces = 1;
    for (rte_mbuf* part = &frame; part != nullptr && pieces <= most_parts; part = part->next) {
        sent.pieces[pieces++] = {rte_pktmbuf_mtod(part, void*), part->data_len};
    }
    send_messages_[number].msg_hdr.msg_iovlen = pieces;
}

std::uint16_t PacketQueue::send(std::span<rte_mbuf* const> frames) {
    std::size_t done = 0;
    while (done < frames.size()) {
        auto const count = static_cast<unsigned>(std::min<std::size_t>(frames.size() - done, burst));
        for (unsigned i = 0; i < count; ++i) {
            prepare(*frames[done + i], i);
        }
        int const sent = sendmmsg(socket_, send_messages_.data(), count, MSG_DONTWAIT);
        if (sent > 0) {
            done += static_cast<unsigned>(sent);
        } else if (refused_for_good(errno)) {
            ++done;
        } else {
            break;
        }
    }
    return static_cast<std::uint16_t>(done);
}

}  // namespace librettos
