// SPDX-License-Identifier: BSD-2-Clause
// A data thread's loop: when it takes commands, and how long it sleeps where nothing wakes it.
#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "tests/unit/dataplane/one_thread.hpp"

namespace librettos::test {
namespace {

std::function<void(std::uint64_t timeout_ns)> before_sleep;  // empty: nobody listens

}  // namespace
}  // namespace librettos::test

// ld --wrap=epoll_pwait2
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
int __real_epoll_pwait2(int fd, epoll_event* events, int room, timespec const* timeout, sigset_t const* mask);

int __wrap_epoll_pwait2(int fd, epoll_event* events, int room, timespec const* timeout, sigset_t const* mask) {
    auto const timeout_ns =
        static_cast<std::uint64_t>(timeout->tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(timeout->tv_nsec);
    if (timeout_ns != 0 && librettos::test::before_sleep) {
        librettos::test::before_sleep(timeout_ns);
    }
    return __real_epoll_pwait2(fd, events, room, timeout, mask);
}
// NOLINTEND(bugprone-reserved-identifier)
}

namespace librettos::test {
namespace {

class LoopTest : public DataThreadTest {
  protected:
    void TearDown() override {
        before_sleep = nullptr;
        DataThreadTest::TearDown();
    }

    void start_without_looking_on() {
        DataThreadSetup setup = world->setup();
        setup.poll_us = 0;
        thread_ = std::make_unique<DataThread>(setup, network_, world->portmap(), ack_fd_);
    }

    void stop() { thread_->commands.push({DataCommand::Kind::stop, wire_slot, nullptr, nullptr}); }
};

TEST_F(LoopTest, ABusyThreadTakesACommandAfterTheTurnInWhichItCame) {
    serve(1, 0, {80});
    for (std::uint32_t i = 0; i < 4 * InFlight::wire_burst - 24; ++i) {  // what the port has room for
        world->arrive(make_frame(world->inbound(80)));
    }
    turn();
    ASSERT_EQ(world->count(wire_slot, Counter::wire_rx_frames), InFlight::wire_burst);
    stop();
    thread_->run();
    EXPECT_EQ(world->count(wire_slot, Counter::wire_rx_frames), 2 * InFlight::wire_burst) << "one more turn";
    EXPECT_GT(world->buffers_in_use(), 0U) << "frames that the port still has";
}

TEST_F(LoopTest, WhereNothingWakesItASleepIsShortAfterFramesAndNeverLong) {
    constexpr std::uint64_t shortest_ns = 50'000, longest_ns = 1'000'000;
    constexpr std::size_t sleeps = 60;  // together longer than twice the longest
    start_without_looking_on();
    std::vector<std::uint64_t> slept;
    before_sleep = [&](std::uint64_t timeout_ns) {
        slept.push_back(timeout_ns);
        if (slept.size() == sleeps) {
            stop();
        }
    };
    std::vector<std::uint64_t> first;
    // Between a frame and the sleep after it this machine may do other things: not each time.
    for (int round = 0; round < 1000 && (first.empty() || first.back() != shortest_ns); ++round) {
        slept.clear();
        world->arrive(make_frame(world->inbound(9)));
        thread_->run();
        ASSERT_EQ(slept.size(), sleeps);
        EXPECT_TRUE(std::is_sorted(slept.begin(), slept.end())) << "the longer nothing comes";
        EXPECT_GE(slept.front(), shortest_ns);
        EXPECT_EQ(slept.back(), longest_ns);
        first.push_back(slept.front());
        start_without_looking_on();
    }
    EXPECT_EQ(first.back(), shortest_ns);
}

}  // namespace
}  // namespace librettos::test
