// SPDX-License-Identifier: BSD-2-Clause
// A Linux interface as the port, beside a socket at the other end of its wire that sees what the kernel says of a
// frame.
#include <gtest/gtest.h>

#include <linux/if_ether.h>
#include <netinet/in.h>

#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "drivers/nic/packet_queue.hpp"
#include "drivers/nic/port.hpp"
#include "tests/unit/nic/wire.hpp"

namespace librettos {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t ip_at = 14;
constexpr std::size_t tcp_at = ip_at + 20;
constexpr std::size_t payload_at = tcp_at + 20;
constexpr std::size_t checksum_at = tcp_at + 16;
constexpr std::uint16_t segment_bytes = 1460;

// An IPv4 TCP frame whose payload counts; its TCP checksum is zero.
Bytes tcp_frame(std::size_t payload_bytes) {
    Bytes frame(payload_at + payload_bytes);
    std::memcpy(frame.data(), "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00", ip_at);
    auto* const ip = reinterpret_cast<rte_ipv4_hdr*>(&frame[ip_at]);
    ip->version_ihl = 0x45;
    ip->total_length = htons(static_cast<std::uint16_t>(frame.size() - ip_at));
    ip->time_to_live = 64;
    ip->next_proto_id = IPPROTO_TCP;
    ip->src_addr = htonl(0x0a090001);
    ip->dst_addr = htonl(0x0a090002);
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    frame[tcp_at + 12] = 0x50;
    std::iota(frame.begin() + payload_at, frame.end(), std::uint8_t{0});
    return frame;
}

// Sees frames as the kernel has them: with a virtio_net_hdr, merged ones whole.
class Peer {
  public:
    explicit Peer(std::string const& interface, std::uint16_t protocol = ETH_P_IP)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol))) {
        int const on = 1;
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(protocol);
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        timeval const patience{10, 0};
        require(fd_ >= 0 && setsockopt(fd_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) == 0 &&
                    setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) == 0 &&
                    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
                    bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
                "peer on " + interface);
    }
    ~Peer() { close(fd_); }
    Peer(Peer const&) = delete;
    Peer& operator=(Peer const&) = delete;

    void send(VirtioNetHeader const& header, Bytes const& frame) const {
        Bytes both(sizeof header + frame.size());
        std::memcpy(both.data(), &header, sizeof header);
        std::copy(frame.begin(), frame.end(), both.begin() + sizeof header);
        require(::send(fd_, both.data(), both.size(), 0) == static_cast<ssize_t>(both.size()), "send of the peer");
    }
    Bytes receive(VirtioNetHeader& header) const {
        Bytes both(sizeof header + 70'000);
        ssize_t const got = recv(fd_, both.data(), both.size(), 0);
        require(got > static_cast<ssize_t>(sizeof header), "nothing came to the peer");
        std::memcpy(&header, both.data(), sizeof header);
        return {both.begin() + sizeof header, both.begin() + got};
    }

  private:
    int fd_;
};

rte_mbuf* receive_one(PortDescription const& port) {
    rte_mbuf* frame = nullptr;
    for (int i = 0; i < 100 && rte_eth_rx_burst(port.port_id, 0, &frame, 1) == 0; ++i) {
        static_cast<void>(readable(port.wait_fds[0], 100));
    }
    require(frame != nullptr, "nothing came to the port");
    return frame;
}

Bytes bytes_of(rte_mbuf const& frame) {
    Bytes bytes;
    for (rte_mbuf const* part = &frame; part != nullptr; part = part->next) {
        auto const* const data = rte_pktmbuf_mtod(part, std::uint8_t const*);
        bytes.insert(bytes.end(), data, data + part->data_len);
    }
    return bytes;
}

// In as many buffers as it takes.
rte_mbuf* chain_of(Bytes const& bytes, rte_mempool* pool) {
    rte_mbuf* first = nullptr;
    for (std::size_t at = 0; at < bytes.size();) {
        rte_mbuf* const part = rte_pktmbuf_alloc(pool);
        auto const count = std::min<std::size_t>(bytes.size() - at, rte_pktmbuf_tailroom(part));
        std::memcpy(rte_pktmbuf_append(part, static_cast<std::uint16_t>(count)), &bytes[at], count);
        at += count;
        if (first == nullptr) {
            first = part;
        } else {
            require(rte_pktmbuf_chain(first, part) == 0, "chain");
        }
    }
    return first;
}

VirtioNetHeader merged_header() {
    VirtioNetHeader header{};
    header.flags = VirtioNetHeader::needs_csum;
    header.gso_type = VirtioNetHeader::gso_tcpv4;
    header.hdr_len = payload_at;
    header.gso_size = segment_bytes;
    header.csum_start = tcp_at;
    header.csum_offset = checksum_at - tcp_at;
    return header;
}

