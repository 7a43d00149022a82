// SPDX-License-Identifier: BSD-2-Clause
// Receive, transmit, offloads, statistics, rate limits, flow director without a driver.
#include "tests/nic82599/checksum.hpp"
#include "tests/nic82599/receive_ring.hpp"
#include "tests/nic82599/rss.hpp"
#include "tests/unit/nic82599/bench_machine.hpp"

namespace nic82599 {
namespace {

constexpr Mac broadcast_mac{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

Frame ipv4(std::uint8_t protocol, std::vector<std::uint8_t> const& l4) {
    Frame frame = frame_to(own_mac, std::max<std::size_t>(34 + l4.size(), 60));
    put_be16(frame, 12, 0x0800);
    std::fill(frame.begin() + 14, frame.end(), std::uint8_t{0});
    frame[14] = 0x45;
    put_be16(frame, 16, static_cast<std::uint16_t>(20 + l4.size()));
    frame[22] = 64;
    frame[23] = protocol;
    put_be32(frame, 26, 0x0A000001);
    put_be32(frame, 30, 0x0A000002);
    Checksum sum;
    sum.add(std::span(frame).subspan(14, 20));
    put_be16(frame, 24, sum.complement());
    std::copy(l4.begin(), l4.end(), frame.begin() + 34);
    return frame;
}

class Receive : public Bench {
  protected:
    Receive() { write(reg::FCTRL, reg::FCTRL_BAM); }
};

// 7.1.6.2: advanced write-back: DD, EOP, length; the buffer has the frame.
TEST_F(Receive, WritesAdvancedDescriptors) {
    start_receiver(0, 0);
    Frame const frame = frame_to(own_mac, 100);
    ASSERT_TRUE(nic.receive(frame));
    EXPECT_EQ(buffer(0, 0, 100), frame);
    EXPECT_EQ(word(8), 100ull << 32 | 3);
    EXPECT_EQ(read(reg::rx_queue(0) + reg::HEAD), 1u);
}

// 7.1.5: legacy descriptors: the length in the low bits, the status above; the address stays.
TEST_F(Receive, WritesLegacyDescriptors) {
    start_receiver(0, 0, 2);
    ASSERT_TRUE(nic.receive(frame_to(own_mac, 100)));
    EXPECT_EQ(word(0), 4096u);
    EXPECT_EQ(word(8) & 0xFFFF, 100u);
    EXPECT_EQ(word(8) >> 32 & 0xFF, 3u);
}

// 7.1.6, 8.2.3.22.13 MAXFRS: a frame longer than a buffer takes several descriptors, EOP on the last.
TEST_F(Receive, SpreadsJumboFramesOverDescriptors) {
    write(reg::HLREG0, read(reg::HLREG0) | reg::HLREG0_JUMBOEN);
    write(reg::MAXFRS, 9018u << 16);
    start_receiver(0, 0);
    Frame const frame = frame_to(own_mac, 5000);
    ASSERT_TRUE(nic.receive(frame));
    EXPECT_EQ(word(8), 2048ull << 32 | 1);
    EXPECT_EQ(word(40), 904ull << 32 | 3);
    EXPECT_EQ(buffer(0, 0, 5000), frame);
    EXPECT_FALSE(nic.receive(frame_to(own_mac, 9015))) << "with its CRC over MAXFRS";
    EXPECT_EQ(read(reg::ROC), 1u);
}

TEST_F(Receive, RefusesWrongLengths) {
    start_receiver(0, 0);
    EXPECT_FALSE(nic.receive(frame_to(own_mac, 59)));
    EXPECT_TRUE(nic.receive(frame_to(own_mac, 1514)));
    EXPECT_FALSE(nic.receive(frame_to(own_mac, 1515)));
    EXPECT_EQ(read(reg::RUC), 1u);
    EXPECT_EQ(read(reg::ROC), 1u);
}

// 7.1.1.1: exact addresses, broadcast by FCTRL.BAM, multicast by MTA or FCTRL.MPE, everything by FCTRL.UPE.
TEST_F(Receive, FiltersByDestination) {
    start_receiver(0, 0);
    Mac const group{0x01, 0, 0x5E, 0, 0x12, 0x34}, stranger{2, 0, 0, 0, 0, 1};
    EXPECT_TRUE(nic.receive(frame_to(broadcast_mac)));
    EXPECT_FALSE(nic.receive(frame_to(group)));
    unsigned const index = 0x12 >> 4 | 0x34 << 4;
    write(reg::MTA(index / 32), reg::bit(index % 32));
    EXPECT_FALSE(nic.receive(frame_to(group)));
    write(0x5090, 4);  // MCSTCTRL.MFE
    EXPECT_TRUE(nic.receive(frame_to(group)));
    EXPECT_FALSE(nic.receive(frame_to(stranger)));
    write(reg::FCTRL, reg::FCTRL_UPE);
    EXPECT_TRUE(nic.receive(frame_to(stranger)));
    EXPECT_FALSE(nic.receive(frame_to(broadcast_mac)));
}

// 7.4.3 VLAN filter, 7.4.1 tag stripped into the descriptor.
TEST_F(Receive, FiltersAndStripsVlan) {
    start_receiver(0, 0);
    write(reg::VLNCTRL, reg::VLNCTRL_VFE);
    Frame frame = frame_to(own_mac, 100);
    std::uint8_t const tag[] = {0x81, 0x00, 0x60, 0x2A};
    frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    EXPECT_FALSE(nic.receive(frame));
    write(reg::VFTA(0x2A / 32), reg::bit(0x2A % 32));
    ASSERT_TRUE(nic.receive(frame));
    EXPECT_EQ(word(8), 104ull << 32 | 3);
    write(reg::rx_queue(0) + reg::DCTL, reg::DCTL_ENABLE | reg::RXDCTL_VME);
    ASSERT_TRUE(nic.receive(frame));
    EXPECT_EQ(word(24), 0x602Aull << 48 | 100ull << 32 | 8 | 3);
    EXPECT_EQ(buffer(0, 1, 100), frame_to(own_mac, 100));
}

// 8.2.3.8.7 SRRCTL.Drop_En: without it a queue that is full holds up everything, with it its frames are dropped.
TEST_F(Receive, AFullQueueBlocksUnlessItDrops) {
    start_receiver(0, 0);
    for (unsigned i = 0; i < ring_descriptors - 1; ++i) {
        ASSERT_TRUE(nic.receive(frame_to(own_mac)));
    }
    EXPECT_TRUE(nic.receive(frame_to(own_mac, 70))) << "waits in the packet buffer";
    EXPECT_EQ(nic.events().delivered, 7u);
    refill(0);
    write(reg::rx_queue(0) + reg::TAIL, 6);
    EXPECT_EQ(nic.events().delivered, 8u);
    EXPECT_EQ(word(7 * 16 + 8) >> 32 & 0xFFFF, 70u);
    write(reg::rx_queue(0) + reg::TAIL, read(reg::rx_queue(0) + reg::HEAD));
    write(reg::rx_queue(0) + reg::SRRCTL, 2 | 1u << 25 | reg::SRRCTL_DROP_EN);
    nic.receive(frame_to(own_mac));
    EXPECT_EQ(nic.events().queue_full, 1u);
    EXPECT_EQ(read(reg::QPRDC(0)), 1u);
}

// 8.2.3.23: what does not fit into the packet buffer is missed (MPC).
TEST_F(Receive, AFullPacketBufferMissesFrames) {
    start_receiver(0, 0);
    write(reg::RXPBSIZE(0), 1u << 10);
    write(reg::rx_queue(0) + reg::TAIL, 0);
    EXPECT_TRUE(nic.receive(frame_to(own_mac, 1000)));
    EXPECT_FALSE(nic.receive(frame_to(own_mac, 1000)));
    EXPECT_EQ(nic.events().missed, 1u);
    EXPECT_EQ(read(reg::MPC(0)), 1u);
}

// 7.1.11: IPCS, L4CS, and the error bits of damaged sums.
TEST_F(Receive, ChecksChecksums) {
    std::vector<std::uint8_t> udp{0, 53, 0, 54, 0, 12, 0, 0, 1, 2, 3, 4};
    Checksum sum;
    for (std::uint32_t part : {0x0A000001u, 0x0A000002u, 17u, 12u}) {
        sum.add(part);
    }
    sum.add(udp);
    put_be16(udp, 6, sum.complement());
    Frame frame = ipv4(17, udp);
    auto const status = [](Frame const& of) { return checksum_status(of, parse_headers(of)); };
    EXPECT_EQ(status(frame), 0x470u);
    frame[45] ^= 1;
    EXPECT_EQ(status(frame), 0x470u | 1u << 30);
    frame[45] ^= 1;
    frame[22] ^= 1;  // TTL
    EXPECT_EQ(status(frame), 0x470u | 1u << 31);
    put_be16(frame, 20, 0x2000);  // a fragment: no L4 check
    EXPECT_EQ(status(frame) & 0x430u, 0u);
    EXPECT_EQ(packet_type(parse_headers(ipv4(17, udp))), 0x210u);
}

// 7.1.2.8.3: the verification suite of the Toeplitz hash.
TEST(Rss, HashOfTheVerificationSuite) {
    constexpr std::uint8_t key[] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
                                    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
                                    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
    // 66.9.149.187:2794 to 161.142.100.80:1766
    constexpr std::uint8_t flow[] = {66, 9, 149, 187, 161, 142, 100, 80, 2794 >> 8, 2794 & 255, 1766 >> 8, 1766 & 255};
    EXPECT_EQ(toeplitz(key, flow), 0x51ccc178u);
    EXPECT_EQ(toeplitz(key, std::span(flow).first(8)), 0x323e8fc2u);
}

class Transmit : public Bench {};

// 7.2.3.2.4: a frame goes out, is padded, and its descriptor says done.
TEST_F(Transmit, SendsPadsAndReports) {
    start_transmitter(0, 0);
    Frame const frame = frame_to(peer_mac, 40, own_mac);
    transmit(0, 0, frame);
    ASSERT_EQ(machine.wire.size(), 1u);
    EXPECT_EQ(machine.wire[0].size(), 60u);
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), machine.wire[0].begin()));
    EXPECT_EQ(word(8) >> 32 & 1, 1u);
    EXPECT_EQ(read(reg::tx_queue(0) + reg::HEAD), 1u);
}

