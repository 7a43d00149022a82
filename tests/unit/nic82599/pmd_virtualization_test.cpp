// SPDX-License-Identifier: BSD-2-Clause
// PF and two VFs with DPDK's own mailbox (ixgbe_pf.c, ixgbevf): addresses, switching, anti-spoof, VLAN, resets.
#include "tests/unit/nic82599/virtual_ports.hpp"

namespace nic82599 {
namespace {

class Virtualization : public VirtualPorts {};

TEST_F(Virtualization, VfsGetTheirAddressesFromThePf) {
    for (std::uint16_t vf = 0; vf < vfs; ++vf) {
        rte_eth_dev_info info{};
        ASSERT_EQ(rte_eth_dev_info_get(static_cast<std::uint16_t>(vf + 1), &info), 0);
        EXPECT_STREQ(info.driver_name, "net_ixgbe_vf");
        rte_ether_addr mac{};
        rte_eth_macaddr_get(static_cast<std::uint16_t>(vf + 1), &mac);
        EXPECT_TRUE(std::equal(vf_macs[vf].begin(), vf_macs[vf].end(), mac.addr_bytes));
    }
    EXPECT_EQ(nic.events().dma_faults, 0u);
}

TEST_F(Virtualization, TheWireReachesEachByItsAddress) {
    for (std::uint32_t i = 0; i < 100; ++i) {
        EXPECT_TRUE(nic.receive(numbered_frame(pf_mac, peer_mac, i)));
        EXPECT_TRUE(nic.receive(numbered_frame(vf_macs[0], peer_mac, i)));
        EXPECT_TRUE(nic.receive(numbered_frame(vf_macs[1], peer_mac, i)));
    }
    auto const at_pf = received(0), at_vf0 = received(1), at_vf1 = received(2);
    ASSERT_EQ(at_pf.size(), 100u);
    ASSERT_EQ(at_vf0.size(), 100u);
    ASSERT_EQ(at_vf1.size(), 100u);
    for (std::uint32_t i = 0; i < 100; ++i) {
        EXPECT_EQ(at_pf[i], numbered_frame(pf_mac, peer_mac, i));
        EXPECT_EQ(at_vf0[i], numbered_frame(vf_macs[0], peer_mac, i));
        EXPECT_EQ(at_vf1[i], numbered_frame(vf_macs[1], peer_mac, i));
    }
}

TEST_F(Virtualization, LocalFramesStayInsideAndOthersLeave) {
    Frame const to_vf1 = numbered_frame(vf_macs[1], vf_macs[0], 1), to_pf = numbered_frame(pf_mac, vf_macs[0], 2),
                from_pf = numbered_frame(vf_macs[0], pf_mac, 3), out = numbered_frame(peer_mac, vf_macs[0], 4);
    EXPECT_TRUE(laboratory.send(1, to_vf1));
    EXPECT_TRUE(laboratory.send(1, to_pf));
    EXPECT_TRUE(laboratory.send(0, from_pf));
    EXPECT_TRUE(laboratory.send(1, out));
    EXPECT_EQ(received(2), Frames{to_vf1});
    EXPECT_EQ(received(0), Frames{to_pf});
    EXPECT_EQ(received(1), Frames{from_pf});
    EXPECT_EQ(laboratory.wire(), Frames{out});
    EXPECT_EQ(nic.events().looped_back, 3u);
}

TEST_F(Virtualization, BroadcastIsReplicatedButNotToItsSender) {
    Frame const frame = numbered_frame(broadcast, vf_macs[0], 1);
    EXPECT_TRUE(laboratory.send(1, frame));
    EXPECT_EQ(received(0), Frames{frame});
    EXPECT_EQ(received(1), Frames{});
    EXPECT_EQ(received(2), Frames{frame});
    EXPECT_EQ(laboratory.wire(), Frames{frame});
}

TEST_F(Virtualization, LocalSwitchingCanBeTurnedOff) {
    ASSERT_EQ(rte_pmd_ixgbe_set_tx_loopback(0, 0), 0);
    EXPECT_EQ(trace.missing({{reg::PFDTXGSWC, 0, reg::PFDTXGSWC_LBE}}), "");
    Frame const frame = numbered_frame(vf_macs[1], vf_macs[0], 1);
    EXPECT_TRUE(laboratory.send(1, frame));
    EXPECT_EQ(received(2), Frames{});
    EXPECT_EQ(laboratory.wire(), Frames{frame});
}

TEST_F(Virtualization, AntiSpoofDropsForeignSources) {
    Mac const foreign{2, 9, 9, 9, 9, 9};
    Frame const spoofed = numbered_frame(peer_mac, foreign, 1);
    EXPECT_TRUE(laboratory.send(1, spoofed));
    EXPECT_EQ(laboratory.wire().size(), 1u) << "DPDK leaves it off";
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_mac_anti_spoof(0, 0, 1), 0);
    EXPECT_EQ(trace.missing({{reg::PFVFSPOOF(0), 1}}), "");
    EXPECT_TRUE(laboratory.send(1, spoofed));
    EXPECT_TRUE(laboratory.send(1, numbered_frame(peer_mac, vf_macs[0], 2)));
    EXPECT_TRUE(laboratory.send(2, numbered_frame(peer_mac, foreign, 3)));
    EXPECT_EQ(laboratory.wire().size(), 2u);
    EXPECT_EQ(nic.events().spoofed, 1u);
    EXPECT_EQ(nic.peek(reg::SSVPC), 1u);
}

TEST_F(Virtualization, VlanFilterAndInsertion) {
    Frame const frame = tagged(numbered_frame(vf_macs[0], peer_mac, 1), 42);
    nic.receive(frame);
    EXPECT_EQ(received(1), Frames{}) << "no filter names the VLAN";
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_vlan_filter(0, 42, 1, 1), 0);
    nic.receive(frame);
    EXPECT_EQ(received(1), Frames{frame});
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_vlan_insert(0, 1, 77), 0);
    Frame const out = numbered_frame(peer_mac, vf_macs[1], 2);
    EXPECT_TRUE(laboratory.send(2, out));
    EXPECT_EQ(laboratory.wire(), Frames{tagged(out, 77)});
}