// A port "va" and a peer "vb", in a namespace of their own; `body` gets both.
template <typename Body>
std::string with_port(Body const& body) {
    return in_namespace([&] {
        make_veth();
        PortOptions const options = port_options("va");
        Eal const eal(options);
        Port const port(options, 1, eal);
        Peer const peer("vb");
        body(port, peer);
    });
}

TEST(PacketPort, TakesMergedFramesWhole) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  require(port.description().rx_lro && port.description().rx_checksum, "description");
                  Bytes const frame = tcp_frame(60'000);
                  peer.send(merged_header(), frame);
                  rte_mbuf* const got = receive_one(port.description());
                  require((got->ol_flags & RTE_MBUF_F_RX_LRO) != 0 && got->tso_segsz == segment_bytes, "merged");
                  require((got->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE, "checksum");
                  require(got->nb_segs > 1 && got->pkt_len == frame.size(), "length");
                  require(bytes_of(*got) == frame, "content");
                  rte_pktmbuf_free(got);
              }),
              "");
}

TEST(PacketPort, SendsLargeFramesWhole) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  PortDescription const& description = port.description();
                  require(description.tx_tso, "description");
                  Bytes frame = tcp_frame(60'000);
                  rte_mbuf* buffers = chain_of(frame, port.pool());
                  buffers->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4;
                  buffers->l2_len = ip_at;
                  buffers->l3_len = tcp_at - ip_at;
                  buffers->l4_len = payload_at - tcp_at;
                  buffers->tso_segsz = segment_bytes;
                  require(rte_eth_tx_burst(description.port_id, 0, &buffers, 1) == 1, "burst");
                  VirtioNetHeader header{};
                  Bytes const got = peer.receive(header);
                  require(header.gso_type == VirtioNetHeader::gso_tcpv4 && header.gso_size == segment_bytes, "merged");
                  require(header.flags == VirtioNetHeader::needs_csum && header.csum_start == tcp_at &&
                              header.csum_offset == checksum_at - tcp_at,
                          "checksum");
                  auto const sum = rte_ipv4_phdr_cksum(reinterpret_cast<rte_ipv4_hdr const*>(&frame[ip_at]), 0);
                  std::memcpy(&frame[checksum_at], &sum, sizeof sum);
                  require(got == frame, "content");
              }),
              "");
}

TEST(PacketPort, ChecksumsThatTheKernelVouchesFor) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  VirtioNetHeader header = merged_header();
                  header.gso_type = VirtioNetHeader::gso_none;
                  header.gso_size = header.hdr_len = 0;
                  peer.send(header, tcp_frame(100));
                  rte_mbuf* const partial = receive_one(port.description());
                  require((partial->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE, "partial");
                  peer.send({}, tcp_frame(100));
                  rte_mbuf* const unknown = receive_one(port.description());
                  require((unknown->ol_flags & (RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO)) == 0, "unknown");
                  rte_pktmbuf_free(partial);
                  rte_pktmbuf_free(unknown);
              }),
              "");
}

// The kernel takes it out before a packet socket sees the frame.
TEST(PacketPort, VlanTagsAreInTheirPlace) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  Bytes frame = tcp_frame(100);
                  Bytes const tag{0x81, 0x00, 0x60, 0x07};
                  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
                  peer.send({}, frame);
                  rte_mbuf* const got = receive_one(port.description());
                  require(bytes_of(*got) == frame, "content");
                  rte_pktmbuf_free(got);
              }),
              "");
}

TEST(PacketPort, KeepsWhatCannotBeSentNowAndNotWhatNeverCan) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  PortDescription const& description = port.description();
                  std::array<rte_mbuf*, 2> frames{chain_of(tcp_frame(3000), port.pool()),
                                                  chain_of(tcp_frame(100), port.pool())};
                  require(rte_eth_tx_burst(description.port_id, 0, frames.data(), 2) == 2, "longer than the MTU");
                  VirtioNetHeader header{};
                  require(peer.receive(header).size() == payload_at + 100, "the one behind it");
                  shell("ip link set va down");
                  rte_mbuf* later = chain_of(tcp_frame(50), port.pool());
                  require(rte_eth_tx_burst(description.port_id, 0, &later, 1) == 0, "while the interface is down");
                  shell("ip link set va up");
                  bool sent = false;  // at once, or when the socket has told that it was down
                  for (int i = 0; i < 3 && !sent; ++i) {
                      sent = rte_eth_tx_burst(description.port_id, 0, &later, 1) == 1;
                  }
                  require(sent, "when it is up again");
                  require(peer.receive(header).size() == payload_at + 50, "the same");
              }),
              "");
}