// 7.2.3.2.2: legacy descriptors carry the tag themselves.
TEST_F(Transmit, SendsLegacyDescriptorsWithTag) {
    start_transmitter(0, 0);
    Frame const frame = frame_to(peer_mac, 60, own_mac);
    std::copy(frame.begin(), frame.end(), machine.memory.begin() + 8192);
    descriptor(0, 0, 8192, 60 | 1u << 24 | 1u << 30, 0x0123u << 16);
    write(reg::tx_queue(0) + reg::TAIL, 1);
    ASSERT_EQ(machine.wire.size(), 1u);
    EXPECT_EQ(be32(machine.wire[0], 12), 0x81000123u);
    EXPECT_EQ(machine.wire[0].size(), 64u);
}

// Nothing leaves before both enables (4.6.8).
TEST_F(Transmit, NeedsBothEnables) {
    start_transmitter(0, 0);
    write(reg::DMATXCTL, 0);
    transmit(0, 0, frame_to(peer_mac));
    EXPECT_TRUE(machine.wire.empty());
    write(reg::DMATXCTL, reg::DMATXCTL_TE);
    EXPECT_EQ(machine.wire.size(), 1u);
}

TEST_F(Transmit, ARequestThatContradictsItsFrameSendsNothing) {
    start_transmitter(0, 0);
    transmit(0, 0, frame_to(peer_mac), 1u << 31);  // segment, without a context
    EXPECT_TRUE(machine.wire.empty());
    EXPECT_EQ(nic.events().bad_requests, 1u);
    EXPECT_EQ(word(8) >> 32 & 1, 1u) << "done nevertheless";
}

