// SPDX-License-Identifier: BSD-2-Clause
// A queue pair of a Linux interface: a packet socket that carries what the kernel knows of a frame (virtio_net_hdr), so
// that TCP frames of up to 64 KiB pass whole in both directions and checksums need not be complete.
//
// Everything lies in memory of DPDK's, which the holder and its engines share, and whatever is in flight belongs to the
// kernel's socket: a process that is killed in the middle leaves nothing to be mended.
#pragma once

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

namespace librettos {

// Virtio 1.2, section 5.1.6, in the machine's byte order (linux/virtio_net.h cannot be included from C++).
struct VirtioNetHeader {
    static constexpr std::uint8_t needs_csum = 1;
    static constexpr std::uint8_t data_valid = 2;
    static constexpr std::uint8_t gso_none = 0;
    static constexpr std::uint8_t gso_tcpv4 = 1;
    static constexpr std::uint8_t gso_tcpv6 = 4;
    static constexpr std::uint8_t gso_ecn = 0x80;  // beside one of these

    std::uint8_t flags;
    std::uint8_t gso_type;
    std::uint16_t hdr_len;
    std::uint16_t gso_size;
    std::uint16_t csum_start;
    std::uint16_t csum_offset;
};
static_assert(sizeof(VirtioNetHeader) == 10);

class PacketQueue {
  public:
    // `socket`: bound, PACKET_VNET_HDR and PACKET_AUXDATA set; whoever made it closes it. `pool`: buffers for what is
    // received, all of one size. Throws NicError when it has too few.
    PacketQueue(int socket, rte_mempool* pool);
    ~PacketQueue();
    PacketQueue(PacketQueue const&) = delete;
    PacketQueue& operator=(PacketQueue const&) = delete;

    int socket() const { return socket_; }
    // In order; a frame of several segments is a chain. ol_flags: RX_LRO with tso_segsz, RX_L4_CKSUM_NONE where the
    // checksum field has the pseudo header's sum only, RX_L4_CKSUM_GOOD where the kernel vouches for it. A VLAN tag
    // that the kernel took out is in its place again.
    std::uint16_t receive(std::span<rte_mbuf*> frames);
    // How many the kernel has taken, or refused for good; the caller still owns all of them. TX_TCP_SEG with tso_segsz,
    // l2_len, l3_len and l4_len is understood.
    std::uint16_t send(std::span<rte_mbuf* const> frames);

    // Frames that receive() took from the kernel and lost; may be asked from any process.
    std::uint64_t without_buffers() const { return without_buffers_.load(std::memory_order_relaxed); }
    std::uint64_t merged() const { return merged_.load(std::memory_order_relaxed); }  // too long, or no TCP

  private:
    static constexpr unsigned burst = 32;
    static constexpr unsigned most_parts = 36;  // buffers of a frame
    static constexpr unsigned control_bytes = CMSG_SPACE(sizeof(tpacket_auxdata));

    struct Received {
        std::array<rte_mbuf*, most_parts> parts;
        std::array<iovec, 1 + most_parts> pieces;
        VirtioNetHeader header;
        alignas(cmsghdr) std::array<unsigned char, control_bytes> control;
    };
    struct Sent {
        std::array<iovec, 1 + most_parts> pieces;
        VirtioNetHeader header;
    };

    rte_mbuf* take(unsigned number);
    static rte_mbuf* lose(std::atomic<std::uint64_t>& counter);
    bool describe(VirtioNetHeader const& header, rte_mbuf& frame) const;
    void prepare(rte_mbuf& frame, unsigned number);
    void offer_again(unsigned number);
    void put_part(Received& received, unsigned part, rte_mbuf* buffer) const;

    int socket_;
    rte_mempool* pool_;
    std::uint32_t room_bytes_;  // of a buffer
    unsigned parts_;            // of a frame of the greatest length
    std::atomic<std::uint64_t> without_buffers_{0};
    std::atomic<std::uint64_t> merged_{0};
    std::array<mmsghdr, burst> receive_messages_{};
    std::array<mmsghdr, burst> send_messages_{};
    std::array<Received, burst> received_{};
    std::array<Sent, burst> sent_{};
};

}  // namespace librettos
