// SPDX-License-Identifier: BSD-2-Clause
// Broken machines as DPDK's driver meets them.
#include <atomic>

#include "tests/unit/nic82599/pmd_port.hpp"

namespace nic82599 {
namespace {

TEST(PmdFault, ABadEepromChecksumIsRefused) {
    Laboratory laboratory(0, [](Nic& nic) { nic.damage_eeprom(true); });
    ASSERT_TRUE(laboratory.started());
    EXPECT_EQ(rte_eth_dev_count_avail(), 0);
}

TEST(PmdFault, WithoutAModuleThereIsNoLinkUntilItIsPluggedIn) {
    Laboratory laboratory(0, [](Nic& nic) { nic.set_module_present(false); });
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(rte_eth_dev_count_avail(), 1);
    ASSERT_EQ(laboratory.start(0), 0);
    rte_eth_link link{};
    rte_eth_link_get_nowait(0, &link);
    EXPECT_EQ(link.link_status, RTE_ETH_LINK_DOWN);
    laboratory.nic().set_module_present(true);
    EXPECT_TRUE(laboratory.link_comes(0));
}

std::atomic<int> link_events;

int count_link_event(std::uint16_t, rte_eth_event_type, void*, void*) {
    ++link_events;
    return 0;
}

TEST(PmdFault, ALinkFlapIsNoticed) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    rte_eth_conf conf{};
    conf.intr_conf.lsc = 1;
    ASSERT_EQ(rte_eth_dev_callback_register(0, RTE_ETH_EVENT_INTR_LSC, count_link_event, nullptr), 0);
    ASSERT_EQ(laboratory.start(0, conf), 0);
    ASSERT_TRUE(laboratory.link_comes(0));
    link_events = 0;
    laboratory.nic().set_link(false);
    EXPECT_TRUE(eventually([] { return link_events > 0; }));
    EXPECT_TRUE(laboratory.link_comes(0, false));
    EXPECT_FALSE(laboratory.nic().receive(numbered_frame(pf_mac, peer_mac, 1)));
    link_events = 0;
    laboratory.nic().set_link(true);
    EXPECT_TRUE(eventually([] { return link_events > 0; }));
    EXPECT_TRUE(laboratory.link_comes(0));
}

TEST(PmdFault, MemoryThatIsNotMappedIsNotReached) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(laboratory.start(0), 0);
    rte_mbuf* const one = laboratory.mbuf(numbered_frame(peer_mac, pf_mac, 1));
    static char outside[4096];
    one->buf_iova = reinterpret_cast<std::uintptr_t>(outside);
    ASSERT_TRUE(Laboratory::send(0, one));
    EXPECT_EQ(laboratory.nic().events().dma_faults, 1u);
    EXPECT_TRUE(laboratory.wire().empty());
    EXPECT_TRUE(laboratory.send(0, numbered_frame(peer_mac, pf_mac, 2)));
    EXPECT_EQ(laboratory.wire().size(), 1u);
}

TEST(PmdFault, AFunctionResetSilencesThePortUntilItIsStartedAgain) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(laboratory.start(0), 0);
    laboratory.nic().function_level_reset(Function::pf());
    EXPECT_FALSE(laboratory.nic().receive(numbered_frame(pf_mac, peer_mac, 1)));
    ASSERT_EQ(rte_eth_dev_stop(0), 0);
    ASSERT_EQ(rte_eth_dev_start(0), 0);
    EXPECT_TRUE(laboratory.link_comes(0));
    EXPECT_TRUE(laboratory.nic().receive(numbered_frame(pf_mac, peer_mac, 2)));
    EXPECT_EQ(Laboratory::received(0).size(), 1u);
}

TEST(PmdFault, ARemovedNicIsSeenByItsAllOnes) {
    Laboratory laboratory;
    ASSERT_TRUE(laboratory.started());
    ASSERT_EQ(laboratory.start(0), 0);
    laboratory.nic().set_removed(true);
    EXPECT_FALSE(laboratory.nic().receive(numbered_frame(pf_mac, peer_mac, 1)));
    EXPECT_TRUE(laboratory.send(0, numbered_frame(peer_mac, pf_mac, 1))) << "the ring takes it";
    EXPECT_TRUE(laboratory.wire().empty());
    EXPECT_EQ(laboratory.nic().read(Function::pf(), reg::STATUS), 0xFFFFFFFFu);
    laboratory.nic().set_removed(false);
}

}  // namespace
}  // namespace nic82599
