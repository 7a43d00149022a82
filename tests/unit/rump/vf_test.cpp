// SPDX-License-Identifier: BSD-2-Clause
// A rump kernel's interface that the server switches to a VF and back, in a kernel that watches the contract's rules.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/unit/rump/switched_guest.hpp"
#include "tests/unit/rump/vf_module_double.hpp"

namespace librettos::test {
namespace {

class RumpGuestWithVf : public SwitchedRumpGuest {
  protected:
    bool vf_is_up() override { return loaded_vf()->is_up(); }
    std::vector<Frame> sent_by_vf() override { return loaded_vf()->take(); }
    void start_with_vf() {
        SwitchedRumpGuest::start_with_vf();
        ASSERT_NE(loaded_vf(), nullptr);
        EXPECT_EQ(loaded_address(), pci_address);
        EXPECT_FALSE(loaded_vf()->is_up());
    }
};

TEST_F(RumpGuestWithVf, FramesGoTheOtherWayAndBack) {
    start_with_vf();
    send(numbered(0));
    ASSERT_TRUE(peer_.wait_for_frames(1));

    go_direct();
    std::vector<Frame> direct;
    for (unsigned number = 1; number <= 64; ++number) {
        direct.push_back(numbered(number, 100 + number));
        send(direct.back(), number % 32 + 1);
    }
    EXPECT_TRUE(leaves_by_vf(direct));
    EXPECT_EQ(peer_.frames().size(), 1u) << "nothing through the rings";
    std::vector<Frame> received;
    for (unsigned number = 0; number < 200; ++number) {
        received.push_back(numbered(number));
        loaded_vf()->deliver(received.back());
    }
    KernelDouble::instance().wait_for_frames(received.size());
    // What a guest of the same server sends comes through the rings all the time.
    received.push_back(numbered(7));
    send_from_second(received.back());
    KernelDouble::instance().wait_for_frames(received.size());
    EXPECT_EQ(KernelDouble::instance().frames(), received);

    ASSERT_EQ(say(LVIF_MSG_SWITCH_BACK), 0);
    send(numbered(65));
    ASSERT_TRUE(peer_.wait_for_frames(2));
    EXPECT_EQ(peer_.frames().back(), numbered(65));
    ASSERT_EQ(say(LVIF_MSG_SWITCH_RELEASE), 0);
    EXPECT_FALSE(loaded_vf()->is_up());
}

TEST_F(RumpGuestWithVf, ABurstOfTheVfTakesTheKernelOnce) {
    start_with_vf();
    go_direct();
    unsigned before = 0;
    {
        InKernel const in_kernel;  // nothing is delivered meanwhile
        before = KernelDouble::instance().component_schedules();
        for (unsigned number = 0; number < 640; ++number) {
            loaded_vf()->deliver(numbered(number));
        }
    }
    KernelDouble::instance().wait_for_frames(640);
    EXPECT_LT(KernelDouble::instance().component_schedules() - before, 640u / 4);
}

TEST_F(RumpGuestWithVf, NothingIsLostInASwitchUnderLoad) {
    start_with_vf();
    switch_under_load();
}

TEST_F(RumpGuestWithVf, AVfThatIsGoneIsLeft) {
    start_with_vf();
    go_direct();
    loaded_vf()->unplug();
    ASSERT_TRUE(eventually([&] {
        send(numbered(1));
        return !peer_.frames().empty();
    }));
    EXPECT_FALSE(loaded_vf()->is_up());
}

// The VF's room is worth waiting for, without the kernel, also when there is no server.
TEST_F(RumpGuestWithVf, AFullVfIsWaitedForWithoutTheKernel) {
    start_with_vf();
    go_direct();
    cable_.reset();
    ASSERT_TRUE(eventually([this] { return !second_->frames_leave(); })) << "the crash is known";
    loaded_vf()->set_room(0);
    std::atomic<bool> stop = false;
    std::atomic<unsigned> other_calls = 0;
    std::thread other([&] {
        while (!stop) {
            InKernel const in_kernel;
            ++other_calls;
        }
    });
    for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(eventually([&] {
            InKernel const in_kernel;
            unsigned const before = other_calls;
            interface_.send(numbered(0));
            return other_calls > before;
        }));
    }
    stop = true;
    other.join();
}

TEST_F(RumpGuestWithVf, WithoutOneItSaysThatItCannot) {
    start();
    EXPECT_EQ(loaded_vf(), nullptr);
    EXPECT_EQ(say(LVIF_MSG_SWITCH_PREPARE), -EOPNOTSUPP);
}

}  // namespace
}  // namespace librettos::test
