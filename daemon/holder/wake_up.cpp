// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/holder/wake_up.hpp"

#include <algorithm>
#include <array>
#include <thread>

#include "daemon/holder/eventfd.hpp"

namespace librettos {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t times = 9;
constexpr std::chrono::milliseconds idle_between{1};

}  // namespace

std::chrono::nanoseconds measure_wake_up() {
    UniqueFd const to_sleeper = make_eventfd(0, "eventfd to measure a wake-up");
    UniqueFd const from_sleeper = make_eventfd(0, "eventfd to measure a wake-up");
    std::array<Clock::time_point, times> woke;
    std::array<Clock::duration, times> took;
    std::thread sleeper([&] {
        eventfd_t ignored = 0;
        for (auto& at : woke) {
            eventfd_read(to_sleeper.get(), &ignored);
            at = Clock::now();
            eventfd_write(from_sleeper.get(), 1);
        }
    });
    for (std::size_t i = 0; i < times; ++i) {
        std::this_thread::sleep_for(idle_between);
        auto const began = Clock::now();
        eventfd_t ignored = 0;
        eventfd_write(to_sleeper.get(), 1);
        eventfd_read(from_sleeper.get(), &ignored);
        took[i] = woke[i] - began;
    }
    sleeper.join();
    return *std::min_element(took.begin(), took.end());
}

}  // namespace librettos
