// SPDX-License-Identifier: BSD-2-Clause
// Compares each data thread's turn count with what it was.
#include "daemon/holder/progress_watch.hpp"

namespace librettos {

void ProgressWatch::restart(std::span<ThreadStats const> threads) {
    for (std::size_t i = 0; i < threads.size(); ++i) {
        seen_[i] = {.turns = threads[i].turns.load(std::memory_order_relaxed)};
    }
    all_progressed_ = true;
}

std::optional<ProgressWatch::Stuck> ProgressWatch::look(std::span<ThreadStats const> threads) {
    std::optional<Stuck> first_stuck;
    all_progressed_ = true;
    for (std::size_t i = 0; i < threads.size(); ++i) {
        Seen& seen = seen_[i];
        std::uint64_t const turns = threads[i].turns.load(std::memory_order_relaxed);
        bool const asleep = threads[i].sleeping.load(std::memory_order_relaxed) != 0;
        if (turns != seen.turns || asleep != seen.asleep) {
            seen = {.turns = turns, .asleep = asleep};
            continue;
        }
        ++seen.looks;
        all_progressed_ = all_progressed_ && asleep;
        if (seen.looks >= (asleep ? asleep_looks_ : awake_looks_) && !first_stuck) {
            first_stuck = {static_cast<unsigned>(i), seen.looks};
        }
    }
    return first_stuck;
}

}  // namespace librettos