// 7.7.2: a factor of 100 leaves 100 Mb/s: 60 bytes take 4.8 us.
TEST_F(Transmit, RateLimitHoldsTheQueue) {
    start_transmitter(0, 0);
    write(reg::RTTDQSEL, 0);
    write(reg::RTTBCNRC, reg::RTTBCNRC_RS_ENA | 100u << 14);
    transmit(0, 0, frame_to(peer_mac));
    transmit(0, 0, frame_to(peer_mac));
    EXPECT_EQ(machine.wire.size(), 1u);
    EXPECT_EQ(machine.wake_ns - machine.time_ns, 4800u);
    machine.time_ns = machine.wake_ns;
    nic.run_due();
    EXPECT_EQ(machine.wire.size(), 2u);
}

class Counters : public Bench {};

// 8.2.3.23: cleared by reading; 36 bits in two registers.
TEST_F(Counters, AreClearedByReading) {
    write(reg::FCTRL, reg::FCTRL_BAM);
    start_receiver(0, 0);
    nic.receive(frame_to(own_mac, 60));
    nic.receive(frame_to(broadcast_mac, 1000));
    EXPECT_EQ(read(reg::GPRC), 2u);
    EXPECT_EQ(read(reg::GPRC), 0u);
    EXPECT_EQ(read(reg::BPRC), 1u);
    EXPECT_EQ(read(reg::GORCL), 1068u);
    EXPECT_EQ(read(reg::GORCL), 0u);
    EXPECT_EQ(read(reg::PRC64), 1u);
    EXPECT_EQ(read(reg::QPRC(0)), 2u);
    EXPECT_EQ(read(reg::TPR), 2u);
}

