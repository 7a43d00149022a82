// SPDX-License-Identifier: BSD-2-Clause
// What an 82599 has beyond the conformance suite: a mailbox that hostile guests write to, rates, VFs that must be
// there.
#include <gmock/gmock.h>
#include <poll.h>

#include "drivers/nic/ixgbe_link.hpp"
#include "tests/unit/steering/ixgbe_bench.hpp"

namespace librettos {

std::unique_ptr<SteeringBench> make_steering_bench(std::string&) {
    return std::make_unique<IxgbeBench>();
}

namespace {

namespace reg = nic82599::reg;

rte_ether_addr ether_address(VfMac const& mac) {
    rte_ether_addr address;
    std::copy(mac.begin(), mac.end(), address.addr_bytes);
    return address;
}

class IxgbeSteeringTest : public testing::Test {
  protected:
    IxgbeBench bench;
    IxgbeSteering& steering = bench.steering();
};

TEST_F(IxgbeSteeringTest, AVfThatSetsItsGuestsAddressIsNotSteeredToYet) {
    steering.steer_to_port(guest);
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    rte_ether_addr mac = ether_address(guest);
    auto const refused = steering.refused();
    ASSERT_EQ(rte_eth_dev_default_mac_addr_set(bench.port_of(0), &mac), 0);
    EXPECT_EQ(steering.refused(), refused);
    bench.wire().send(guest, peer, 1);
    EXPECT_EQ(bench.port().received(), Numbers{1});
    EXPECT_EQ(vf->received(), Numbers{});
}

TEST_F(IxgbeSteeringTest, AVfDoesNotGetAnothersAddress) {
    steering.steer_to_port(other_guest);
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    steering.steer_to_vf(0, guest);
    rte_ether_addr mac = ether_address(other_guest);
    auto const refused = steering.refused();
    rte_eth_dev_default_mac_addr_set(bench.port_of(0), &mac);
    EXPECT_EQ(steering.refused(), refused + 1);
    mac = ether_address(server);
    EXPECT_NE(rte_eth_dev_mac_addr_add(bench.port_of(0), &mac, 0), 0);
    EXPECT_EQ(steering.refused(), refused + 2);
    bench.wire().send(other_guest, peer, 1);
    bench.wire().send(server, peer, 2);
    bench.wire().send(guest, peer, 3);
    EXPECT_EQ(bench.port().received(), (Numbers{1, 2}));
    EXPECT_EQ(vf->received(), Numbers{3});
}

TEST_F(IxgbeSteeringTest, WhoKeepsATakenVfHasNothingOfIt) {
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    steering.steer_to_vf(0, guest);
    vf->send(peer, guest, 1);
    EXPECT_EQ(bench.wire().received(), Numbers{1});
    steering.take(0, guest);
    for (int resets = 0; resets < 2; ++resets) {
        bench.wire().send(guest, peer, 2);
        bench.wire().send(everyone, peer, 3);
        vf->send(peer, guest, 4);
        EXPECT_EQ(vf->received(), Numbers{});
        EXPECT_EQ(bench.wire().received(), Numbers{});
        EXPECT_EQ(bench.port().received(), (Numbers{2, 3}));
        rte_eth_dev_stop(bench.port_of(0));
        rte_eth_dev_start(bench.port_of(0));
    }
    EXPECT_FALSE(steering.vfs()[0].link_up);
}

// The server's frames, and those of all other VFs, do not wait for a guest that takes none.
TEST_F(IxgbeSteeringTest, AFullVfHoldsUpNobody) {
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    steering.steer_to_vf(0, guest);
    for (std::uint32_t number = 0; number < 400; ++number)
        bench.wire().send(guest, peer, number);
    bench.wire().send(server, peer, 1000);
    EXPECT_EQ(bench.port().received(), Numbers{1000});
    EXPECT_GT(bench.nic().events().queue_full, 0u);
}

TEST_F(IxgbeSteeringTest, CountersAreExact) {
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    steering.steer_to_vf(0, guest);
    auto const before = steering.vfs()[0].traffic.value();
    for (std::uint32_t number = 0; number < 5; ++number)
        bench.wire().send(guest, peer, number);
    vf->send(peer, guest, 6);
    auto const after = steering.vfs()[0].traffic.value();
    EXPECT_EQ(after.received_frames - before.received_frames, 5u);
    EXPECT_EQ(after.received_bytes - before.received_bytes, 5 * 128u);
    EXPECT_EQ(after.sent_frames - before.sent_frames, 1u);
    EXPECT_EQ(after.sent_bytes - before.sent_bytes, 128u);
}

// Lost frames, perhaps: so it is said, though all is well again before anybody looks.
TEST_F(IxgbeSteeringTest, AUsersResetIsToldOnce) {
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    ASSERT_TRUE(steering.vfs()[0].link_up);
    rte_eth_dev_stop(bench.port_of(0));
    rte_eth_dev_start(bench.port_of(0));
    EXPECT_FALSE(steering.vfs()[0].link_up);
    pollfd changes{steering.changes_fd(), POLLIN, 0};
    EXPECT_EQ(poll(&changes, 1, 0), 1) << "there is more to see";
    EXPECT_TRUE(steering.vfs()[0].link_up);
}

TEST_F(IxgbeSteeringTest, APortThatIsGoneHasNoVfs) {
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    bench.nic().set_removed(true);
    for (auto const& state : steering.vfs())
        EXPECT_FALSE(state.present || state.link_up);
    bench.nic().set_removed(false);
}

TEST(WrappingCounters, CountOn) {
    WrappingCounter counter(36);
    counter.start(0xF'FFFF'FFF0);
    counter.see(0xF'FFFF'FFFF);
    counter.see(0x10);
    EXPECT_EQ(counter.total(), 0x20u);
}

class IxgbeVlans : public testing::Test {
  protected:
    static constexpr std::uint16_t vlan = 42;
    static constexpr auto user = nic82599::Function::vf(0);

