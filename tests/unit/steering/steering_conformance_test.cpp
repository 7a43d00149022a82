// SPDX-License-Identifier: BSD-2-Clause
// What every Steering has to do, with frames. Linked with one bench per implementation.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "tests/unit/steering/steering_bench.hpp"

namespace librettos {
namespace {

constexpr std::uint16_t vlan = 42, other_vlan = 77;

class SteeringConformance : public testing::Test {
  protected:
    void SetUp() override {
        std::string why_not;
        bench = make_steering_bench(why_not);
        if (!bench)
            GTEST_SKIP() << why_not;
    }
    Steering& steering() { return bench->steering(); }
    Endpoint& wire() { return bench->wire(); }
    Endpoint& port() { return bench->port(); }
    int error_of(auto&& call) {
        try {
            call();
        } catch (SteeringError const& error) {
            EXPECT_STRNE(error.what(), "");
            return error.error;
        }
        return 0;
    }

    std::unique_ptr<SteeringBench> bench;
};

TEST_F(SteeringConformance, VfsHaveNamesAndAreThere) {
    auto const states = steering().vfs();
    ASSERT_EQ(states.size(), 2u);
    EXPECT_TRUE(states[0].present && states[1].present);
    EXPECT_FALSE(states[0].link_up || states[1].link_up);
    EXPECT_NE(states[0].name, "");
    EXPECT_NE(states[0].name, states[1].name);
}

TEST_F(SteeringConformance, AVfThatIsNotThereIsRefused) {
    EXPECT_EQ(error_of([&] { steering().give(2, {guest}); }), ENODEV);
    EXPECT_EQ(error_of([&] { steering().steer_to_vf(2, guest); }), ENODEV);
    EXPECT_EQ(error_of([&] { steering().take(2, guest); }), ENODEV);
}

TEST_F(SteeringConformance, ALinkThatComesUpIsTold) {
    (void)steering().vfs();
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    pollfd changes{steering().changes_fd(), POLLIN, 0};
    ASSERT_EQ(poll(&changes, 1, 30'000), 1);
    EXPECT_TRUE(steering().vfs()[0].link_up);
    EXPECT_FALSE(steering().vfs()[1].link_up);
}

// Told, or seen at one of the looks that there have to be.
TEST_F(SteeringConformance, AVfThatItsUserLeavesIsNoticed) {
    auto const is_lost = [&](std::uint16_t vf) {
        auto const state = steering().vfs().at(vf);
        return !state.present || !state.link_up;
    };
    auto const is_noticed = [&](std::uint16_t vf) {
        auto const until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!is_lost(vf) && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return is_lost(vf);
    };
    steering().give(0, {guest});
    steering().give(1, {other_guest});
    auto const first = bench->bring_up(0);
    auto const second = bench->bring_up(1);
    ASSERT_FALSE(is_lost(0) || is_lost(1));
    bench->bring_down(0);
    EXPECT_TRUE(is_noticed(0));
    EXPECT_FALSE(is_lost(1));
    bench->kill_user(1);
    EXPECT_TRUE(is_noticed(1));
    steering().take(0, guest);
    steering().take(1, other_guest);
    steering().give(0, {guest});
    auto const again = bench->bring_up(0);
    EXPECT_FALSE(is_lost(0));
}

TEST_F(SteeringConformance, WhatGoesThroughAVfIsCounted) {
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, guest);
    auto const before = steering().vfs();
    ASSERT_TRUE(before[0].traffic && before[1].traffic);
    constexpr std::uint32_t in = 40, out = 90, frame_bytes = 60;  // more than a kernel says by itself
    for (std::uint32_t number = 0; number < in; ++number)
        wire().send(guest, peer, number);
    EXPECT_EQ(vf->received().size(), in);
    for (std::uint32_t number = 0; number < out; ++number)
        vf->send(peer, guest, number);
    EXPECT_EQ(wire().received().size(), out);
    auto const after = steering().vfs();
    auto const received = after[0].traffic->received_frames - before[0].traffic->received_frames;
    auto const sent = after[0].traffic->sent_frames - before[0].traffic->sent_frames;
    EXPECT_TRUE(received >= in && received < out) << received;
    EXPECT_TRUE(sent >= out && sent < out + in) << sent;
    EXPECT_GE(after[0].traffic->received_bytes - before[0].traffic->received_bytes, in * frame_bytes);
    EXPECT_GE(after[0].traffic->sent_bytes - before[0].traffic->sent_bytes, out * frame_bytes);
    EXPECT_LT(after[1].traffic->sent_frames - before[1].traffic->sent_frames, out);
}

TEST_F(SteeringConformance, FramesGoWhereTheyAreSteeredTo) {
    steering().steer_to_port(guest);
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    EXPECT_TRUE(steering().vfs()[0].link_up);
    wire().send(guest, peer, 1);
    EXPECT_EQ(port().received(), Numbers{1});
    EXPECT_EQ(vf->received(), Numbers{});
    for (int again = 0; again < 2; again++)
        steering().steer_to_vf(0, guest);
    wire().send(guest, peer, 2);
    port().send(guest, server, 3);  // of a guest that is the server's
    EXPECT_EQ(port().received(), Numbers{});
    EXPECT_EQ(vf->received(), (Numbers{2, 3}));
    for (int again = 0; again < 2; again++)
        steering().steer_to_port(guest);
    wire().send(guest, peer, 4);
    EXPECT_EQ(port().received(), Numbers{4});
    EXPECT_EQ(vf->received(), Numbers{});
}

// Until it is told to send through its VF, a guest sends through the server; a forger may do so from the wire.
TEST_F(SteeringConformance, FramesFromItsAddressElsewhereDoNotMoveAGuest) {
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, guest);
    port().send(peer, guest, 1);
    wire().send(server, guest, 2);
    wire().received();
    port().received();
    wire().send(guest, peer, 3);
    EXPECT_EQ(vf->received(), Numbers{3});
    EXPECT_EQ(port().received(), Numbers{});
    vf->send(peer, guest, 4);
    EXPECT_EQ(wire().received(), Numbers{4});
    steering().steer_to_port(guest);
    wire().send(guest, peer, 5);
    EXPECT_EQ(port().received(), Numbers{5});
}

TEST_F(SteeringConformance, FramesForOthersDoNotReachAVf) {
    steering().give(0, {guest});
    steering().give(1, {other_guest});
    auto const first = bench->bring_up(0);
    auto const second = bench->bring_up(1);
    steering().steer_to_vf(0, guest);
    steering().steer_to_vf(1, other_guest);
    wire().send(guest, peer, 1);
    wire().send(other_guest, peer, 2);
    wire().send({2, 0, 0, 0, 0, 99}, peer, 3);  // unknown: to the server
    wire().send(everyone, peer, 4);
    first->send(other_guest, guest, 5);
    EXPECT_EQ(first->received(), (Numbers{1, 4}));
    EXPECT_EQ(second->received(), (Numbers{2, 4, 5}));
    EXPECT_EQ(port().received(), (Numbers{3, 4}));
}

TEST_F(SteeringConformance, AVfSendsFromItsGuestsAddressOnlyAndWhenSteeredTo) {
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_port(guest);
    wire().send(server, peer, 0);  // a switch that learns has seen where the peer is
    EXPECT_EQ(port().received(), Numbers{0});
    vf->send(peer, guest, 1);
    EXPECT_EQ(wire().received(), Numbers{}) << "it is not its turn";
    steering().steer_to_vf(0, guest);
    vf->send(peer, guest, 2);
    vf->send(peer, other_guest, 3);
    vf->send(everyone, server, 4);
    EXPECT_EQ(wire().received(), Numbers{2});
    EXPECT_EQ(port().received(), Numbers{});
    wire().send(server, peer, 5);
    EXPECT_EQ(port().received(), Numbers{5}) << "nothing was learned from it";
}

// Without one: the server's port drops such frames, too.
TEST_F(SteeringConformance, NoTagLeavesAVfThatHasNoVlan) {
    std::string why_not;
    if (!bench->has_vlan(vlan, why_not))
        GTEST_SKIP() << why_not;
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, guest);
    wire().send(everyone, peer, 1, vlan);
    wire().send(guest, peer, 2, vlan);
    wire().send(guest, peer, 3);
    EXPECT_EQ(vf->seen(), (Sightings{{3, 0}}));
    vf->send(peer, guest, 4, vlan);
    vf->send(peer, guest, 5);
    EXPECT_EQ(wire().seen(), (Sightings{{5, 0}}));
}

TEST_F(SteeringConformance, AVfIsInItsVlanAndDoesNotKnow) {
    std::string why_not;
    if (!bench->has_vlan(vlan, why_not))
        GTEST_SKIP() << why_not;
    for (int again = 0; again < 2; ++again)
        steering().give(0, {guest, vlan});
    auto const vf = bench->bring_up(0);
    steering().steer_to_port(guest);
    wire().send(guest, peer, 1, vlan);
    EXPECT_EQ(port().seen(), (Sightings{{1, vlan}}));
    steering().steer_to_vf(0, guest);
    wire().send(guest, peer, 2, vlan);
    wire().send(everyone, peer, 3, vlan);
    port().send(guest, server, 4, vlan);
    EXPECT_EQ(vf->seen(), (Sightings{{2, 0}, {3, 0}, {4, 0}}));
    port().received();
    vf->send(peer, guest, 5);
    vf->send(everyone, guest, 6);
    EXPECT_EQ(wire().seen(), (Sightings{{5, vlan}, {6, vlan}}));
    EXPECT_EQ(port().seen(), (Sightings{{6, vlan}}));
}

TEST_F(SteeringConformance, AVfDoesNotLeaveItsVlan) {
    std::string why_not;
    if (!bench->has_vlan(vlan, why_not))
        GTEST_SKIP() << why_not;
    steering().give(0, {guest, vlan});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, guest);
    for (std::uint16_t const other : {std::uint16_t{0}, other_vlan}) {
        wire().send(guest, peer, 1, other);
        wire().send(everyone, peer, 2, other);
    }
    EXPECT_EQ(vf->seen(), Sightings{});
    port().received();
    vf->send(peer, guest, 3, other_vlan);
    vf->send(everyone, guest, 4, other_vlan);
    for (auto const& [number, tag] : wire().seen())
        EXPECT_EQ(tag, vlan) << "of frame " << number;  // a NIC may put its tag before the VF's
    for (auto const& [number, tag] : port().seen())
        EXPECT_EQ(tag, vlan) << "of frame " << number;
}

