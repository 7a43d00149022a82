// SPDX-License-Identifier: BSD-2-Clause
// Restart delays and the judgement of progress, without processes.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "daemon/holder/progress_watch.hpp"
#include "daemon/holder/restart_delay.hpp"

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

class Progress : public ::testing::Test {
  protected:
    ProgressWatch::Time at(int ms) const { return start + milliseconds(ms); }
    std::unique_ptr<ThreadStats[]> stats = std::make_unique<ThreadStats[]>(2);
    std::span<ThreadStats const> threads{stats.get(), 2};
    ProgressWatch::Time start = std::chrono::steady_clock::now();
    ProgressWatch watch{milliseconds(100)};
};

TEST_F(Progress, EachThreadHasToTurnOrSleep) {
    watch.restart(threads, at(0));
    stats[0].turns = 1;
    EXPECT_EQ(watch.stuck(threads, at(50)), std::nullopt);
    EXPECT_FALSE(watch.all_progressed()) << "thread 1 did nothing";
    stats[0].turns = 2;
    EXPECT_EQ(watch.stuck(threads, at(99)), std::nullopt);
    stats[0].turns = 3;
    EXPECT_EQ(watch.stuck(threads, at(100)), 1U);
    stats[1].sleeping = 1;
    EXPECT_EQ(watch.stuck(threads, at(500)), 0U);
    stats[0].sleeping = 1;
    EXPECT_EQ(watch.stuck(threads, at(501)), std::nullopt);
    EXPECT_TRUE(watch.all_progressed());
}

TEST_F(Progress, SleepIsForgottenOnceAwake) {
    watch.restart(threads, at(0));
    stats[0].sleeping = stats[1].sleeping = 1;
    EXPECT_EQ(watch.stuck(threads, at(1000)), std::nullopt);
    stats[0].sleeping = 0;
    EXPECT_EQ(watch.stuck(threads, at(1099)), std::nullopt);
    EXPECT_EQ(watch.stuck(threads, at(1100)), 0U);
}

TEST_F(Progress, RestartGivesTime) {
    watch.restart(threads, at(0));
    watch.restart(threads, at(90));
    EXPECT_EQ(watch.stuck(threads, at(150)), std::nullopt);
}

}  // namespace
}  // namespace librettos
