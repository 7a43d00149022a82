// SPDX-License-Identifier: BSD-2-Clause
// The interface from create to destroy, with a server that echoes.
#include "component.hpp"

extern "C" void rump_virtif_lvif_deliver(virtif_sc* /*kernel_half*/, iovec_of_netbsd* parts, std::size_t n) {
    ASSERT_EQ(n, 1u);
    MiniOs::machine().delivered(parts->base, parts->bytes);
}

namespace {

using RumprunInterface = Component;

TEST_F(RumprunInterface, IsConnectedWhenCreateReturns) {
    ASSERT_EQ(create(), 0);
    EXPECT_EQ(address, (std::array<std::uint8_t, 6>{0x02, 0x00, 0x5e, 0x10, 0x00, 0x07}));
    EXPECT_NE(os.console.find("192.0.2.7/24"), std::string::npos);
    EXPECT_NE(os.console.find("link up"), std::string::npos);
    lvif_addresses addresses{};
    ASSERT_EQ(rumpcomp_lvif_addresses(&addresses), 1);
    EXPECT_EQ(addresses.ipv4[3], 7);
    EXPECT_EQ(addresses.ipv4_prefix, 24);
    EXPECT_EQ(addresses.gateway4[3], 1);
    EXPECT_EQ(addresses.ipv6[0], 0x20);
    EXPECT_EQ(addresses.ipv6_prefix, 64);
    EXPECT_EQ(addresses.gateway6[0], 0xfe);
    EXPECT_EQ(addresses.mtu, 1500);
    destroy();
    EXPECT_EQ(rumpcomp_lvif_addresses(&addresses), 0);
}

TEST_F(RumprunInterface, IsTheOnlyOne) {
    ASSERT_EQ(create(), 0);
    virtif_user* second = nullptr;
    EXPECT_EQ(os.in_kernel([&] { return rumpcomp_lvif_create(0, &kernel_half, address.data(), &second); }), BMK_EBUSY);
    destroy();
    EXPECT_EQ(os.in_kernel([&] { return rumpcomp_lvif_create(1, &kernel_half, address.data(), &second); }), BMK_EBUSY);
}

TEST_F(RumprunInterface, WaitsForItsDevice) {
    os.refuse_writes = true;
    unsigned told = 0;
    bmk_sched_create(
        "toolstack", nullptr, 1,
        [](void* context) {
            auto& told_in_time = *static_cast<unsigned*>(context);
            MiniOs::machine().run_until(
                [] { return MiniOs::machine().console.find("has a device") != std::string::npos; });
            MiniOs::machine().run_for(3000);
            told_in_time = 1;
            MiniOs::machine().refuse_writes = false;
        },
        &told, nullptr, 0);
    ASSERT_EQ(create(), 0);
    EXPECT_EQ(told, 1u);
    EXPECT_EQ(os.console.find("has a device"), os.console.rfind("has a device"));
}

TEST_F(RumprunInterface, PassesFramesInOrderAndWhole) {
    ASSERT_EQ(create(), 0);
    std::vector<std::string> sent;
    for (unsigned round = 0; round < 40; ++round) {
        for (unsigned i = 0; i < 50; ++i) {
            sent.push_back(frame(round * 50 + i, 60 + (round * 50 + i) * 37 % 1440));
            send(sent.back());
        }
        ASSERT_TRUE(wait_for_frames(sent.size()));
    }
    EXPECT_EQ(os.frames, sent);
}

// Socket locks are held there.
TEST_F(RumprunInterface, NeverBlocksWhoSends) {
    ASSERT_EQ(create(), 0);
    os.server.crash();
    for (unsigned i = 0; i < 300; ++i) {
        send(frame(i, 1500));
    }
    os.server.restart();
    ASSERT_TRUE(wait_for_frames(100));
    os.run_for(100);
    std::size_t const kept = os.frames.size();
    EXPECT_LT(kept, 200u);
    EXPECT_GE(kept, 150u);
    for (unsigned i = 0; i < kept; ++i) {
        EXPECT_EQ(os.frames[i], frame(i, 1500));
    }
    destroy();
    EXPECT_NE(os.console.find("dropped for want of room: " + std::to_string(300 - kept)), std::string::npos)
        << os.console;
}

TEST_F(RumprunInterface, GoesOnAfterACrashOfTheServer) {
    ASSERT_EQ(create(), 0);
    for (unsigned crash = 0; crash < 5; ++crash) {
        send(frame(crash));
        os.server.crash();
        os.run_for(2000);
        os.server.restart();
        ASSERT_TRUE(wait_for_frames(crash + 1));
    }
    EXPECT_EQ(os.frames.back(), frame(4));
    EXPECT_EQ(os.console.find("detached"), std::string::npos);
}

TEST_F(RumprunInterface, ComesBackAfterADetach) {
    ASSERT_EQ(create(), 0);
    for (unsigned detach = 0; detach < 3; ++detach) {
        os.server.detach("for a test");
        ASSERT_TRUE(os.run_until([this] { return os.server.state() == std::to_string(LVIF_STATE_CONNECTED); }));
        os.run_for(50);
        send(frame(detach));
        ASSERT_TRUE(wait_for_frames(detach + 1));
    }
    EXPECT_NE(os.console.find("detached: for a test"), std::string::npos);
}

// The ring goes only when the kernel has given the frame back.
TEST_F(RumprunInterface, IsDetachedWithAFrameInTheKernelsHands) {
    ASSERT_EQ(create(), 0);
    bool detached = false;
    os.while_delivering = [&] {
        if (!detached) {
            detached = true;
            os.server.detach("in mid-frame");
            os.run_for(500);
        }
    };
    for (unsigned i = 0; i < 20; ++i) {
        send(frame(i));
    }
    ASSERT_TRUE(wait_for_frames(1));
    ASSERT_TRUE(os.run_until([this] { return os.server.state() == std::to_string(LVIF_STATE_CONNECTED); }));
    std::size_t const before = os.frames.size();
    os.run_for(50);
    send(frame(99));
    ASSERT_TRUE(wait_for_frames(before + 1));
    EXPECT_EQ(os.frames.back(), frame(99));
}

// One notification for what the kernel answers to a burst, not one for each.
TEST_F(RumprunInterface, AnswersToABurstLeaveTogether) {
    constexpr unsigned burst = 20;
    ASSERT_EQ(create(), 0);
    os.run_for(10);
    unsigned answers = 0;
    std::uint64_t notifications = 0;
    os.while_delivering = [&] {
        if (answers == burst) {
            return;
        }
        os.server.tx_header()->consumer_sleeps = 1;
        std::uint64_t const before = os.world.notifications;
        send(frame(100 + answers++));
        notifications += os.world.notifications - before;
    };
    for (unsigned i = 0; i < burst; ++i) {
        send(frame(i));
    }
    ASSERT_TRUE(wait_for_frames(2 * burst));
    EXPECT_EQ(answers, burst);
    EXPECT_LE(notifications, burst / 4);
    EXPECT_EQ(os.frames.back(), frame(100 + burst - 1));
}

TEST_F(RumprunInterface, SurvivesLostEvents) {
    ASSERT_EQ(create(), 0);
    os.run_for(10);
    os.events_to_lose = 1;
    send(frame(1));
    ASSERT_TRUE(os.run_until([this] { return os.frames.size() == 1; }, 3000));
    os.events_to_lose = 100000;
    send(frame(2));
    ASSERT_TRUE(os.run_until([this] { return os.frames.size() == 2; }, 3000));
}

TEST_F(RumprunInterface, KeepsPagesThatASlowServerStillMaps) {
    ASSERT_EQ(create(), 0);
    os.server.keeps_mappings = true;
    os.server.detach("slow");
    ASSERT_TRUE(os.run_until([this] { return os.server.state() == std::to_string(LVIF_STATE_CONNECTED); }));
    EXPECT_GT(os.grants_in_use(), 200u);  // of two connections
    os.server.keeps_mappings = false;
    os.server.detach("not slow any more");
    ASSERT_TRUE(os.run_until([this] { return os.server.state() == std::to_string(LVIF_STATE_CONNECTED); }));
    EXPECT_TRUE(os.run_until([this] { return os.grants_in_use() == 136; }));
}

TEST_F(RumprunInterface, ReconnectsWhenTheRingIsBroken) {
    ASSERT_EQ(create(), 0);
    lvif_ring_header* const ring = os.server.rx_header();
    os.server.crash();  // else it writes its own position again
    ring->head += LVIF_RING_DEFAULT_CAPACITY * 2 + 8;
    os.fire(os.server.event_of("queue-0/event"));
    ASSERT_TRUE(os.run_until([this] { return os.console.find("detached") != std::string::npos; }));
    os.server.restart();
    ASSERT_TRUE(os.run_until([this] { return os.server.state() == std::to_string(LVIF_STATE_CONNECTED); }));
    os.run_for(50);
    send(frame(3));
    ASSERT_TRUE(wait_for_frames(1));
}

TEST_F(RumprunInterface, DeliversNothingAfterItsEnd) {
    ASSERT_EQ(create(), 0);
    for (unsigned i = 0; i < 50; ++i) {
        send(frame(i));
    }
    destroy();
    std::size_t const delivered = os.frames.size();
    os.run_for(100);
    EXPECT_EQ(os.frames.size(), delivered);
}

}  // namespace
