// SPDX-License-Identifier: BSD-2-Clause
// The window in which a thread looks on, in virtual time.
#include <gtest/gtest.h>
#include <librettos/poll_window.h>

#include <algorithm>

namespace {

constexpr std::uint64_t us = 1000;
constexpr std::uint32_t limit_us = 200;

// A thread that waits, and what each wait costs it: looks at its window every `look_ns`, and sleeps when told.
class Waiter {
  public:
    explicit Waiter(std::uint32_t longest_us) : window(lvif_poll_start(longest_us)) {}

    // Something comes after arrives_ns. True: it looked on until then.
    bool wait(std::uint64_t arrives_ns, std::uint64_t look_ns = us) {
        std::uint64_t now_ns = 0;
        while (lvif_poll_again(&window, now_ns)) {
            now_ns += look_ns;
            polled_ns += look_ns;
            if (now_ns >= arrives_ns) {
                lvif_poll_came(&window, now_ns);
                return true;
            }
        }
        lvif_poll_came(&window, std::max(arrives_ns, now_ns));
        return false;
    }
    int looked_on(int waits, std::uint64_t arrives_ns) {
        int count = 0;
        for (int i = 0; i < waits; ++i) {
            count += wait(arrives_ns) ? 1 : 0;
        }
        return count;
    }

    lvif_poll_window window;
    std::uint64_t polled_ns = 0;
};

TEST(PollWindow, short_waits_are_looked_through_soon) {
    Waiter waiter(limit_us);
    EXPECT_FALSE(waiter.wait(50 * us)) << "it begins asleep";
    waiter.looked_on(5, 50 * us);
    EXPECT_EQ(waiter.looked_on(100, 50 * us), 100);
    EXPECT_LE(waiter.window.window_ns, limit_us * us);
}

TEST(PollWindow, the_longest_wait_that_can_be_caught_is_the_limit) {
    Waiter waiter(limit_us);
    waiter.looked_on(10, 190 * us);
    EXPECT_EQ(waiter.looked_on(100, 190 * us), 100);
    EXPECT_EQ(waiter.window.window_ns, limit_us * us);
    EXPECT_FALSE(waiter.wait(201 * us));
}

TEST(PollWindow, long_waits_are_slept_through) {
    Waiter waiter(limit_us);
    waiter.looked_on(10, 20 * us);
    waiter.polled_ns = 0;
    EXPECT_EQ(waiter.looked_on(1000, 10'000 * us), 0);
    EXPECT_LE(waiter.polled_ns, limit_us * us) << "only the first one was looked at";
}

TEST(PollWindow, a_limit_of_zero_never_looks_on) {
    Waiter waiter(0);
    EXPECT_EQ(waiter.looked_on(100, 1), 0);
    EXPECT_EQ(waiter.polled_ns, 0U);
}

TEST(PollWindow, a_wait_may_end_before_the_first_look) {
    Waiter waiter(limit_us);
    waiter.looked_on(10, 20 * us);
    lvif_poll_came(&waiter.window, 3 * us);
    EXPECT_TRUE(waiter.wait(20 * us));
}

// Somebody else computes on this processor, and gets 3 ms of it when it is given away.
TEST(PollWindow, who_is_kept_waiting_for_the_processor_sleeps) {
    Waiter waiter(limit_us);
    waiter.looked_on(10, 20 * us);
    int crowded = 0;
    int slept = 0;
    for (int i = 0; i < 10'000; ++i) {
        bool const looked_on = waiter.wait(20 * us, 3000 * us);
        crowded += looked_on ? 1 : 0;
        slept += looked_on ? 0 : 1;
    }
    EXPECT_LT(crowded, 20) << "each costs 3 ms";
    EXPECT_GT(slept, 9980);
}

TEST(PollWindow, the_processor_is_found_free_again) {
    Waiter waiter(limit_us);
    waiter.looked_on(10, 20 * us);
    for (int i = 0; i < 10'000; ++i) {
        waiter.wait(20 * us, 3000 * us);
    }
    waiter.looked_on(1100, 20 * us);
    EXPECT_EQ(waiter.looked_on(1024, 20 * us), 1024);
    EXPECT_EQ(waiter.window.penalty, 0U) << "forgotten";
    waiter.wait(20 * us, 3000 * us);
    EXPECT_LT(1000 - waiter.looked_on(1000, 20 * us), 30) << "a single time more costs little";
}

}  // namespace
