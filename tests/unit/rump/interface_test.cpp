// SPDX-License-Identifier: BSD-2-Clause
// The user half of an interface in a kernel that watches the contract's rules.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <thread>

#include "guest-frontend/rump/librettos_rump.h"
#include "tests/unit/rump/rump_guest.hpp"
#include "tests/unit/rump/tcpip_double.h"

namespace librettos::test {
namespace {

KernelDouble& kernel() {
    return KernelDouble::instance();
}

TEST_F(RumpGuest, OthersUseTheKernelWhileCreateWaitsForAServer) {
    auto created = std::async(std::launch::async, [this] { return create(); });
    ASSERT_TRUE(eventually([] { return kernel().known_threads() == 1; }));
    for (int i = 0; i < 10; ++i) {
        InKernel const in_kernel;
    }
    EXPECT_EQ(created.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    guest::Offer offer{};
    EXPECT_EQ(librettos_rump_offer(&offer), -ENOTCONN);
    plug_in();
    EXPECT_EQ(created.get(), 0);
    EXPECT_EQ(interface_.mac(), (Frame{2, 0, 0, 0, 0, 0x10}));
    ASSERT_EQ(librettos_rump_offer(&offer), 0);
    EXPECT_EQ(offer.ipv4[3], 10);
    EXPECT_EQ(offer.mtu, 1500);
}

TEST_F(RumpGuest, FramesGoOutInOneOrManyParts) {
    start();
    std::vector<Frame> sent;
    for (unsigned number = 0; number < 64; ++number) {
        sent.push_back(numbered(number, number == 0 ? 1514 : 100 + number));
        InKernel const in_kernel;
        interface_.send(sent.back(), 1 + number % 32);
    }
    ASSERT_TRUE(peer_.wait_for_frames(sent.size()));
    EXPECT_EQ(peer_.frames(), sent);
}

TEST_F(RumpGuest, FramesComeInWhole) {
    start();
    std::vector<Frame> sent;
    for (unsigned number = 0; number < 200; ++number) {
        sent.push_back(numbered(number, 60 + number * 7));
        send_from_second(sent.back());
    }
    kernel().wait_for_frames(sent.size());
    EXPECT_EQ(kernel().frames(), sent);
}

TEST_F(RumpGuest, ABurstTakesTheKernelOnce) {
    start();
    unsigned before = 0;
    {
        InKernel const in_kernel;  // nothing is delivered meanwhile
        before = kernel().component_schedules();
        for (unsigned number = 0; number < 640; ++number) {
            send_from_second(numbered(number));
        }
        ASSERT_TRUE(eventually([this] { return second_->statistics().tx_frames == 640; }));
        std::this_thread::sleep_for(
            std::chrono::milliseconds(50));  // for the cable; a later frame only costs a schedule more
    }
    kernel().wait_for_frames(640);
    EXPECT_LT(kernel().component_schedules() - before, 640u / 4);
}

// The other guest takes nothing, its ring fills, the cable holds what is in ours.
TEST_F(RumpGuest, AFullRingIsWaitedForWithoutTheKernel) {
    start();
    peer_.set_gate(false);
    std::atomic<bool> stop = false;
    std::atomic<unsigned> other_calls = 0;
    std::thread other([&] {
        while (!stop) {
            InKernel const in_kernel;
            ++other_calls;
        }
    });
    unsigned const enough = 2 * 256 * 1024 / 1500 + 200;
    for (unsigned number = 0; number < enough; ++number) {
        InKernel const in_kernel;
        interface_.send(numbered(number, 1500));
    }
    unsigned const calls_before = other_calls;
    {
        InKernel const in_kernel;
        interface_.send(numbered(enough, 1500));  // waits, and gives up
    }
    EXPECT_TRUE(eventually([&] { return other_calls > calls_before; }));
    stop = true;
    other.join();
    peer_.set_gate(true);
    std::size_t const accepted = 256 * 1024 / 1600;
    ASSERT_TRUE(peer_.wait_for_frames(accepted));
    std::vector<Frame> const got = peer_.frames();
    for (unsigned number = 0; number < accepted; ++number) {
        ASSERT_EQ(got[number], numbered(number, 1500)) << number;
    }
}

// Frames that fit wait in the ring for the next server; nobody is kept waiting for a dead one.
TEST_F(RumpGuest, ACrashOfTheServerIsNotSeen) {
    start();
    for (unsigned number = 0; number < 10; ++number) {
        InKernel const in_kernel;
        interface_.send(numbered(number));
    }
    ASSERT_TRUE(peer_.wait_for_frames(10));
    cable_.reset();
    for (unsigned number = 10; number < 3000; ++number) {  // more than fit
        InKernel const in_kernel;
        interface_.send(numbered(number));
    }
    plug_in();
    ASSERT_TRUE(peer_.wait_for_frames(500));
    std::vector<Frame> const got = peer_.frames();
    for (unsigned number = 0; number < 500; ++number) {
        ASSERT_EQ(got[number], numbered(number));
    }
    send_from_second(numbered(7));
    kernel().wait_for_frames(1);
    EXPECT_EQ(kernel().frames().back(), numbered(7));
}

TEST_F(RumpGuest, ItComesBackAfterADetach) {
    start();
    cable_->detach(0);
    ASSERT_TRUE(eventually([this] { return cable_->connections(0) == 2; }));
    auto const sent = numbered(1);
    ASSERT_TRUE(eventually([&] {
        InKernel const in_kernel;
        interface_.send(sent);
        return !peer_.frames().empty();
    }));
    EXPECT_EQ(peer_.frames().front(), sent);
}

TEST_F(RumpGuest, AProcessHasOneInterface) {
    start();
    InKernel const in_kernel;
    Interface another;
    EXPECT_EQ(another.create("1"), EBUSY);
}

TEST_F(RumpGuest, WhatCannotBeIsRefused) {
    {
        InKernel const in_kernel;
        EXPECT_EQ(interface_.create("name=first,socket=/nonexistent"), ENOENT);
        EXPECT_EQ(interface_.create("name=first,colour=blue"), EINVAL);
    }
    plug_in();
    EXPECT_EQ(create(",mode=dedicated"), EINVAL);  // the cable offers shared ones
}

TEST_F(RumpGuest, NothingIsDeliveredAfterDestroy) {
    start();
    std::atomic<bool> stop = false;
    std::thread sender([&] {
        for (unsigned number = 0; !stop; ++number) {
            second_->frames().send(200, [](std::uint8_t* bytes) { std::fill_n(bytes, 200, std::uint8_t{1}); });
        }
    });
    kernel().wait_for_frames(100);
    {
        InKernel const in_kernel;
        interface_.destroy();
    }
    std::size_t const delivered = kernel().frames().size();
    EXPECT_EQ(kernel().known_threads(), 0u);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(kernel().frames().size(), delivered);
    stop = true;
    sender.join();
    ASSERT_EQ(create(), 0) << "and it can be made again";
}

TEST_F(RumpGuest, TheHypervisorsEndIsSurvived) {
    start();
    hypervisor_.stop(SIGKILL);
    for (unsigned number = 0; number < 100; ++number) {
        InKernel const in_kernel;
        interface_.send(numbered(number));
    }
}

TEST_F(RumpGuest, AnInterfaceIsConfiguredByItsOffer) {
    start();
    // The double's ifcreate makes no interface: it is there already.
    EXPECT_EQ(librettos_rump_ifup("virt0"), 0);
    EXPECT_STREQ(double_configured(), "create virt0;virt0 mtu 1500;up virt0;virt0 192.0.2.10/24;gateway 192.0.2.1;");
}

}  // namespace
}  // namespace librettos::test
