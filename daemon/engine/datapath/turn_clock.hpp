// SPDX-License-Identifier: BSD-2-Clause
// The time, for a thread that asks in each of its turns: nanoseconds of CLOCK_MONOTONIC, by the cycle counter.
//
// Where the kernel does not trust the counter, as in many PV domains, clock_gettime() is a system call, and then costs
// more than all else that an empty turn does. Here the counter is trusted for 10 ms at most, and the kernel asked
// again; on a thread that moves between processors whose counters differ the time is wrong by no more than that. It
// never goes back.
#pragma once

#include <algorithm>
#include <cstdint>

namespace librettos {

class TurnClock {
  public:
    static constexpr std::uint64_t trusted_ns = 10'000'000;

    explicit TurnClock(std::uint64_t cycles_per_s)
        : trusted_cycles_(cycles_per_s / (1'000'000'000 / trusted_ns)),
          ns_per_cycle_((std::uint64_t{1'000'000'000} << fraction_bits) / cycles_per_s) {}

    // cycles: the counter, now. monotonic_ns(): the kernel's time, asked only where the counter does not do.
    template <typename Monotonic>
    std::uint64_t now_ns(std::uint64_t cycles, Monotonic&& monotonic_ns) {
        std::uint64_t const elapsed = cycles - read_at_cycles_;  // of a counter that went back: more than trusted
        if (elapsed >= trusted_cycles_ || read_ns_ == 0) {
            read_ns_ = monotonic_ns();
            read_at_cycles_ = cycles;
            last_ns_ = std::max(last_ns_, read_ns_);
        } else {
            last_ns_ = std::max(last_ns_, read_ns_ + ((elapsed * ns_per_cycle_) >> fraction_bits));
        }
        return last_ns_;
    }

  private:
    static constexpr unsigned fraction_bits = 30;  // 10 ms of a counter of 100 GHz fit into 64 bits

    std::uint64_t trusted_cycles_;
    std::uint64_t ns_per_cycle_;
    std::uint64_t read_at_cycles_ = 0;
    std::uint64_t read_ns_ = 0;  // 0: never read
    std::uint64_t last_ns_ = 0;
};

}  // namespace librettos
