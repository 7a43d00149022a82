// SPDX-License-Identifier: BSD-2-Clause
// A budget of events per second, with up to one second's worth saved.
#pragma once

#include <algorithm>
#include <cstdint>

namespace librettos {

class TokenBucket {
  public:
    // True when `per_s` allows one more event. `per_s` may change from call to call.
    bool take(std::uint32_t per_s, std::uint64_t now_us) {
        std::uint64_t const full = std::uint64_t{per_s} * event;
        std::uint64_t const elapsed_us = std::min<std::uint64_t>(now_us > last_us_ ? now_us - last_us_ : 0, event);
        level_ = started_ ? std::min(full, level_ + elapsed_us * per_s) : full;
        started_ = true;
        last_us_ = std::max(last_us_, now_us);
        if (level_ < event) {
            return false;
        }
        level_ -= event;
        return true;
    }

  private:
    static constexpr std::uint64_t event = 1'000'000;  // what one event costs: a microsecond earns per_s

    std::uint64_t level_ = 0;
    std::uint64_t last_us_ = 0;
    bool started_ = false;
};

}  // namespace librettos
