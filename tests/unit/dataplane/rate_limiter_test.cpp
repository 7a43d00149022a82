// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/engine/datapath/rate_limiter.hpp"

#include <gtest/gtest.h>

namespace librettos {
namespace {

// Frames that pass in `seconds` when the sender always tries.
std::uint64_t passed(RateLimiter& limiter, std::uint64_t start_ns, double seconds, std::uint32_t bytes) {
    std::uint64_t frames = 0;
    auto const end_ns = start_ns + static_cast<std::uint64_t>(seconds * 1e9);
    for (std::uint64_t now_ns = start_ns; now_ns < end_ns;) {
        if (std::uint64_t const wait_ns = limiter.wait_until_ns(now_ns); wait_ns != 0) {
            now_ns = wait_ns;
            continue;
        }
        limiter.charge(now_ns, 1, bytes);
        ++frames;
        now_ns += 100;
    }
    return frames;
}

TEST(RateLimiter, FramesPerSecond) {
    RateLimiter limiter;
    limiter.set(10'000, 0);
    EXPECT_NEAR(static_cast<double>(passed(limiter, 1'000'000'000, 2.0, 60)), 20'000 + 100, 20);
}

TEST(RateLimiter, BitsPerSecondCountTheLine) {
    RateLimiter limiter;
    limiter.set(0, 1'000'000'000);
    EXPECT_NEAR(static_cast<double>(passed(limiter, 5'000'000'000, 1.0, 1226)), 101'000, 200)
        << "1,250 bytes each on the line";
}

TEST(RateLimiter, ChangesLiveAndOffAgain) {
    RateLimiter limiter;
    EXPECT_FALSE(limiter.active());
    limiter.set(100, 0);
    EXPECT_TRUE(limiter.active());
    passed(limiter, 1'000'000'000, 1.0, 60);
    limiter.set(1000, 0);
    EXPECT_NEAR(static_cast<double>(passed(limiter, 3'000'000'000, 1.0, 60)), 1010, 5);
    limiter.set(0, 0);
    EXPECT_FALSE(limiter.active());
}

}  // namespace
}  // namespace librettos