    IxgbeVlans() {
        std::string why_not;
        bench.has_vlan(vlan, why_not);
        bench.steering().give(0, {guest, vlan});
        vf = bench.bring_up(0);
        bench.steering().steer_to_vf(0, guest);
    }
    // The message alone, as no driver sends it: its queues go on.
    void say_reset() {
        namespace mailbox = reg::vf;
        auto& nic = bench.nic();
        nic.write(user, mailbox::VFMAILBOX, mailbox::MAILBOX_VFU);
        nic.write(user, mailbox::VFMBMEM, 1);
        nic.write(user, mailbox::VFMAILBOX, mailbox::MAILBOX_REQ);
        EXPECT_TRUE(nic82599::eventually([&] { return nic.peek(reg::PFMBICR(0)) == 0; }));
        static_cast<void>(bench.steering().refused());  // behind what serves that message
    }

    IxgbeBench bench;
    std::unique_ptr<Endpoint> vf;
};

// 8.2.3.27: PFVMVIR, PFVLVF with its pools, PFVML2FLT, PFVFSPOOF's upper half, VLNCTRL.
TEST_F(IxgbeVlans, AreSetUpInTheNic) {
    auto& nic = bench.nic();
    EXPECT_EQ(nic.peek(reg::PFVMVIR(0)), reg::VMVIR_ALWAYS | vlan);
    EXPECT_EQ(nic.peek(reg::PFVML2FLT(0)) & reg::VML2FLT_AUPE, 0u);
    EXPECT_EQ(nic.peek(reg::PFVFSPOOF(0)), 0x0303u);
    EXPECT_EQ(nic.peek(reg::VLNCTRL) & reg::VLNCTRL_VFE, reg::VLNCTRL_VFE);
    std::uint64_t members = 0;
    for (unsigned i = 0; i < nic82599::RegisterFile::vlan_filters; ++i) {
        if ((nic.peek(reg::PFVLVF(i)) & (reg::VLVF_VALID | 0xFFF)) == (reg::VLVF_VALID | vlan))
            members = nic.peek(reg::PFVLVFB(2 * i));
    }
    EXPECT_EQ(members, 0b101u) << "VF 0 and, behind both VFs, the port";
}

TEST_F(IxgbeVlans, AVfThatResetsItselfStaysInIts) {
    rte_eth_dev_stop(bench.port_of(0));
    rte_eth_dev_start(bench.port_of(0));
    EXPECT_TRUE(nic82599::eventually([&] {
        static_cast<void>(bench.steering().vfs());
        return bench.steering().vfs()[0].link_up;
    }));
    vf->send(peer, guest, 1);
    EXPECT_EQ(bench.wire().seen(), (Sightings{{1, vlan}}));
    bench.wire().send(everyone, peer, 2);
    bench.wire().send(everyone, peer, 3, vlan);
    EXPECT_EQ(vf->seen(), (Sightings{{3, 0}}));
}

TEST_F(IxgbeVlans, AVfThatSaysResetWhileItMaySendIsStopped) {
    auto const refused = bench.steering().refused();
    say_reset();
    EXPECT_EQ(bench.steering().refused(), refused + 1);
    EXPECT_FALSE(bench.steering().vfs()[0].link_up);
    vf->send(peer, guest, 1);
    EXPECT_EQ(bench.wire().seen(), Sightings{});
    say_reset();  // DPDK lets it go until it has answered
    EXPECT_FALSE(bench.steering().vfs()[0].link_up);
    for (auto const& [number, tag] : bench.wire().seen())
        EXPECT_EQ(tag, vlan) << "of frame " << number;
    vf->send(peer, guest, 2);
    EXPECT_EQ(bench.wire().seen(), Sightings{});
    bench.steering().take(0, guest);
    bench.steering().give(0, {guest, vlan});
    vf = bench.bring_up(0);
    EXPECT_TRUE(bench.steering().vfs()[0].link_up);
}

TEST(IxgbeRates, AreSetPerQueueOfAVf) {
    IxgbeBench bench(100);
    nic82599::RegisterTrace trace;
    bench.nic().set_trace(&trace);
    bench.steering().give(1, {guest});
    bench.nic().set_trace(nullptr);
    // 7.7.2: a factor of 100 leaves 100 Mb/s of 10 Gb/s; 16 pools have 8 queues each.
    constexpr std::uint32_t hundredth = reg::RTTBCNRC_RS_ENA | 100u << 14;
    EXPECT_EQ(trace.missing(
                  {{reg::RTTDQSEL, 8}, {reg::RTTBCNRC, hundredth}, {reg::RTTDQSEL, 15}, {reg::RTTBCNRC, hundredth}}),
              "");
}

TEST(IxgbeRates, ThatAreTooMuchForTheLinkAreRefused) {
    IxgbeBench bench(2000);
    EXPECT_THROW(bench.steering().give(0, {guest}), SteeringError);
    EXPECT_FALSE(bench.steering().vfs()[0].link_up);
}

using nic82599::eventually;

bool dpdk_says_up() {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(0, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

// The link goes, DPDK sees it and means to look again, a VF's message makes it forget that, the link comes back.
void flap_with_a_message(IxgbeBench& bench) {
    bench.nic().set_link(false);
    ASSERT_TRUE(eventually([] { return !dpdk_says_up(); }));
    bench.nic().write(nic82599::Function::pf(), reg::EICS, reg::EICR_MAILBOX);
    ASSERT_TRUE(eventually([&] { return (bench.nic().peek(reg::EICR) & reg::EICR_MAILBOX) == 0; }));
    static_cast<void>(bench.steering().refused());  // behind what serves that interrupt
    bench.nic().set_link(true);
}

TEST_F(IxgbeSteeringTest, ALinkThatDpdkTakesForUpIsDown) {
    steering.give(0, {guest});
    auto const vf = bench.bring_up(0);
    ASSERT_TRUE(steering.vfs()[0].link_up);
    bench.nic().write(nic82599::Function::pf(), reg::EIMC, reg::EICR_LSC);
    bench.nic().set_link(false);
    EXPECT_FALSE(steering.vfs()[0].link_up);
    bench.nic().set_link(true);
    EXPECT_TRUE(steering.vfs()[0].link_up);
}

TEST_F(IxgbeSteeringTest, ALinkThatCameBackUnseenIsUpAndDpdkGetsToKnow) {
    auto const registers = IxgbeRegisters::find("0000:01:00.0", nic82599::pf_mac);
    ASSERT_TRUE(registers);
    flap_with_a_message(bench);
    EXPECT_TRUE(ixgbe_link(0, registers).up);
    EXPECT_TRUE(eventually([&] {
        if (ixgbe_link(0, registers).stale)
            refresh_ixgbe_link_soon(0);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return dpdk_says_up();
    }));
}

TEST(IxgbeRates, AreSetThoughDpdkMissedThatTheLinkCameBack) {
    IxgbeBench bench(100);
    flap_with_a_message(bench);
    EXPECT_NO_THROW(bench.steering().give(0, {guest}));  // waits while DPDK sets the link up
}

TEST(IxgbeWithoutVfs, SaysHowToMakeThem) {
    nic82599::Laboratory laboratory;
    ASSERT_EQ(laboratory.start(0), 0);
    try {
        IxgbeSteering const steering({0, "0000:01:00.0", {"0000:01:10.0"}, 0});
        FAIL();
    } catch (SteeringError const& error) {
        EXPECT_EQ(error.error, ENODEV);
        EXPECT_THAT(error.what(), testing::HasSubstr("sriov_numvfs"));
    }
}

}  // namespace
}  // namespace librettos
