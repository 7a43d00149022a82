// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/engine/datapath/turn_clock.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace librettos {
namespace {

constexpr std::uint64_t cycles_per_s = 2'500'000'000;
constexpr std::uint64_t cycles_per_us = cycles_per_s / 1'000'000;
constexpr std::uint64_t us = 1'000;
constexpr std::uint64_t ms = 1'000'000;

class TurnClockTest : public testing::Test {
  protected:
    std::uint64_t ask() {
        return clock_.now_ns(cycles_, [this] {
            ++asked_;
            return kernel_ns_;
        });
    }
    void pass(std::uint64_t ns) {
        kernel_ns_ += ns;
        cycles_ += ns * cycles_per_us / us;
    }

    TurnClock clock_{cycles_per_s};
    std::uint64_t cycles_ = ~std::uint64_t{0} - 5 * cycles_per_us;  // about to wrap
    std::uint64_t kernel_ns_ = 77'000'000'000;
    unsigned asked_ = 0;
};

TEST_F(TurnClockTest, FollowsTheCounterAndAsksTheKernelAHundredTimesASecond) {
    for (unsigned turn = 0; turn < 1'000'000; ++turn) {
        ASSERT_NEAR(static_cast<double>(ask()), static_cast<double>(kernel_ns_), 2.0);
        pass(us);
    }
    EXPECT_NEAR(asked_, 100, 1);
}

TEST_F(TurnClockTest, AfterASleepItIsTheKernelsTime) {
    ask();
    pass(700 * ms);
    kernel_ns_ += 5 * ms;  // the counter stood still for a while
    EXPECT_EQ(ask(), kernel_ns_);
    EXPECT_EQ(asked_, 2u);
}

TEST_F(TurnClockTest, ACounterThatGoesBackIsNotBelieved) {
    ask();
    pass(ms);
    std::uint64_t const before = ask();
    kernel_ns_ += us;
    cycles_ -= 300 * ms * cycles_per_us / us;
    EXPECT_EQ(ask(), kernel_ns_);
    EXPECT_GE(kernel_ns_, before);
}

TEST_F(TurnClockTest, NeverGoesBackAndIsWrongByTenMillisecondsAtMost) {
    std::uint64_t last = ask();
    cycles_ += 9 * ms * cycles_per_us / us;  // another processor's counter
    for (unsigned turn = 0; turn < 30'000; ++turn) {
        pass(us);
        std::uint64_t const now = ask();
        ASSERT_GE(now, last);
        ASSERT_LE(now, kernel_ns_ + TurnClock::trusted_ns);
        last = now;
    }
    EXPECT_NEAR(static_cast<double>(last), static_cast<double>(kernel_ns_), 2.0);
}

}  // namespace
}  // namespace librettos
