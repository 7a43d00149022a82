// SPDX-License-Identifier: BSD-2-Clause
// A stack's frames while they change their way: numbered frames both ways over rings and a VF of the test's own.
#include "guest-frontend/process/frame_link.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "tests/unit/eventually.hpp"
#include "tests/unit/linux/ring_double.hpp"
#include "tests/unit/process/vf_double.hpp"

namespace librettos::guest {
namespace {

using std::chrono::milliseconds;

constexpr auto patience = std::chrono::seconds(60);
constexpr std::uint32_t frame_bytes = 64, number_at = 14;
constexpr VfMac mac{2, 0, 0, 0, 0, 2};

std::vector<std::uint8_t> numbered(std::uint32_t number) {
    std::vector<std::uint8_t> frame(frame_bytes);
    std::memcpy(&frame[number_at], &number, sizeof number);
    return frame;
}

std::uint32_t number_in(std::uint8_t const* frame) {
    std::uint32_t number = 0;
    std::memcpy(&number, frame + number_at, sizeof number);
    return number;
}

// Counts what does not come in turn.
struct Account {
    std::atomic<std::uint32_t> next = 0;
    std::atomic<std::uint32_t> wrong = 0;

    void add(std::uint32_t number) {
        wrong += number != next.load() ? 1 : 0;
        next = number + 1;
    }
};

class StackDouble final : public Stack {
  public:
    void burst_begins() override {}
    void deliver(lvif_frame const& frame) override { received.add(number_in(frame.bytes)); }
    void burst_ends() override {}
    void room() override { ++rooms; }
    void connected(Offer const&, FrameLink&) override {}
    void link(bool, std::uint16_t) override {}

    Account received;
    std::atomic<int> rooms = 0;
};

class Switched : public testing::TestWithParam<bool> {
  protected:
    Switched() : vf(GetParam()), link(&ring, events, stack, attention, LVIF_POLL_DEFAULT_US, &vf) { link.connect(); }
    ~Switched() override { ::close(attention); }

    int send(std::uint32_t number, FrameLink::Leaves leaves = FrameLink::Leaves::at_once) {
        auto const frame = numbered(number);
        return link.send(
            frame_bytes, [&frame](std::uint8_t* place) { std::copy(frame.begin(), frame.end(), place); }, leaves);
    }
    static constexpr std::uint32_t in_ring = 500;
    static constexpr std::uint32_t all = 600;
    // The later frames wait in the VF before the earlier ones are in the ring.
    void fill_vf_and_ring() {
        link.use_vf();
        for (std::uint32_t number = in_ring; number < all; ++number) {
            vf.deliver(numbered(number));
        }
        EXPECT_TRUE(eventually([&] { return link.holds_frames_of_vf(); }));
        for (std::uint32_t number = 0; number < in_ring; ++number) {
            ring.deliver({{numbered(number), {}}});
        }
    }
    void to_vf() {
        link.use_vf();
        link.send_by(SendBy::nothing);
        link.let_in();
        link.send_by(SendBy::vf);
    }
    bool comes_by_vf(std::uint32_t first, std::uint32_t end) {
        Account account;
        account.next = first;
        return eventually([&] {
                   for (auto const& frame : vf.take()) {
                       account.add(number_in(frame.data()));
                   }
                   return account.next >= end;
               }) &&
               account.wrong == 0;
    }

