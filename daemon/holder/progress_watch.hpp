// SPDX-License-Identifier: BSD-2-Clause
// Do the data threads still turn? Judged by their own counters in the statistics file.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "daemon/api/stats_file.hpp"

namespace librettos {

class ProgressWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;

    explicit ProgressWatch(std::chrono::nanoseconds patience) : patience_(patience) {}

    // Everybody is taken to have progressed now.
    void restart(std::span<ThreadStats const> threads, Time now);
    // Looks at every thread; the first one that neither turned nor slept for `patience`, if any.
    std::optional<unsigned> stuck(std::span<ThreadStats const> threads, Time now);
    // Every thread turned or slept since the last call of stuck() before this one.
    bool all_progressed() const { return all_progressed_; }
    // Some thread turned.
    bool any_turned() const { return any_turned_; }

  private:
    struct Seen {
        std::uint64_t turns = 0;
        Time at;
    };
    std::chrono::nanoseconds patience_;
    std::array<Seen, max_data_threads> seen_{};
    bool all_progressed_ = true;
    bool any_turned_ = true;
};

}  // namespace librettos
