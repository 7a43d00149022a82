// SPDX-License-Identifier: BSD-2-Clause
// Compares each data thread's turn count with what it was.
#include "daemon/holder/progress_watch.hpp"

namespace librettos {

void ProgressWatch::restart(std::span<ThreadStats const> threads, Time now) {
    for (std::size_t i = 0; i < threads.size(); ++i) {
        seen_[i] = {threads[i].turns.load(std::memory_order_relaxed), now};
    }
    all_progressed_ = true;
}

std::optional<unsigned> ProgressWatch::stuck(std::span<ThreadStats const> threads, Time now) {
    std::optional<unsigned> first_stuck;
    all_progressed_ = true;
    any_turned_ = false;
    for (std::size_t i = 0; i < threads.size(); ++i) {
        std::uint64_t const turns = threads[i].turns.load(std::memory_order_relaxed);
        any_turned_ = any_turned_ || turns != seen_[i].turns;
        if (turns != seen_[i].turns || threads[i].sleeping.load(std::memory_order_relaxed) != 0) {
            seen_[i] = {turns, now};
            continue;
        }
        all_progressed_ = false;
        if (now - seen_[i].at >= patience_ && !first_stuck) {
            first_stuck = static_cast<unsigned>(i);
        }
    }
    return first_stuck;
}

}  // namespace librettos
