// SPDX-License-Identifier: BSD-2-Clause
// librettos/poll_window.h with a clock, for a thread that takes turns.
#pragma once

#include <librettos/poll_window.h>

#include <chrono>
#include <cstdint>

namespace librettos::guest {

class LookOut {
  public:
    explicit LookOut(std::uint32_t longest_us) : window_(lvif_poll_start(longest_us)) {}

    // A turn moved frames.
    void worked() {
        auto const now = Clock::now();
        if (waits_) {
            lvif_poll_came(&window_, since_work(now));
            waits_ = false;
        }
        worked_ = now;
    }
    // A turn moved none. True: take another one; false: sleep.
    bool again() {
        waits_ = true;
        return lvif_poll_again(&window_, since_work(Clock::now()));
    }

  private:
    using Clock = std::chrono::steady_clock;
    std::uint64_t since_work(Clock::time_point now) const {
        return static_cast<std::uint64_t>(std::chrono::nanoseconds(now - worked_).count());
    }

    lvif_poll_window window_;
    Clock::time_point worked_ = Clock::now();
    bool waits_ = false;
};

}  // namespace librettos::guest
