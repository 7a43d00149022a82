// SPDX-License-Identifier: BSD-2-Clause
// Do the data threads still turn? Judged by their own counters in the statistics file. One that sleeps turns, too: once
// a second. Patience is counted in looks, not in time, so that an engine that was stopped together with its holder (a
// cgroup that was frozen, a machine that was suspended) has as much of it left as before.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "daemon/api/stats_file.hpp"

namespace librettos {

class ProgressWatch {
  public:
    struct Stuck {
        unsigned thread;
        unsigned looks;  // for so many
    };

    // After how many looks in a row without a turn a thread that is awake, and one that sleeps, is stuck.
    ProgressWatch(unsigned awake_looks, unsigned asleep_looks)
        : awake_looks_(awake_looks), asleep_looks_(asleep_looks) {}

    // Everybody is taken to have progressed now.
    void restart(std::span<ThreadStats const> threads);
    // Looks at every thread; the first one that is stuck, if any.
    std::optional<Stuck> look(std::span<ThreadStats const> threads);
    // At the last look every thread had turned since the one before, or slept.
    bool all_progressed() const { return all_progressed_; }

  private:
    struct Seen {
        std::uint64_t turns = 0;
        bool asleep = false;
        unsigned looks = 0;  // since it turned, fell asleep or woke up
    };
    unsigned awake_looks_;
    unsigned asleep_looks_;
    std::array<Seen, max_data_threads> seen_{};
    bool all_progressed_ = true;
};

}  // namespace librettos
