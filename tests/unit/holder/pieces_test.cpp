// SPDX-License-Identifier: BSD-2-Clause
// Restart delays, the judgement of progress and what a wake-up takes, without processes.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "daemon/engine/boot.hpp"
#include "daemon/holder/progress_watch.hpp"
#include "daemon/holder/restart_delay.hpp"
#include "daemon/holder/wake_up.hpp"

namespace librettos {
namespace {

using std::chrono::milliseconds;

TEST(RestartDelay, GrowsWithQuickDeathsAndIsBounded) {
    RestartDelay delay;
    for (int const expected : {0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000}) {
        EXPECT_EQ(delay.after_death(milliseconds(3)), milliseconds(expected));
    }
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(delay.after_death(milliseconds(999)), milliseconds(5000));
    }
    EXPECT_EQ(delay.after_death(milliseconds(1000)), milliseconds(0));
    EXPECT_EQ(delay.after_death(milliseconds(3)), milliseconds(0)) << "forgiven";
}

TEST(WakeUp, IsAPartOfTheTimeThatMeasuringTakes) {
    auto const began = std::chrono::steady_clock::now();
    auto const took = measure_wake_up();
    EXPECT_GT(took, std::chrono::nanoseconds(0));
    EXPECT_LT(9 * took, std::chrono::steady_clock::now() - began);
}

TEST(WakeUp, DecidesHowLongIsLookedUnlessTheOperatorDoes) {
    EXPECT_EQ(poll_limit_us(std::nullopt, 5'000), 200U);
    EXPECT_EQ(poll_limit_us(std::nullopt, 50'000), 800U);
    EXPECT_EQ(poll_limit_us(std::nullopt, 300'000'000), 20'000U);
    EXPECT_EQ(poll_limit_us(0, 50'000), 0U);
    EXPECT_EQ(poll_limit_us(7, 50'000), 7U);
}

class Progress : public ::testing::Test {
  protected:
    // Of the last of so many looks.
    std::optional<unsigned> stuck_after(unsigned looks) {
        std::optional<ProgressWatch::Stuck> stuck;
        for (unsigned i = 0; i < looks; ++i) {
            stuck = watch.look(threads);
        }
        return stuck ? std::optional(stuck->thread) : std::nullopt;
    }
    std::unique_ptr<ThreadStats[]> stats = std::make_unique<ThreadStats[]>(2);
    std::span<ThreadStats const> threads{stats.get(), 2};
    ProgressWatch watch{5, 30};
};

TEST_F(Progress, EachThreadHasToTurn) {
    watch.restart(threads);
    for (unsigned look = 1; look <= 5; ++look) {
        stats[0].turns = look;
        EXPECT_EQ(stuck_after(1), look < 5 ? std::nullopt : std::optional(1U)) << look;
        EXPECT_FALSE(watch.all_progressed()) << "thread 1 did nothing";
    }
    stats[1].turns = 1;
    EXPECT_EQ(stuck_after(1), std::nullopt);
}

TEST_F(Progress, OneThatSleepsHasMoreTimeAndNotForEver) {
    stats[0].sleeping = stats[1].sleeping = 1;
    watch.restart(threads);
    EXPECT_EQ(stuck_after(1 + 29), std::nullopt);
    EXPECT_TRUE(watch.all_progressed());
    stats[0].turns = 1;
    auto const stuck = watch.look(threads);
    ASSERT_TRUE(stuck);
    EXPECT_EQ(stuck->thread, 1U);
    EXPECT_EQ(stuck->looks, 30U);
    stats[1].turns = 1;
    EXPECT_EQ(stuck_after(29), std::nullopt);
}

TEST_F(Progress, SleepIsForgottenOnceAwake) {
    stats[0].sleeping = stats[1].sleeping = 1;
    watch.restart(threads);
    EXPECT_EQ(stuck_after(20), std::nullopt);
    stats[0].sleeping = 0;
    EXPECT_EQ(stuck_after(1 + 4), std::nullopt);
    EXPECT_EQ(stuck_after(1), 0U);
}

TEST_F(Progress, RestartGivesTime) {
    watch.restart(threads);
    EXPECT_EQ(stuck_after(4), std::nullopt);
    watch.restart(threads);
    EXPECT_EQ(stuck_after(4), std::nullopt);
}

}  // namespace
}  // namespace librettos
