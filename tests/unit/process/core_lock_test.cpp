// SPDX-License-Identifier: BSD-2-Clause
// Frames that are sent with the core lock of the installed lwIP.
#include "guest-frontend/lwip/core_lock.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "guest-frontend/lwip/lvif_netif.h"  // lwIP's declarations are C's

#include <lwip/tcpip.h>

#include "guest-frontend/process/frame_link.hpp"
#include "tests/unit/linux/ring_double.hpp"

namespace librettos::guest {
namespace {

constexpr std::uint32_t frame_bytes = 64;

class Deaf final : public Stack {
  public:
    void burst_begins() override {}
    void deliver(lvif_frame const&) override {}
    void burst_ends() override {}
    void connected(Offer const&, FrameLink&) override {}
    void link(bool, std::uint16_t) override {}
};

class CoreLocked : public testing::Test {
  public:
    static void SetUpTestSuite() { tcpip_init(nullptr, nullptr); }
    CoreLocked() : link(&ring, events, stack, -1, LVIF_POLL_DEFAULT_US) { link.connect(); }

    void send() {
        auto const leaves = leaves_with_core_lock(link) ? FrameLink::Leaves::when_told : FrameLink::Leaves::at_once;
        auto const fill = [](std::uint8_t* frame) { std::fill_n(frame, frame_bytes, std::uint8_t{0}); };
        ASSERT_EQ(link.send(frame_bytes, fill, leaves), 0);
    }

    lvif_device ring;
    RingEvents events;
    Deaf stack;
    FrameLink link;
    std::size_t waiting_inside = 0;  // the core lock's
    bool said = false;               // so
};

TEST_F(CoreLocked, FramesLeaveWithItsEnd) {
    LOCK_TCPIP_CORE();
    send();
    send();
    EXPECT_EQ(ring.waiting(), 0u);
    UNLOCK_TCPIP_CORE();
    EXPECT_EQ(ring.waiting(), 2u);
    EXPECT_EQ(ring.publishes(), 1);
}

TEST_F(CoreLocked, ManyLeaveBefore) {
    LOCK_TCPIP_CORE();
    for (int frame = 0; frame < 100; ++frame) {
        send();
    }
    EXPECT_EQ(ring.waiting(), 64u);
    UNLOCK_TCPIP_CORE();
    EXPECT_EQ(ring.waiting(), 100u);
    EXPECT_EQ(ring.publishes(), 2);
}

TEST_F(CoreLocked, AFrameWithoutItLeavesAtOnce) {
    send();
    EXPECT_EQ(ring.waiting(), 1u);
}

// The thread of lwIP takes the lock in the library.
TEST_F(CoreLocked, TheLibraryTakesTheSameLock) {
    auto const in_thread = [](void* test) {
        auto& self = *static_cast<CoreLocked*>(test);
        self.send();
        self.send();
        self.waiting_inside = self.ring.waiting();
        self.said = true;
    };
    ASSERT_EQ(tcpip_callback(in_thread, this), ERR_OK);
    for (bool over = false; !over;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        LOCK_TCPIP_CORE();
        over = said;
        UNLOCK_TCPIP_CORE();
    }
    EXPECT_EQ(waiting_inside, 0u);
    EXPECT_EQ(ring.waiting(), 2u);
}

}  // namespace
}  // namespace librettos::guest
