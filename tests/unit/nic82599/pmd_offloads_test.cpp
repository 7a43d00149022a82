// SPDX-License-Identifier: BSD-2-Clause
// Offloads as DPDK asks for them, compared with sums and segments that this test computes itself; RSS, VLAN, jumbo
// frames, interrupts, flow director.
#include <numeric>
#include <set>

#include <rte_flow.h>
#include <rte_interrupts.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "tests/unit/nic82599/pmd_port.hpp"

namespace nic82599 {
namespace {

// Written apart from the model's Checksum on purpose: plain sums over numbers of 16 bits.
std::uint16_t sum_of(std::span<std::uint8_t const> bytes, std::uint64_t start = 0) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        start += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
    }
    return static_cast<std::uint16_t>(start % 0xFFFF == 0 && start != 0 ? 0xFFFF : start % 0xFFFF);
}

bool ip_sum_is_right(Frame const& frame) {
    return sum_of(std::span(frame).subspan(14, 20)) == 0xFFFF;
}

bool l4_sum_is_right(Frame const& frame) {
    std::size_t const l4_bytes = be16(frame, 16) - 20u;
    std::uint64_t const pseudo = std::uint64_t{frame[23]} + l4_bytes;
    auto const addresses = std::span(frame).subspan(26, 8);
    std::vector<std::uint8_t> all(addresses.begin(), addresses.end());
    all.insert(all.end(), frame.begin() + 34, frame.begin() + 34 + static_cast<std::ptrdiff_t>(l4_bytes));
    return sum_of(all, pseudo) == 0xFFFF;
}

// IPv4 without options; sums are zero.
Frame ipv4_frame(std::uint8_t protocol, std::size_t l4_header, std::size_t payload, std::uint16_t source_port = 1000,
                 std::uint32_t source = 0x0A000001) {
    Frame frame(34 + l4_header + payload);
    std::iota(frame.begin(), frame.end(), std::uint8_t{0});
    std::copy(pf_mac.begin(), pf_mac.end(), frame.begin());
    std::copy(peer_mac.begin(), peer_mac.end(), frame.begin() + 6);
    put_be16(frame, 12, 0x0800);
    std::fill(frame.begin() + 14, frame.begin() + 34 + static_cast<std::ptrdiff_t>(l4_header), std::uint8_t{0});
    frame[14] = 0x45;
    put_be16(frame, 16, static_cast<std::uint16_t>(frame.size() - 14));
    put_be16(frame, 18, 0x4000);
    frame[22] = 64;
    frame[23] = protocol;
    put_be32(frame, 26, source);
    put_be32(frame, 30, 0x0A000002);
    put_be16(frame, 34, source_port);
    put_be16(frame, 36, 2000);
    return frame;
}

Frame tcp_frame(std::size_t payload, std::uint8_t flags = RTE_TCP_ACK_FLAG) {
    Frame frame = ipv4_frame(6, 20, payload);
    put_be32(frame, 38, 0x01000000);
    frame[46] = 0x50;
    frame[47] = flags;
    return frame;
}

Frame udp_frame(std::size_t payload, std::uint16_t source_port = 1000, std::uint32_t source = 0x0A000001) {
    Frame frame = ipv4_frame(17, 8, payload, source_port, source);
    put_be16(frame, 38, static_cast<std::uint16_t>(8 + payload));
    return frame;
}

class Offloads : public testing::Test {
  protected:
    Offloads() : nic(laboratory.nic()) {}

    void start(std::uint64_t rx, std::uint64_t tx, std::uint16_t queues = 1, rte_eth_conf conf = {}) {
        ASSERT_TRUE(laboratory.started());
        conf.rxmode.offloads = rx;
        conf.txmode.offloads = tx;
        ASSERT_EQ(laboratory.start(0, conf, queues), 0);
    }
    std::vector<Frame> sent(Frame const& frame, std::uint64_t flags, std::uint16_t segment = 0) {
        rte_mbuf* const one = laboratory.mbuf(frame);
        one->ol_flags = flags;
        one->l2_len = 14;
        one->l3_len = 20;
        one->l4_len = frame[23] == 6 ? 20 : 8;
        one->tso_segsz = segment;
        EXPECT_TRUE(Laboratory::send(0, one));
        return laboratory.wire();
    }

    Laboratory laboratory;
    Nic& nic;
};

