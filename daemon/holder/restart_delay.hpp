// SPDX-License-Identifier: BSD-2-Clause
// How long to wait before the next engine: not at all, unless engines die again and again right after their start.
#pragma once

#include <algorithm>
#include <chrono>

namespace librettos {

class RestartDelay {
  public:
    static constexpr std::chrono::milliseconds quick_death{1000};
    static constexpr unsigned free_tries = 2;
    static constexpr std::chrono::milliseconds first{100};
    static constexpr std::chrono::milliseconds longest{5000};

    // To be called once per death.
    std::chrono::milliseconds after_death(std::chrono::milliseconds lived) {
        if (lived >= quick_death) {
            quick_deaths_ = 0;
            return std::chrono::milliseconds{0};
        }
        if (quick_deaths_ < free_tries) {
            ++quick_deaths_;
            return std::chrono::milliseconds{0};
        }
        unsigned const doublings = std::min(quick_deaths_ - free_tries, 16U);
        ++quick_deaths_;
        return std::min(longest, first * (1U << doublings));
    }

  private:
    unsigned quick_deaths_ = 0;
};

}  // namespace librettos