TEST_F(SteeringConformance, AVfMovesToAnotherVlanWithItsNextGuest) {
    std::string why_not;
    if (!bench->has_vlan(vlan, why_not))
        GTEST_SKIP() << why_not;
    steering().give(0, {guest, vlan});
    steering().take(0, guest);
    steering().give(0, {other_guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, other_guest);
    vf->send(peer, other_guest, 1);
    EXPECT_EQ(wire().seen(), (Sightings{{1, 0}}));
    wire().send(everyone, peer, 2, vlan);
    wire().send(other_guest, peer, 3);
    EXPECT_EQ(vf->seen(), (Sightings{{3, 0}}));
}

TEST_F(SteeringConformance, ATakenVfIsNobodys) {
    steering().give(0, {guest});
    steering().steer_to_vf(0, guest);
    (void)bench->bring_up(0);
    steering().steer_to_port(guest);
    steering().take(0, guest);
    EXPECT_FALSE(steering().vfs()[0].link_up);
    steering().give(0, {other_guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, other_guest);
    wire().send(other_guest, peer, 1);
    wire().send(guest, peer, 2);
    EXPECT_EQ(vf->received(), Numbers{1});
    EXPECT_EQ(port().received(), Numbers{2});
}

// A stream while steering goes to and fro; so few frames on their way that none is lost for want of room.
TEST_F(SteeringConformance, AChangeLosesNothingAndDoublesNothing) {
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_port(guest);
    constexpr std::uint32_t frames = 5000, window = 64;
    std::atomic<std::uint32_t> taken = 0;
    std::atomic<bool> given_up = false, sent_all = false;
    std::thread sender([&] {
        for (std::uint32_t number = 0; number < frames && !given_up; ++number) {
            while (number - taken >= window && !given_up)
                std::this_thread::yield();
            wire().send(guest, peer, number);
        }
        sent_all = true;
    });
    Numbers at_vf, at_port;
    int changes = 0;
    auto const collect = [&](Endpoint& at, Numbers& numbers) {
        auto const more = at.received();
        numbers.insert(numbers.end(), more.begin(), more.end());
        taken += static_cast<std::uint32_t>(more.size());
        return !more.empty();
    };
    auto progress = std::chrono::steady_clock::now();
    while (!sent_all) {
        changes++ % 2 == 0 ? steering().steer_to_vf(0, guest) : steering().steer_to_port(guest);
        auto const now = std::chrono::steady_clock::now();
        bool const vf_came = collect(*vf, at_vf);
        bool const port_came = collect(port(), at_port);
        progress = vf_came || port_came ? now : progress;
        given_up = now - progress > std::chrono::seconds(30);
    }
    sender.join();
    collect(*vf, at_vf);
    collect(port(), at_port);
    EXPECT_GT(at_vf.size(), 0u);
    EXPECT_GT(at_port.size(), 0u);
    EXPECT_GT(changes, 20);
    Numbers all(at_vf);
    all.insert(all.end(), at_port.begin(), at_port.end());
    std::sort(all.begin(), all.end());
    Numbers expected(frames);
    for (std::uint32_t number = 0; number < frames; ++number)
        expected[number] = number;
    EXPECT_EQ(all.size(), expected.size());
    EXPECT_TRUE(all == expected);
}

// As when the server is killed and the next one finds the guest direct.
TEST_F(SteeringConformance, WhatIsSentWhileAllIsRepeatedIsNotLost) {
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, guest);
    constexpr std::uint32_t frames = 2000;
    std::atomic<bool> sent_all = false;
    std::thread sender([&] {
        for (std::uint32_t number = 0; number < frames; ++number)
            vf->send(peer, guest, number);
        sent_all = true;
    });
    int repeated = 0;
    for (; !sent_all || repeated < 20; ++repeated) {
        steering().give(0, {guest});
        steering().steer_to_vf(0, guest);
    }
    sender.join();
    auto const numbers = wire().received();
    EXPECT_EQ(numbers.size(), frames);
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

}  // namespace
}  // namespace librettos