// They stick at their largest value.
TEST_F(Counters, StickWhenNobodyReads) {
    write(reg::FCTRL, reg::FCTRL_BAM);
    start_receiver(0, 0);
    write(reg::GPRC, 0xFFFFFFFE);
    write(reg::GORCL, 0xFFFFFFFF);
    write(reg::GORCH, 0xF);
    for (int i = 0; i < 3; ++i) {
        nic.receive(frame_to(own_mac));
    }
    EXPECT_EQ(read(reg::GPRC), 0xFFFFFFFFu);
    EXPECT_EQ(read(reg::GORCL), 0xFFFFFFFFu);
    EXPECT_EQ(read(reg::GORCH), 0xFu);
}

class Director : public Bench {};

// 8.2.3.21: a filter is added, asked for, removed by FDIRCMD.
TEST_F(Director, CommandsAddQueryRemove) {
    write(reg::FDIRCTRL, 1 | reg::FDIRCTRL_PERFECT);
    EXPECT_NE(read(reg::FDIRCTRL) & reg::FDIRCTRL_INIT_DONE, 0u);
    write(reg::FDIRHASH, 7u << 16 | 0x123);
    write(reg::FDIRCMD, 3);
    EXPECT_EQ(read(reg::FDIRCMD) & 4, 0u);
    write(reg::FDIRCMD, 1 | 1u << 15 | 5u << 16);
    EXPECT_EQ(read(reg::FDIRCMD) & 3, 0u) << "done";
    write(reg::FDIRCMD, 3);
    EXPECT_NE(read(reg::FDIRCMD) & 4, 0u);
    write(reg::FDIRCMD, 2);
    write(reg::FDIRCMD, 3);
    EXPECT_EQ(read(reg::FDIRCMD) & 4, 0u);
    EXPECT_EQ(read(reg::FDIRUSTAT), 0x10001u);
}

// 7.1.2.3: an EtherType filter names the queue.
TEST_F(Director, EtherTypeFilterChoosesTheQueue) {
    start_receiver(0, 0);
    start_receiver(5, 0x20000);
    write(reg::ETQF(0), reg::ETQF_ENABLE | 0x88B5);
    write(reg::ETQS(0), reg::ETQS_QUEUE_ENABLE | 5u << 16);
    EXPECT_TRUE(nic.receive(frame_to(own_mac)));
    EXPECT_EQ(read(reg::rx_queue(5) + reg::HEAD), 1u);
    EXPECT_EQ(read(reg::rx_queue(0) + reg::HEAD), 0u);
}

}  // namespace
}  // namespace nic82599
