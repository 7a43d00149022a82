// SPDX-License-Identifier: BSD-2-Clause
// Probe, start, frames in and out with DPDK's unmodified ixgbe driver; bad machines as the driver meets them.
#include "tests/unit/nic82599/pmd_port.hpp"

namespace nic82599 {
namespace {

TEST(Pmd, ProbesAndStarts) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(rte_eth_dev_count_avail(), 1);
    rte_eth_dev_info info{};
    ASSERT_EQ(rte_eth_dev_info_get(0, &info), 0);
    EXPECT_STREQ(info.driver_name, "net_ixgbe");
    EXPECT_EQ(info.max_rx_queues, 128);
    rte_ether_addr address{};
    ASSERT_EQ(rte_eth_macaddr_get(0, &address), 0);
    EXPECT_TRUE(std::equal(pf_mac.begin(), pf_mac.end(), address.addr_bytes));
    ASSERT_EQ(laboratory.start(0), 0);
    EXPECT_TRUE(laboratory.link_comes(0));
    rte_eth_link link{};
    rte_eth_link_get_nowait(0, &link);
    EXPECT_EQ(link.link_speed, 10000u);
    EXPECT_EQ(laboratory.nic().events().dma_faults, 0u);
}

TEST(Pmd, FramesKeepTheirContentBothWays) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(laboratory.start(0), 0);
    constexpr std::uint32_t frames = 1000;  // several times around the ring
    std::uint32_t received = 0;
    for (std::uint32_t i = 0; i < frames; ++i) {
        ASSERT_TRUE(laboratory.nic().receive(numbered_frame(pf_mac, peer_mac, i, 60 + i)));
        for (Frame const& frame : Laboratory::received(0)) {
            ASSERT_EQ(frame, numbered_frame(pf_mac, peer_mac, received, 60 + received));
            ++received;
        }
    }
    EXPECT_EQ(received, frames);
    for (std::uint32_t i = 0; i < frames; ++i) {
        ASSERT_TRUE(laboratory.send(0, numbered_frame(peer_mac, pf_mac, i, 60 + i)));
    }
    auto const wire = laboratory.wire();
    ASSERT_EQ(wire.size(), frames);
    for (std::uint32_t i = 0; i < frames; ++i) {
        ASSERT_EQ(wire[i], numbered_frame(peer_mac, pf_mac, i, 60 + i));
    }
    rte_eth_stats stats{};
    ASSERT_EQ(rte_eth_stats_get(0, &stats), 0);
    EXPECT_EQ(stats.ipackets, frames);
    EXPECT_EQ(stats.opackets, frames);
    EXPECT_EQ(stats.imissed, 0u);
    EXPECT_EQ(stats.ibytes, frames * 60 + frames * (frames - 1) / 2);
    EXPECT_EQ(stats.obytes, stats.ibytes);
    EXPECT_EQ(laboratory.nic().events().dma_faults, 0u);
}

TEST(Pmd, FiltersByAddress) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(laboratory.start(0), 0);
    Nic& nic = laboratory.nic();
    Mac const other{2, 0, 0, 0, 0, 0x77}, group{1, 0, 0x5E, 0, 0, 5};
    EXPECT_FALSE(nic.receive(numbered_frame(other, peer_mac, 1)));
    EXPECT_TRUE(nic.receive(numbered_frame(broadcast, peer_mac, 2)));
    EXPECT_FALSE(nic.receive(numbered_frame(group, peer_mac, 3)));
    rte_ether_addr address{};
    std::copy(group.begin(), group.end(), address.addr_bytes);
    ASSERT_EQ(rte_eth_dev_set_mc_addr_list(0, &address, 1), 0);
    EXPECT_TRUE(nic.receive(numbered_frame(group, peer_mac, 4)));
    std::copy(other.begin(), other.end(), address.addr_bytes);
    ASSERT_EQ(rte_eth_dev_mac_addr_add(0, &address, 0), 0);
    EXPECT_TRUE(nic.receive(numbered_frame(other, peer_mac, 5)));
    ASSERT_EQ(rte_eth_dev_mac_addr_remove(0, &address), 0);
    EXPECT_FALSE(nic.receive(numbered_frame(other, peer_mac, 6)));
    ASSERT_EQ(rte_eth_promiscuous_enable(0), 0);
    EXPECT_TRUE(nic.receive(numbered_frame(other, peer_mac, 7)));
    EXPECT_EQ(Laboratory::received(0).size(), 4u);
}

}  // namespace
}  // namespace nic82599