    int const attention = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    lvif_device ring;
    RingEvents events;
    StackDouble stack;
    VfDouble vf;
    FrameLink link;
};

TEST_P(Switched, FramesThatHaveNoWayAreHeldInTurn) {
    link.use_vf();
    link.send_by(SendBy::nothing);
    for (std::uint32_t number = 0; number < 100; ++number) {
        ASSERT_EQ(send(number), 0);
    }
    EXPECT_EQ(ring.waiting(), 0u);
    vf.set_room(10);
    link.send_by(SendBy::vf);
    ASSERT_EQ(send(100), 0) << "behind the others";
    EXPECT_TRUE(comes_by_vf(0, 101));
    link.send_by(SendBy::nothing);
    ASSERT_EQ(send(7), 0);
    link.send_by(SendBy::rings);
    EXPECT_EQ(number_in(ring.take().bytes.data()), 7u);
    link.leave_vf();
}

TEST_P(Switched, AFrameThatTheRingRefusesIsNotSent) {
    ring.refuse_frames();
    EXPECT_EQ(send(0), LVIF_EINVAL);
    EXPECT_EQ(ring.waiting(), 0u);
}

TEST_P(Switched, HeldFramesHaveTheirLimit) {
    link.send_by(SendBy::nothing);
    std::uint32_t number = 0;
    while (send(number) == 0) {
        ++number;
    }
    EXPECT_EQ(number, HeldFrames::most_frames);
    EXPECT_EQ(stack.rooms, 0);
    ring.set_room(2 * HeldFrames::most_frames);
    link.send_by(SendBy::rings);
    EXPECT_TRUE(eventually([&] { return stack.rooms == 1; })) << "and whoever was refused is told";
    EXPECT_EQ(send(number), 0);
}

TEST_P(Switched, AFullVfIsAskedForRoom) {
    to_vf();
    vf.set_room(1);
    EXPECT_EQ(send(0), 0);
    EXPECT_EQ(send(1), LVIF_EAGAIN);
    EXPECT_FALSE(link.wait_for_room(milliseconds(5)));
    vf.take();
    EXPECT_TRUE(link.wait_for_room(patience));
    EXPECT_TRUE(eventually([&] { return stack.rooms == 1; }));
    EXPECT_EQ(send(1), 0);
    link.send_by(SendBy::rings);
    link.leave_vf();
}

TEST_P(Switched, WhatLeavesWhenToldLeavesTogether) {
    to_vf();
    for (std::uint32_t number = 0; number < 10; ++number) {
        ASSERT_EQ(send(number, FrameLink::Leaves::when_told), 0);
    }
    EXPECT_EQ(vf.bursts(), 0);
    link.flush();
    EXPECT_EQ(vf.bursts(), 1);
    EXPECT_TRUE(comes_by_vf(0, 10));
    ASSERT_EQ(send(10, FrameLink::Leaves::when_told), 0);
    link.send_by(SendBy::nothing);
    EXPECT_TRUE(comes_by_vf(10, 11)) << "before those that take another way";
    link.send_by(SendBy::rings);
    link.leave_vf();
    ASSERT_EQ(send(11, FrameLink::Leaves::when_told), 0);
    ASSERT_EQ(send(12, FrameLink::Leaves::when_told), 0);
    EXPECT_EQ(ring.waiting(), 0u);
    link.flush();
    EXPECT_EQ(ring.waiting(), 2u);
}

TEST_P(Switched, WhatTheVfDidNotTakeIsGivenAgain) {
    to_vf();
    vf.set_most_sent(1);
    for (std::uint32_t number = 0; number < 5; ++number) {
        ASSERT_EQ(send(number, FrameLink::Leaves::when_told), 0);
    }
    link.flush();
    EXPECT_TRUE(comes_by_vf(0, 5)) << "although nobody sends any more";
    link.send_by(SendBy::rings);
    link.leave_vf();
}

TEST_P(Switched, WhatAFailedVfDidNotSendGoesByTheRingsFirst) {
    to_vf();
    vf.set_most_sent(3);
    for (std::uint32_t number = 0; number < 5; ++number) {
        ASSERT_EQ(send(number, FrameLink::Leaves::when_told), 0);
    }
    link.flush();
    link.send_by(SendBy::nothing);
    ASSERT_EQ(send(5), 0);
    EXPECT_EQ(link.take_back(), 5u);
    EXPECT_EQ(link.take_back(), 0u) << "once";
    EXPECT_EQ(ring.waiting(), 0u);
    link.send_by(SendBy::rings);
    for (std::uint32_t number = 0; number < 6; ++number) {
        EXPECT_EQ(number_in(ring.take().bytes.data()), number);
    }
    link.leave_vf();
    EXPECT_EQ(link.take_back(), 0u);
}

TEST_P(Switched, WhatIsTakenBackWhenTheRingsAreInUseLeavesAtOnce) {
    to_vf();
    ASSERT_EQ(send(0), 0);
    link.send_by(SendBy::rings);
    ring.set_room(0);
    EXPECT_EQ(link.take_back(), 1u);
    EXPECT_EQ(ring.waiting(), 0u);
    ring.set_room(1);
    EXPECT_TRUE(eventually([&] { return ring.waiting() == 1; })) << "when there is room";
    link.leave_vf();
}

TEST_P(Switched, WhatTheVfReceivesWaitsToBeLetIn) {
    link.use_vf();
    vf.deliver(numbered(1));
    EXPECT_TRUE(eventually([&] { return link.holds_frames_of_vf(); }));
    eventfd_t raised = 0;
    EXPECT_TRUE(eventually([&] { return eventfd_read(attention, &raised) == 0; })) << "the control thread is told";
    ring.deliver({{numbered(0), {}}});
    EXPECT_TRUE(eventually([&] { return stack.received.next == 1; }));
    link.let_in();
    EXPECT_TRUE(eventually([&] { return stack.received.next == 2; }));
    EXPECT_EQ(stack.received.wrong, 0u);
    link.leave_vf();
}

TEST_P(Switched, WhatTheVfReceivesIsLetInAfterTheRings) {
    fill_vf_and_ring();
    EXPECT_FALSE(link.lets_in());
    link.let_in_after_rings();
    EXPECT_TRUE(eventually([&] { return stack.received.next == all; }));
    EXPECT_TRUE(link.lets_in());
    EXPECT_EQ(stack.received.wrong, 0u);
    link.leave_vf();
}

TEST_P(Switched, AMarkedRingLetsTheVfInWithoutTheControlThread) {
    fill_vf_and_ring();
    EXPECT_TRUE(eventually([&] { return stack.received.next == in_ring; }));
    EXPECT_FALSE(link.lets_in());
    ring.mark();
    EXPECT_TRUE(eventually([&] { return stack.received.next == all; }));
    EXPECT_TRUE(link.lets_in());
    EXPECT_EQ(stack.received.wrong, 0u);
    link.leave_vf();
}

// The server died after it had marked the ring, and the next one undoes the switch; or it failed later.
TEST_P(Switched, AMarkWithoutACommitLeavesNothingBehind) {
    SwitchOrder order(vf, link, [](SwitchOrder::Kind, std::string const&) {});
    std::uint32_t number = 0;
    for (int round = 0; round < 3; ++round) {
        ASSERT_EQ(order.open(mac, 0, 1500), 1);
        vf.deliver(numbered(number++));
        EXPECT_TRUE(eventually([&] { return link.holds_frames_of_vf(); }));
        EXPECT_EQ(stack.received.next, number - 1);
        ring.mark();
        EXPECT_TRUE(eventually([&] { return stack.received.next == number; }));
        ASSERT_EQ(send(number), 0);
        EXPECT_EQ(ring.waiting(), 1u) << "nothing was said about what is sent";
        ring.take();
        vf.deliver(numbered(number++));
        order.close();
        EXPECT_EQ(stack.received.next, number);
        ring.mark(false);
    }
    EXPECT_EQ(stack.received.wrong, 0u);
}

TEST_P(Switched, NobodyIsWokenForFramesThatWait) {
    link.use_vf();
    vf.deliver(numbered(0));
    EXPECT_TRUE(eventually([&] { return link.holds_frames_of_vf(); }));
    int const arms = vf.arms();
    for (std::uint32_t number = 1; number < 100; ++number) {
        vf.deliver(numbered(number));
        EXPECT_TRUE(eventually([&] { return vf.to_gather() == 0; })) << "they are gathered all the same";
    }
    EXPECT_EQ(vf.arms(), arms);
    link.let_in();
    EXPECT_TRUE(eventually([&] { return stack.received.next == 100; }));
    EXPECT_TRUE(eventually([&] { return vf.arms() > arms; })) << "from now on it sleeps until one comes";
    EXPECT_EQ(stack.received.wrong, 0u);
    link.leave_vf();
}

TEST_P(Switched, WithoutRingsTheVfIsLetInAtOnce) {
    link.use_vf();
    link.quiesce();
    vf.deliver(numbered(0));
    link.let_in_after_rings();
    EXPECT_TRUE(eventually([&] { return stack.received.next == 1; }));
    link.leave_vf();
}

TEST_P(Switched, TheLastFramesAreTakenBeforeItIsLeft) {
    to_vf();
    link.send_by(SendBy::rings);
    for (std::uint32_t number = 0; number < 1000; ++number) {
        vf.deliver(numbered(number));
    }
    link.take_last(milliseconds(20), patience);
    EXPECT_EQ(stack.received.next, 1000u);
    EXPECT_EQ(stack.received.wrong, 0u);
    link.leave_vf();
    vf.deliver(numbered(1000));
    ring.deliver({{numbered(1000), {}}});
    EXPECT_TRUE(eventually([&] { return stack.received.next == 1001; }));
}

TEST_P(Switched, WithoutRingsTheVfGoesOn) {
    to_vf();
    link.quiesce();
    ring.forbid(true);
    vf.deliver(numbered(0));
    EXPECT_TRUE(eventually([&] { return stack.received.next == 1; }));
    EXPECT_EQ(send(0), 0);
    EXPECT_TRUE(comes_by_vf(0, 1));
    link.send_by(SendBy::nothing);
    EXPECT_EQ(send(1), LVIF_ENOTCONN);
    link.send_by(SendBy::rings);
    link.leave_vf();
    EXPECT_EQ(send(1), LVIF_ENOTCONN);
    EXPECT_EQ(ring.trespasses(), 0);
}

// A server and a NIC that steers, each with threads of its own, and two streams; the switch as liblvif has it done.
class Streams {
  public:
    static constexpr std::uint32_t total = 8'000;