// Why the server tags a VF anew then.
TEST_F(Virtualization, AVfThatResetsItselfIsRidOfItsTag) {
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_vlan_insert(0, 1, 77), 0);
    Frame const out = numbered_frame(peer_mac, vf_macs[1], 2);
    EXPECT_TRUE(laboratory.send(2, out));
    EXPECT_EQ(laboratory.wire(), Frames{tagged(out, 77)});
    ASSERT_EQ(rte_eth_dev_stop(2), 0);
    ASSERT_EQ(rte_eth_dev_start(2), 0);
    ASSERT_TRUE(laboratory.link_comes(2));
    EXPECT_TRUE(laboratory.send(2, out));
    EXPECT_EQ(laboratory.wire(), Frames{out});
}

TEST_F(Virtualization, AVfChangesItsAddressThroughTheMailbox) {
    Mac const wanted{0x02, 0xAA, 0, 0, 0, 1};
    rte_ether_addr mac = address(wanted);
    ASSERT_EQ(rte_eth_dev_default_mac_addr_set(2, &mac), 0);
    Frame const frame = numbered_frame(wanted, peer_mac, 1);
    EXPECT_TRUE(nic.receive(frame));
    EXPECT_EQ(received(2), Frames{frame});
}

TEST_F(Virtualization, TransmitOfAVfCanBeTurnedOff) {
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_tx(0, 0, 0), 0);
    EXPECT_TRUE(laboratory.send(1, numbered_frame(peer_mac, vf_macs[0], 1)));
    EXPECT_EQ(laboratory.wire(), Frames{});
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_tx(0, 0, 1), 0);
    EXPECT_EQ(laboratory.wire().size(), 1u);
}

