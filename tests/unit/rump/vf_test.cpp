// SPDX-License-Identifier: BSD-2-Clause
// A rump kernel's interface that the server switches to a VF and back, in a kernel that watches the contract's rules.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <tuple>

#include "tests/unit/rump/rump_guest.hpp"
#include "tests/unit/rump/vf_module_double.hpp"

namespace librettos::test {
namespace {

constexpr char pci_address[] = "0000:01:10.0";

// By the number that RumpGuest::numbered() has put in.
bool comes_before(Frame const& one, Frame const& other) {
    return std::tie(one[12], one[13]) < std::tie(other[12], other[13]);
}

class RumpGuestWithVf : public RumpGuest {
  protected:
    // Guest 0 of the cable is ours.
    int say(lvif_message_type message) { return cable_->say(0, message); }
    void start_with_vf() {
        plug_in();
        start_second();
        ASSERT_EQ(create(std::string(",vf=") + pci_address), 0);
        ASSERT_NE(loaded_vf(), nullptr);
        EXPECT_EQ(loaded_address(), pci_address);
        EXPECT_FALSE(loaded_vf()->is_up());
    }
    void go_direct() {
        ASSERT_EQ(say(LVIF_MSG_SWITCH_PREPARE), 0);
        ASSERT_EQ(say(LVIF_MSG_SWITCH_COMMIT), 0);
        ASSERT_TRUE(loaded_vf()->is_up());
    }
    void send(Frame const& frame, std::size_t cuts = 1) {
        InKernel const in_kernel;
        interface_.send(frame, cuts);
    }
    bool leaves_by_vf(std::vector<Frame> const& expected) {
        std::vector<Frame> left;
        return eventually([&] {
                   auto const more = loaded_vf()->take();
                   left.insert(left.end(), more.begin(), more.end());
                   return left.size() >= expected.size();
               }) &&
               left == expected;
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

// The kernel sends all the while; each frame arrives once, in turn, by whichever way.
TEST_F(RumpGuestWithVf, NothingIsLostInASwitchUnderLoad) {
    constexpr unsigned most_under_way = 200;  // so that nothing can be full
    start_with_vf();
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> arrived_by_vf = 0;
    std::vector<Frame> by_vf;
    std::thread nic([&] {
        while (!stop) {
            auto const more = loaded_vf()->take();
            by_vf.insert(by_vf.end(), more.begin(), more.end());
            arrived_by_vf = by_vf.size();
            std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
    });
    std::atomic<std::size_t> sent = 0;
    auto const arrived = [&] { return arrived_by_vf + peer_.frames().size(); };
    std::thread sender([&] {
        for (unsigned number = 0; !stop; ++number) {
            while (sent - arrived() >= most_under_way && !stop) {
                std::this_thread::yield();
            }
            send(numbered(number));
            ++sent;
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    for (int i = 0; i < 5; ++i) {
        go_direct();
        std::size_t const before = arrived_by_vf;
        EXPECT_TRUE(eventually([&] { return arrived_by_vf > before + 20; }));
        EXPECT_EQ(say(LVIF_MSG_SWITCH_BACK), 0);
        EXPECT_EQ(say(LVIF_MSG_SWITCH_RELEASE), 0);
    }
    stop = true;
    sender.join();
    nic.join();
    ASSERT_TRUE(eventually([&] { return arrived() >= sent; }));
    std::vector<Frame> all = peer_.frames();
    for (auto const* way : {&all, &by_vf}) {
        EXPECT_TRUE(std::is_sorted(way->begin(), way->end(), comes_before));
    }
    all.insert(all.end(), by_vf.begin(), by_vf.end());
    std::sort(all.begin(), all.end(), comes_before);
    ASSERT_EQ(all.size(), sent);
    for (unsigned number = 0; number < all.size(); ++number) {
        ASSERT_EQ(all[number], numbered(number));
    }
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