    Streams(lvif_device& ring, VfDouble& vf, FrameLink& link, Account const& in)
        : ring_(ring), vf_(vf), link_(link), in_(in), sender_([this] { send(); }), outside_([this] { live(); }) {}
    ~Streams() {
        stop_ = true;
        sender_.join();
        outside_.join();
    }
    void steer(bool to_vf) {
        std::lock_guard const lock(mutex_);
        to_vf_ = to_vf;
    }
    bool done() const { return stop_ || (out.next == total && in_.next == total); }

    Account out;

  private:
    void send() {
        for (std::uint32_t number = 0; number < total && !stop_;) {
            auto const frame = numbered(number);
            int const result = link_.send(
                frame_bytes, [&frame](std::uint8_t* place) { std::copy(frame.begin(), frame.end(), place); });
            if (result == 0) {
                ++number;
            } else {
                link_.wait_for_room(milliseconds(1));
            }
        }
    }
    // What left by the VF is on the wire before what the server takes from the ring later.
    void live() {
        std::uint32_t number = 0;
        while (!stop_) {
            for (auto const& frame : vf_.take()) {
                out.add(number_in(frame.data()));
            }
            for (std::size_t waiting = ring_.waiting(); waiting > 0; --waiting) {
                out.add(number_in(ring_.take().bytes.data()));
            }
            std::lock_guard const lock(mutex_);
            for (int burst = 0; burst < 16 && number < total && number < in_.next + 500; ++burst, ++number) {
                if (to_vf_) {
                    vf_.deliver(numbered(number));
                } else {
                    ring_.deliver({{numbered(number), {}}});
                }
            }
            std::this_thread::yield();
        }
    }