TEST_F(Offloads, TransmitChecksums) {
    start(0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    for (std::size_t const payload : {26u, 27u, 500u, 1001u}) {
        auto const tcp =
            sent(tcp_frame(payload), RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM);
        auto const udp =
            sent(udp_frame(payload), RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
        ASSERT_EQ(tcp.size(), 1u);
        ASSERT_EQ(udp.size(), 1u);
        for (Frame const& frame : {tcp[0], udp[0]}) {
            EXPECT_TRUE(ip_sum_is_right(frame));
            EXPECT_TRUE(l4_sum_is_right(frame));
        }
    }
}

TEST_F(Offloads, TcpSegmentation) {
    start(0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
                 RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
    constexpr std::size_t payload = 10'000, segment = 1448;
    Frame const frame = tcp_frame(payload, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG);
    auto const segments = sent(
        frame, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG, segment);
    ASSERT_EQ(segments.size(), (payload + segment - 1) / segment);
    Frame stream;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        Frame const& one = segments[i];
        bool const last = i + 1 == segments.size();
        EXPECT_EQ(one.size(), 54 + (last ? payload % segment : segment));
        EXPECT_EQ(be16(one, 16), one.size() - 14) << "IP length";
        EXPECT_EQ(be16(one, 18), 0x4000 + i) << "IP identification";
        EXPECT_EQ(be32(one, 38), 0x01000000 + i * segment) << "sequence number";
        EXPECT_EQ(one[47], last ? RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG : RTE_TCP_ACK_FLAG);
        EXPECT_TRUE(ip_sum_is_right(one));
        EXPECT_TRUE(l4_sum_is_right(one));
        stream.insert(stream.end(), one.begin() + 54, one.end());
    }
    EXPECT_TRUE(std::equal(stream.begin(), stream.end(), frame.begin() + 54, frame.end()));
}

TEST_F(Offloads, ReceiveChecksumFlags) {
    start(RTE_ETH_RX_OFFLOAD_CHECKSUM, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
    Frame good = sent(tcp_frame(100), RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM).at(0);
    auto const flags = [this](Frame const& frame) {
        EXPECT_TRUE(nic.receive(frame));
        rte_mbuf* const one = Laboratory::receive_one(0);
        std::uint64_t const result = one == nullptr ? 0 : one->ol_flags;
        rte_pktmbuf_free(one);
        return result & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    };
    EXPECT_EQ(flags(good), RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD);
    good.back() ^= 1;
    EXPECT_EQ(flags(good), RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD);
    good[22] ^= 1;
    EXPECT_EQ(flags(good), RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD);
}

TEST_F(Offloads, VlanStripFilterAndInsert) {
    start(RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_VLAN_FILTER, RTE_ETH_TX_OFFLOAD_VLAN_INSERT);
    Frame const frame = numbered_frame(pf_mac, peer_mac, 1);
    EXPECT_FALSE(nic.receive(tagged(frame, 42)));
    ASSERT_EQ(rte_eth_dev_vlan_filter(0, 42, 1), 0);
    EXPECT_TRUE(nic.receive(tagged(frame, 42)));
    rte_mbuf* const one = Laboratory::receive_one(0);
    ASSERT_NE(one, nullptr);
    EXPECT_NE(one->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED, 0u);
    EXPECT_EQ(one->vlan_tci, 42);
    EXPECT_EQ(Laboratory::content(one), frame);
    one->ol_flags = RTE_MBUF_F_TX_VLAN;
    one->vlan_tci = 99;
    EXPECT_TRUE(Laboratory::send(0, one));
    EXPECT_EQ(laboratory.wire(), std::vector<Frame>{tagged(frame, 99)});
}

TEST_F(Offloads, JumboFramesInSegments) {
    rte_eth_conf conf{};
    conf.rxmode.mtu = 9000;
    start(RTE_ETH_RX_OFFLOAD_SCATTER, RTE_ETH_TX_OFFLOAD_MULTI_SEGS, 1, conf);
    Frame const frame = numbered_frame(pf_mac, peer_mac, 7, 8000);
    ASSERT_TRUE(nic.receive(frame));
    rte_mbuf* const one = Laboratory::receive_one(0);
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(one->nb_segs, 4);
    EXPECT_EQ(Laboratory::content(one), frame);
    EXPECT_TRUE(Laboratory::send(0, one));
    EXPECT_EQ(laboratory.wire(), std::vector<Frame>{frame});
    EXPECT_FALSE(nic.receive(numbered_frame(pf_mac, peer_mac, 7, 9100)));
}

TEST_F(Offloads, RssSpreadsFlowsAndKeepsEachInItsQueue) {
    rte_eth_conf conf{};
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    constexpr std::uint16_t queues = 4;
    start(RTE_ETH_RX_OFFLOAD_RSS_HASH, 0, queues, conf);
    constexpr std::uint16_t flows = 64;
    for (int round = 0; round < 2; ++round) {
        for (std::uint16_t flow = 0; flow < flows; ++flow) {
            ASSERT_TRUE(nic.receive(udp_frame(64, static_cast<std::uint16_t>(1000 + flow))));
        }
    }
    std::size_t total = 0;
    for (std::uint16_t queue = 0; queue < queues; ++queue) {
        std::multiset<std::uint16_t> ports;
        for (rte_mbuf* const one : Laboratory::taken(0, queue)) {
            EXPECT_NE(one->ol_flags & RTE_MBUF_F_RX_RSS_HASH, 0u);
            EXPECT_EQ(one->hash.rss % 128 % queues, queue) << "DPDK's table is a round robin";
            ports.insert(be16(Laboratory::content(one), 34));
            rte_pktmbuf_free(one);
        }
        EXPECT_GT(ports.size(), flows / queues) << "queue " << queue;
        for (std::uint16_t const port : ports) {
            EXPECT_EQ(ports.count(port), 2u);
        }
        total += ports.size();
    }
    EXPECT_EQ(total, 2u * flows);
}

TEST_F(Offloads, AnInterruptWakesASleepingReceiver) {
    rte_eth_conf conf{};
    conf.intr_conf.rxq = 1;
    start(0, 0, 1, conf);
    ASSERT_EQ(rte_eth_dev_rx_intr_ctl_q(0, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_rx_intr_enable(0, 0), 0);
    rte_epoll_event event{};
    EXPECT_EQ(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 50), 0) << "nothing has come";
    for (std::uint32_t round = 0; round < 3; ++round) {
        std::thread sender([this, round] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            nic.receive(numbered_frame(pf_mac, peer_mac, round));
        });
        EXPECT_EQ(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 30'000), 1);
        sender.join();
        EXPECT_EQ(Laboratory::received(0).size(), 1u);
        ASSERT_EQ(rte_eth_dev_rx_intr_enable(0, 0), 0);
    }
}

TEST_F(Offloads, FlowDirectorSendsAFlowToItsQueue) {
    start(0, 0, 4);
    rte_flow_attr attributes{};
    attributes.ingress = 1;
    rte_flow_item_ipv4 ip{}, ip_mask{};
    ip.hdr.src_addr = rte_cpu_to_be_32(0x0A000001);
    ip.hdr.dst_addr = rte_cpu_to_be_32(0x0A000002);
    ip_mask.hdr.src_addr = ip_mask.hdr.dst_addr = 0xFFFFFFFF;
    rte_flow_item_udp udp{}, udp_mask{};
    udp.hdr.src_port = rte_cpu_to_be_16(1000);
    udp.hdr.dst_port = rte_cpu_to_be_16(2000);
    udp_mask.hdr.src_port = udp_mask.hdr.dst_port = 0xFFFF;
    rte_flow_item const pattern[] = {{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
                                     {RTE_FLOW_ITEM_TYPE_IPV4, &ip, nullptr, &ip_mask},
                                     {RTE_FLOW_ITEM_TYPE_UDP, &udp, nullptr, &udp_mask},
                                     {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
    rte_flow_action_queue const queue{3};
    // Without a mark DPDK takes a 5-tuple filter for it.
    rte_flow_action_mark const mark{77};
    rte_flow_action const actions[] = {
        {RTE_FLOW_ACTION_TYPE_QUEUE, &queue}, {RTE_FLOW_ACTION_TYPE_MARK, &mark}, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    rte_flow_error error{};
    rte_flow* const flow = rte_flow_create(0, &attributes, pattern, actions, &error);
    ASSERT_NE(flow, nullptr) << (error.message != nullptr ? error.message : "");
    EXPECT_TRUE(nic.receive(udp_frame(64, 1000)));
    EXPECT_TRUE(nic.receive(udp_frame(64, 1001)));
    EXPECT_TRUE(nic.receive(udp_frame(64, 1000, 0x0A000003)));
    EXPECT_EQ(Laboratory::received(0, 3).size(), 1u);
    EXPECT_EQ(Laboratory::received(0, 0).size(), 2u);
    EXPECT_EQ(nic.peek(reg::FDIRMATCH), 1u);
    ASSERT_EQ(rte_flow_destroy(0, flow, &error), 0);
    EXPECT_TRUE(nic.receive(udp_frame(64, 1000)));
    EXPECT_EQ(Laboratory::received(0, 0).size(), 1u);
}

}  // namespace
}  // namespace nic82599