TEST(PacketPort, AFrameForWhichThereAreNoBuffersIsLostAlone) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  std::vector<rte_mbuf*> all(rte_mempool_avail_count(port.pool()));
                  require(rte_pktmbuf_alloc_bulk(port.pool(), all.data(), static_cast<unsigned>(all.size())) == 0,
                          "pool");
                  peer.send({}, tcp_frame(100));
                  rte_mbuf* frame = nullptr;
                  require(readable(port.description().wait_fds[0], 10'000), "it came");
                  require(rte_eth_rx_burst(port.description().port_id, 0, &frame, 1) == 0, "no buffer");
                  require(port.losses() == PortLosses{.missed = 1}, "counted");
                  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
                  peer.send({}, tcp_frame(200));
                  rte_mbuf* const next = receive_one(port.description());
                  require(next->pkt_len == payload_at + 200, "the next one");
                  rte_pktmbuf_free(next);
              }),
              "");
}

TEST(PacketPort, FramesThatTheKernelHasNoRoomForAreCounted) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  require(port.losses() == PortLosses{}, "none at first");
                  constexpr unsigned sent = 20'000;
                  for (unsigned i = 0; i < sent; ++i) {
                      peer.send({}, tcp_frame(1000));
                  }
                  std::array<rte_mbuf*, 32> frames{};
                  unsigned came = 0;
                  while (std::uint16_t const count =
                             rte_eth_rx_burst(port.description().port_id, 0, frames.data(), frames.size())) {
                      rte_pktmbuf_free_bulk(frames.data(), count);
                      came += count;
                  }
                  require(came >= 256 && came < sent, std::to_string(came) + " came");
                  PortLosses const expected{.missed = sent - came};
                  require(port.losses() == expected, std::to_string(port.losses().missed) + " missed");
                  require(port.losses() == expected, "no more, and none forgotten");
              }),
              "");
}

TEST(PacketPort, WhatTheKernelMergedTooFarIsCounted) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(with_port([](Port const& port, Peer const& peer) {
                  rte_mbuf* frame = nullptr;
                  auto const is_lost = [&](std::uint64_t number) {
                      require(readable(port.description().wait_fds[0], 10'000), "it came");
                      require(rte_eth_rx_burst(port.description().port_id, 0, &frame, 1) == 0, "not to us");
                      require(port.losses() == PortLosses{.merged = number}, "counted");
                  };
                  VirtioNetHeader udp = merged_header();
                  udp.gso_type = 5;  // VIRTIO_NET_HDR_GSO_UDP_L4
                  udp.csum_offset = 6;
                  udp.hdr_len = tcp_at + 8;
                  Bytes datagrams = tcp_frame(5000);
                  datagrams[ip_at + 9] = IPPROTO_UDP;
                  peer.send(udp, datagrams);
                  is_lost(1);

                  if (std::system("ip link set vb gso_max_size 131072 2>/dev/null") != 0) {
                      return;  // before Linux 5.19 there are no such frames
                  }
                  Peer const big("vb", ETH_P_IPV6);
                  VirtioNetHeader merged = merged_header();
                  merged.gso_type = VirtioNetHeader::gso_tcpv6;
                  merged.csum_start = ip_at + sizeof(rte_ipv6_hdr);
                  merged.hdr_len = static_cast<std::uint16_t>(merged.csum_start + sizeof(rte_tcp_hdr));
                  Bytes frame_of_80_kb(80'000);
                  std::memcpy(&frame_of_80_kb[ip_at - 2], "\x86\xdd\x60\0\0\0\0\0\x06\x40", 10);
                  frame_of_80_kb[merged.csum_start + 12] = 0x50;
                  big.send(merged, frame_of_80_kb);
                  is_lost(2);

                  peer.send({}, tcp_frame(100));
                  rte_pktmbuf_free(receive_one(port.description()));
              }),
              "");
}

TEST(PacketPort, QueuesShareAnInterface) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  PortOptions const options = port_options("va");
                  Eal const eal(options, 2);
                  Port const port(options, 2, eal);
                  Peer const peer("vb");
                  constexpr unsigned flows = 64;
                  for (unsigned flow = 0; flow < flows; ++flow) {
                      Bytes frame = tcp_frame(100);
                      frame[tcp_at + 1] = static_cast<std::uint8_t>(flow);
                      peer.send({}, frame);
                  }
                  std::array<unsigned, 2> came{};
                  for (int i = 0; i < 100 && came[0] + came[1] < flows; ++i) {
                      for (std::uint16_t queue = 0; queue < 2; ++queue) {
                          std::array<rte_mbuf*, 16> frames{};
                          auto const count = rte_eth_rx_burst(port.description().port_id, queue, frames.data(), 16);
                          came[queue] += count;
                          rte_pktmbuf_free_bulk(frames.data(), count);
                      }
                      usleep(1000);
                  }
                  require(came[0] + came[1] == flows && came[0] > 0 && came[1] > 0,
                          std::to_string(came[0]) + " and " + std::to_string(came[1]));
              }),
              "");
}

}  // namespace
}  // namespace librettos