    lvif_device& ring_;
    VfDouble& vf_;
    FrameLink& link_;
    Account const& in_;
    std::mutex mutex_;
    bool to_vf_ = false;
    std::atomic<bool> stop_ = false;
    std::thread sender_, outside_;
};

TEST_P(Switched, NothingIsLostDoubledOrOutOfOrder) {
    auto streams = std::make_unique<Streams>(ring, vf, link, stack.received);
    SwitchOrder order(vf, link, [](SwitchOrder::Kind, std::string const&) {});
    auto const end = std::chrono::steady_clock::now() + 2 * patience;
    int switches = 0;
    for (; !streams->done() && std::chrono::steady_clock::now() < end; ++switches) {
        ring.mark(false);
        ASSERT_EQ(order.open(mac, 0, 1500), 1);
        streams->steer(true);
        if (switches % 2 == 0) {
            ring.mark();
            std::this_thread::sleep_for(milliseconds(switches % 4));
        }
        int result = 0;
        while ((result = order.begin()) == 0) {
        }
        ASSERT_EQ(result, 1);
        std::this_thread::sleep_for(milliseconds(2));
        order.end();
        streams->steer(false);
        order.close();
    }
    EXPECT_TRUE(streams->done());
    EXPECT_EQ(streams->out.wrong, 0u) << "on their way out, over " << switches << " switches";
    EXPECT_EQ(stack.received.wrong, 0u) << "on their way in, over " << switches << " switches";
    streams.reset();
    link.send_by(SendBy::rings);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutEvents, Switched, testing::Bool());

}  // namespace
}  // namespace librettos::guest
