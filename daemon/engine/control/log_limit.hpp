// SPDX-License-Identifier: BSD-2-Clause
// Token buckets: how often something that a guest can trigger may cost us work or a log line.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace librettos::control {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

// `burst` tokens at most, one more every `interval`.
class TokenBucket {
  public:
    constexpr TokenBucket(std::uint32_t burst, Clock::duration interval)
        : interval_(interval), tokens_(burst), burst_(burst) {}

    bool take(TimePoint now) {
        refill(now);
        if (tokens_ == 0)
            return false;
        --tokens_;
        return true;
    }

    // When take() will succeed again at the latest.
    TimePoint next(TimePoint now) {
        refill(now);
        return tokens_ > 0 ? now : filled_ + interval_;
    }

  private:
    void refill(TimePoint now) {
        if (filled_ == TimePoint{})
            filled_ = now;
        if (now <= filled_)
            return;
        auto const earned = static_cast<std::uint64_t>((now - filled_) / interval_);
        tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(burst_, tokens_ + earned));
        filled_ += interval_ * static_cast<Clock::rep>(earned);
    }

    Clock::duration interval_;
    TimePoint filled_{};
    std::uint32_t tokens_;
    std::uint32_t burst_;
};

// Says whether a line may be logged, and how many were swallowed before it.
class LogLimit {
  public:
    constexpr LogLimit(std::uint32_t burst, Clock::duration interval) : bucket_(burst, interval) {}

    bool allow(TimePoint now) {
        if (bucket_.take(now))
            return true;
        ++suppressed_;
        return false;
    }

    // Lines swallowed since the last call.
    std::uint64_t take_suppressed() {
        auto const count = suppressed_;
        suppressed_ = 0;
        return count;
    }

  private:
    TokenBucket bucket_;
    std::uint64_t suppressed_ = 0;
};

}  // namespace librettos::control
