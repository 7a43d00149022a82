// SPDX-License-Identifier: BSD-2-Clause
// Pools, mailboxes and what a VF can reach, without a driver (7.10, 8.2.3.27, 8.3).
#include "tests/unit/nic82599/bench_machine.hpp"

namespace nic82599 {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Pair;

constexpr unsigned vfs = 4;
constexpr Mac first_mac{2, 0, 0, 0, 0, 0x10}, second_mac{2, 0, 0, 0, 0, 0x11};

// 64 pools of two queues; VF 0 and VF 1 have an address each, the PF pool 4.
class Pools : public Bench {
  protected:
    Pools() : Bench(vfs) {
        write(reg::VT_CTL, reg::VT_CTL_VT_ENA | reg::VT_CTL_RPL_EN | vfs << 7);
        write(reg::GCR_EXT, 3);
        write(reg::PFDTXGSWC, reg::PFDTXGSWC_LBE);
        write(reg::FCTRL, reg::FCTRL_BAM);
        write(reg::PFVFRE(0), 0x1F);
        write(reg::PFVFTE(0), 0x1F);
        set_address(0, own_mac, vfs);
        set_address(1, first_mac, 0);
        set_address(2, second_mac, 1);
        for (unsigned pool : {0u, 1u, vfs}) {
            write(reg::PFVML2FLT(pool), reg::VML2FLT_AUPE | reg::VML2FLT_BAM);
            start_receiver(2 * pool, ring(2 * pool));
            start_transmitter(2 * pool, ring(2 * pool) + 0x10000);
        }
    }
    static std::uint64_t ring(unsigned queue) { return queue * 0x18000ull; }
    void set_address(unsigned entry, Mac const& mac, unsigned pool) {
        write(reg::RAL(entry), mac[0] | mac[1] << 8 | mac[2] << 16 | std::uint32_t{mac[3]} << 24);
        write(reg::RAH(entry), reg::RAH_VALID | mac[5] << 8 | mac[4]);
        write(reg::MPSAR_LO(entry), reg::bit(pool));
        write(reg::MPSAR_HI(entry), 0);
    }
    unsigned count(unsigned pool) { return nic.peek(reg::rx_queue(2 * pool) + reg::HEAD); }
    void send_from(unsigned pool, Frame const& frame) {
        std::uint64_t const at = ring(2 * pool) + 0x10000;
        std::copy(frame.begin(), frame.end(), machine.memory.begin() + static_cast<std::ptrdiff_t>(at + 4096));
        std::uint32_t const tail = nic.peek(reg::tx_queue(2 * pool) + reg::TAIL);
        descriptor(at, tail, at + 4096, static_cast<std::uint32_t>(frame.size()) | 0x2B300000, 0);
        write(reg::tx_queue(2 * pool) + reg::TAIL, tail + 1);
    }
};

// 7.10.3.3: MPSAR names the pools of an address; what no pool has goes to the default pool if it passes at all.
TEST_F(Pools, AddressesChoosePools) {
    EXPECT_TRUE(nic.receive(frame_to(first_mac)));
    EXPECT_TRUE(nic.receive(frame_to(own_mac)));
    EXPECT_THAT((std::array{count(0), count(1), count(vfs)}), ElementsAre(1u, 0u, 1u));
    EXPECT_FALSE(nic.receive(frame_to({2, 9, 9, 9, 9, 9})));
    write(reg::FCTRL, reg::FCTRL_UPE);
    EXPECT_TRUE(nic.receive(frame_to({2, 9, 9, 9, 9, 9})));
    EXPECT_EQ(count(vfs), 2u);
}

// 7.10.3.3, VT_CTL.Rpl_En: a broadcast goes to every pool that takes it.
TEST_F(Pools, BroadcastIsReplicated) {
    EXPECT_TRUE(nic.receive(frame_to({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})));
    EXPECT_THAT((std::array{count(0), count(1), count(vfs)}), ElementsAre(1u, 1u, 1u));
    write(reg::PFVML2FLT(1), reg::VML2FLT_AUPE);
    EXPECT_TRUE(nic.receive(frame_to({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})));
    EXPECT_THAT((std::array{count(0), count(1), count(vfs)}), ElementsAre(2u, 1u, 2u));
}

// 7.10.3.4: unicast for a pool stays inside, marked LB; the rest leaves; the sender gets nothing back.
TEST_F(Pools, TransmitSwitchesBetweenPools) {
    send_from(0, frame_to(second_mac, 60, first_mac));
    EXPECT_EQ(count(1), 1u);
    EXPECT_EQ(word(ring(2) + 8) & 0x40000, 0x40000u);
    EXPECT_TRUE(machine.wire.empty());
    send_from(0, frame_to(peer_mac, 60, first_mac));
    EXPECT_EQ(machine.wire.size(), 1u);
    write(reg::PFDTXGSWC, 0);
    send_from(0, frame_to(second_mac, 60, first_mac));
    EXPECT_EQ(count(1), 1u);
    EXPECT_EQ(machine.wire.size(), 2u);
}

// 7.10.3.9.2, PFVFSPOOF: addresses in bits 7:0, VLANs in bits 15:8.
TEST_F(Pools, AntiSpoofLooksAtAddressAndVlan) {
    write(reg::PFVFSPOOF(0), 0x0101);
    send_from(0, frame_to(peer_mac, 60, second_mac));
    send_from(0, frame_to(peer_mac, 60, first_mac));
    EXPECT_EQ(machine.wire.size(), 1u);
    write(reg::PFVMVIR(0), reg::VMVIR_ALWAYS | 5);
    send_from(0, frame_to(peer_mac, 60, first_mac));
    EXPECT_EQ(machine.wire.size(), 1u) << "VLAN 5 is not the pool's";
    write(reg::PFVLVF(0), reg::VLVF_VALID | 5);
    write(reg::PFVLVFB(0), 1);
    send_from(0, frame_to(peer_mac, 60, first_mac));
    ASSERT_EQ(machine.wire.size(), 2u);
    EXPECT_EQ(be32(machine.wire[1], 12), 0x81000005u);
    EXPECT_EQ(read(reg::SSVPC), 2u);
    EXPECT_EQ(read(reg::SSVPC), 0u);
}

// 7.10.3.3 with PFVLVF and PFVML2FLT.AUPE: tags narrow the pools down.
TEST_F(Pools, VlanFiltersNarrowPools) {
    write(reg::VLNCTRL, reg::VLNCTRL_VFE);
    write(reg::VFTA(0), reg::bit(7));
    Frame frame = frame_to(first_mac);
    std::uint8_t const tag[] = {0x81, 0, 0, 7};
    frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    EXPECT_FALSE(nic.receive(frame));
    write(reg::PFVLVF(3), reg::VLVF_VALID | 7);
    write(reg::PFVLVFB(6), 1);
    EXPECT_TRUE(nic.receive(frame));
    EXPECT_EQ(count(0), 1u);
    write(reg::PFVML2FLT(0), 0);
    EXPECT_FALSE(nic.receive(frame_to(first_mac))) << "untagged, without AUPE";
}

// 8.3.5: a VF reaches its pool's queues under numbers from zero, and no others.
TEST_F(Pools, AVfReachesItsOwnQueuesOnly) {
    Function const vf = Function::vf(1);
    nic.write(vf, reg::vf::RX_QUEUES + 0x40 + reg::BAL, 0x1234);
    EXPECT_EQ(nic.peek(reg::rx_queue(3) + reg::BAL), 0x1234u);
    nic.write(vf, reg::vf::RX_QUEUES + 2 * 0x40 + reg::BAL, 0x5678);
    EXPECT_EQ(nic.peek(reg::rx_queue(4) + reg::BAL), 0u);
    EXPECT_EQ(nic.read(vf, reg::vf::RX_QUEUES + 2 * 0x40 + reg::BAL), 0u);
}

TEST_F(Pools, AVfThatIsPulledOutLeavesTheOthersAlone) {
    Function const vf = Function::vf(0);
    nic.set_vf_removed(0, true);
    EXPECT_EQ(nic.read(vf, reg::vf::VTSTATUS), 0xFFFFFFFFu);
    EXPECT_EQ(nic.read(Function::vf(vfs), reg::vf::VTSTATUS), 0xFFFFFFFFu) << "never there";
    nic.write(vf, reg::vf::RX_QUEUES + reg::BAL, 0x1234);
    EXPECT_EQ(nic.peek(reg::rx_queue(0) + reg::BAL), 0u);
    EXPECT_EQ(read(reg::PFVFLRE(0)), reg::bit(0));
    nic.receive(frame_to(first_mac));
    send_from(0, frame_to(peer_mac, 60, first_mac));
    EXPECT_EQ(nic.events().delivered, 0u);
    EXPECT_TRUE(machine.wire.empty());
    nic.receive(frame_to(second_mac));
    send_from(1, frame_to(peer_mac, 60, second_mac));
    EXPECT_EQ(count(1), 1u);
    EXPECT_EQ(machine.wire.size(), 1u);
    nic.set_vf_removed(0, false);
    EXPECT_NE(nic.read(vf, reg::vf::VTSTATUS), 0xFFFFFFFFu);
    EXPECT_EQ(count(0), 0u) << "as after a reset";
}

class Mail : public Bench {
  protected:
    Mail() : Bench(vfs) { write(reg::EIMS, reg::EICR_MAILBOX); }
    static constexpr Function vf = Function::vf(2);
    std::uint32_t vf_mailbox() { return nic.read(vf, reg::vf::VFMAILBOX); }
};

// 7.10.2.9, 8.2.3.27 PFMBICR: a request raises its bit and the PF's cause; writing one clears it.
TEST_F(Mail, RequestsReachThePf) {
    nic.write(vf, reg::vf::VFMAILBOX, reg::vf::MAILBOX_VFU);
    EXPECT_EQ(vf_mailbox() & reg::vf::MAILBOX_VFU, reg::vf::MAILBOX_VFU);
    nic.write(vf, reg::vf::VFMBMEM, 0xABCD);
    nic.write(vf, reg::vf::VFMAILBOX, reg::vf::MAILBOX_REQ);
    EXPECT_EQ(read(reg::PFMBICR(0)), reg::bit(2));
    EXPECT_EQ(read(reg::PFMBMEM(2)), 0xABCDu);
    EXPECT_EQ(read(reg::EICR), reg::EICR_MAILBOX);
    EXPECT_THAT(machine.messages, Contains(Pair(pf, 0u)));
    write(reg::PFMBICR(0), reg::bit(2));
    EXPECT_EQ(read(reg::PFMBICR(0)), 0u);
    nic.write(vf, reg::vf::VFMAILBOX, reg::vf::MAILBOX_ACK);
    EXPECT_EQ(read(reg::PFMBICR(0)), reg::bit(18));
}

// One side owns the memory at a time.
TEST_F(Mail, OwnershipIsExclusive) {
    nic.write(vf, reg::vf::VFMAILBOX, reg::vf::MAILBOX_VFU);
    write(reg::PFMAILBOX(2), reg::PFMAILBOX_PFU);
    EXPECT_EQ(read(reg::PFMAILBOX(2)), reg::PFMAILBOX_VFU);
    write(reg::PFMAILBOX(2), reg::PFMAILBOX_RVFU | reg::PFMAILBOX_PFU);
    EXPECT_EQ(read(reg::PFMAILBOX(2)), reg::PFMAILBOX_PFU);
    nic.write(vf, reg::vf::VFMAILBOX, reg::vf::MAILBOX_VFU);
    EXPECT_EQ(vf_mailbox() & reg::vf::MAILBOX_VFU, 0u);
}

// 8.3.5.1: the PF's message and acknowledgement are read to clear, and interrupt by VTIVAR_MISC.
TEST_F(Mail, MessagesReachTheVf) {
    vf_mailbox();
    nic.write(vf, reg::vf::VTIVAR_MISC, reg::IVAR_VALID | 1);
    nic.write(vf, reg::vf::VTEIMS, 2);
    write(reg::PFMAILBOX(2), reg::PFMAILBOX_STS);
    EXPECT_THAT(machine.messages, ElementsAre(Pair(vf, 1u)));
    EXPECT_EQ(nic.read(vf, reg::vf::VTEICR), 2u);
    EXPECT_EQ(vf_mailbox() & reg::vf::MAILBOX_PFSTS, reg::vf::MAILBOX_PFSTS);
    EXPECT_EQ(vf_mailbox() & reg::vf::MAILBOX_PFSTS, 0u);
}

// 4.2: RSTI while the PF is in reset, RSTD once after CTRL_EXT.PFRSTD.
TEST_F(Mail, VfsLearnOfThePfsReset) {
    write(reg::CTRL, reg::CTRL_RST);
    EXPECT_EQ(vf_mailbox() & reg::vf::MAILBOX_RSTI, reg::vf::MAILBOX_RSTI);
    EXPECT_EQ(vf_mailbox() & reg::vf::MAILBOX_RSTI, reg::vf::MAILBOX_RSTI);
    write(reg::CTRL_EXT, reg::CTRL_EXT_PFRSTD);
    EXPECT_EQ(vf_mailbox() & (reg::vf::MAILBOX_RSTI | reg::vf::MAILBOX_RSTD), reg::vf::MAILBOX_RSTD);
    EXPECT_EQ(vf_mailbox(), 0u);
}

// 8.2.3.27 PFVFLRE: a VF's reset is shown to the PF and cleared by PFVFLREC.
TEST_F(Mail, ThePfLearnsOfAVfsReset) {
    write(reg::VT_CTL, reg::VT_CTL_VT_ENA);
    write(reg::PFVFTE(0), 0xF);
    nic.write(vf, reg::vf::VTCTRL, reg::CTRL_RST);
    EXPECT_EQ(read(reg::PFVFLRE(0)), reg::bit(2));
    EXPECT_EQ(read(reg::PFVFTE(0)), 0xBu);
    EXPECT_EQ(read(reg::EICR), reg::EICR_MAILBOX);
    write(reg::PFVFLREC(0), reg::bit(2));
    EXPECT_EQ(read(reg::PFVFLRE(0)), 0u);
    nic.function_level_reset(vf);
    EXPECT_EQ(read(reg::PFVFLRE(0)), reg::bit(2));
}

TEST_F(Mail, ASilentMailboxLosesRequests) {
    nic.set_mailbox_silent(true);
    nic.write(vf, reg::vf::VFMAILBOX, reg::vf::MAILBOX_REQ);
    EXPECT_EQ(read(reg::PFMBICR(0)), 0u);
    EXPECT_TRUE(machine.messages.empty());
}

}  // namespace
}  // namespace nic82599
