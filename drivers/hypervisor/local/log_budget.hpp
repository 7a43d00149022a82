// SPDX-License-Identifier: BSD-2-Clause
// How many lines may still be logged about what clients do, so that no client can flood the log.
#pragma once

#include <chrono>
#include <cstdint>

namespace librettos {

class LogBudget {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::uint32_t lines_per_window = 40;
    static constexpr std::chrono::seconds window{10};

    // True: log it; *suppressed tells how many lines before it were not.
    bool take(Clock::time_point now, std::uint64_t* suppressed) {
        if (now - start_ >= window) {
            start_ = now;
            used_ = 0;
        }
        if (used_ >= lines_per_window) {
            suppressed_++;
            return false;
        }
        used_++;
        *suppressed = suppressed_;
        suppressed_ = 0;
        return true;
    }

  private:
    Clock::time_point start_{};
    std::uint32_t used_ = 0;
    std::uint64_t suppressed_ = 0;
};

}  // namespace librettos
