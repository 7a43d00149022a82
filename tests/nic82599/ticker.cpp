// SPDX-License-Identifier: BSD-2-Clause
// Waiting for the next due time.
#include "tests/nic82599/ticker.hpp"

#include <chrono>
#include <utility>

namespace nic82599 {

using Clock = std::chrono::steady_clock;

Ticker::Ticker(std::function<void()> due) : due_(std::move(due)), thread_([this] { run(); }) {
}

Ticker::~Ticker() {
    {
        std::lock_guard const lock(mutex_);
        ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

std::uint64_t Ticker::now_ns() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
}

void Ticker::wake_at(std::uint64_t time_ns) {
    {
        std::lock_guard const lock(mutex_);
        if (time_ns >= next_ns_) {
            return;
        }
        next_ns_ = time_ns;
    }
    changed_.notify_one();
}

void Ticker::run() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
        if (next_ns_ == never) {
            changed_.wait(lock);
        } else if (now_ns() < next_ns_) {
            changed_.wait_until(lock, Clock::time_point(std::chrono::nanoseconds(next_ns_)));
        } else {
            next_ns_ = never;
            lock.unlock();
            due_();
            lock.lock();
        }
    }
}

}  // namespace nic82599