TEST_F(Virtualization, AFullVfDoesNotStopOthersWithDropEnable) {
    ASSERT_EQ(rte_pmd_ixgbe_set_all_queues_drop_en(0, 1), 0);
    for (std::uint32_t i = 0; i < 400; ++i) {
        nic.receive(numbered_frame(vf_macs[0], peer_mac, i));
    }
    EXPECT_GT(nic.events().queue_full, 0u);
    Frame const frame = numbered_frame(vf_macs[1], peer_mac, 1);
    EXPECT_TRUE(nic.receive(frame));
    EXPECT_EQ(received(2), Frames{frame});
}

TEST_F(Virtualization, ASilentMailboxFailsWhatAVfAsksFor) {
    nic.set_mailbox_silent(true);
    rte_ether_addr mac = address({0x02, 0xAA, 0, 0, 0, 2});
    EXPECT_NE(rte_eth_dev_mac_addr_add(1, &mac, 0), 0);
    nic.set_mailbox_silent(false);
}

TEST_F(Virtualization, AVfThatIsPulledOutLeavesTheOthersAlone) {
    nic.set_vf_removed(0, true);
    Frame const to_gone = numbered_frame(vf_macs[0], vf_macs[1], 1), to_pf = numbered_frame(pf_mac, vf_macs[1], 2);
    nic.receive(numbered_frame(vf_macs[0], peer_mac, 3));
    EXPECT_TRUE(laboratory.send(2, to_gone));
    EXPECT_TRUE(laboratory.send(2, to_pf));
    EXPECT_EQ(received(1), Frames{});
    EXPECT_EQ(received(0), Frames{to_pf});
    nic.set_vf_removed(0, false);
    ASSERT_EQ(rte_eth_dev_stop(1), 0);
    ASSERT_EQ(rte_eth_dev_start(1), 0);
    ASSERT_TRUE(laboratory.link_comes(1));
    EXPECT_TRUE(laboratory.send(2, to_gone));
    EXPECT_EQ(received(1), Frames{to_gone});
}

TEST_F(Virtualization, AResetOfAVfIsMendedByItsRestart) {
    nic.function_level_reset(Function::vf(0));
    nic.receive(numbered_frame(vf_macs[0], peer_mac, 1));
    EXPECT_EQ(received(1), Frames{});
    ASSERT_EQ(rte_eth_dev_stop(1), 0);
    ASSERT_EQ(rte_eth_dev_start(1), 0);
    ASSERT_TRUE(laboratory.link_comes(1));
    Frame const frame = numbered_frame(vf_macs[0], peer_mac, 2);
    nic.receive(frame);
    EXPECT_EQ(received(1), Frames{frame});
    EXPECT_TRUE(nic.receive(numbered_frame(vf_macs[1], peer_mac, 3)));
    EXPECT_EQ(received(2).size(), 1u);
}

TEST_F(Virtualization, ALinkFlapOfThePortIsSeenByVfs) {
    nic.set_link(false);
    for (std::uint16_t port = 0; port <= vfs; ++port) {
        EXPECT_TRUE(laboratory.link_comes(port, false));
    }
    nic.set_link(true);
    for (std::uint16_t port = 0; port <= vfs; ++port) {
        EXPECT_TRUE(laboratory.link_comes(port));
    }
}

TEST_F(Virtualization, ARestartOfThePfResetsVfs) {
    ASSERT_EQ(rte_eth_dev_stop(0), 0);
    ASSERT_EQ(rte_eth_dev_start(0), 0);
    ASSERT_TRUE(laboratory.link_comes(0));
    nic.receive(numbered_frame(vf_macs[0], peer_mac, 1));
    EXPECT_EQ(received(1), Frames{});
    std::uint32_t const mailbox = nic.read(Function::vf(0), reg::vf::VFMAILBOX);
    EXPECT_NE(mailbox & (reg::vf::MAILBOX_RSTD | reg::vf::MAILBOX_RSTI), 0u);
}

}  // namespace
}  // namespace nic82599
