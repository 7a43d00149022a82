// SPDX-License-Identifier: BSD-2-Clause
// A guest's rate limit: token buckets for frames and for bits, shared by all data threads that serve the guest and
// changed by the control thread while they run.
//
// Each bucket is kept as its "theoretical arrival time" (the generic cell rate algorithm): the time at which it will be
// full again. A frame may go while that time is less than `burst_ns` ahead; it moves it on by its cost. One word per
// bucket, so concurrent charges are a fetch_add.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace librettos {

class RateLimiter {
  public:
    static constexpr std::uint64_t burst_ns =
        10'000'000;  // what a guest that was quiet may send at once: 10 ms of its rate
    static constexpr std::uint32_t wire_overhead_bytes = 24;  // preamble, FCS, gap: so that bits are those of the line

    // Control thread. 0: no limit.
    void set(std::uint64_t frames_per_s, std::uint64_t bits_per_s) noexcept {
        ns_per_frame_.store(frames_per_s == 0 ? 0.0 : 1e9 / static_cast<double>(frames_per_s),
                            std::memory_order_relaxed);
        ns_per_byte_.store(bits_per_s == 0 ? 0.0 : 8e9 / static_cast<double>(bits_per_s), std::memory_order_relaxed);
        active_.store(frames_per_s != 0 || bits_per_s != 0, std::memory_order_relaxed);
    }

    bool active() const noexcept { return active_.load(std::memory_order_relaxed); }

    // Data threads. 0: the next frame may go now; else the time from when on it may.
    std::uint64_t wait_until_ns(std::uint64_t now_ns) const noexcept {
        std::uint64_t const full_ns =
            std::max(frames_full_ns_.load(std::memory_order_relaxed), bits_full_ns_.load(std::memory_order_relaxed));
        return full_ns > now_ns + burst_ns ? full_ns - burst_ns : 0;
    }

    // After a frame of `bytes` that stands for `frames` on the wire (a large TCP frame: its segments).
    void charge(std::uint64_t now_ns, std::uint32_t frames, std::uint32_t bytes) noexcept {
        charge_bucket(frames_full_ns_, now_ns, ns_per_frame_.load(std::memory_order_relaxed) * frames);
        charge_bucket(bits_full_ns_, now_ns,
                      ns_per_byte_.load(std::memory_order_relaxed) * (bytes + double{wire_overhead_bytes} * frames));
    }

  private:
    static void charge_bucket(std::atomic<std::uint64_t>& full_ns, std::uint64_t now_ns, double cost_ns) noexcept {
        std::uint64_t seen = full_ns.load(std::memory_order_relaxed);
        while (seen < now_ns && !full_ns.compare_exchange_weak(seen, now_ns, std::memory_order_relaxed)) {
        }
        full_ns.fetch_add(static_cast<std::uint64_t>(cost_ns), std::memory_order_relaxed);
    }

    std::atomic<double> ns_per_frame_{0.0};
    std::atomic<double> ns_per_byte_{0.0};
    std::atomic<bool> active_{false};
    std::atomic<std::uint64_t> frames_full_ns_{0};
    std::atomic<std::uint64_t> bits_full_ns_{0};
};

}  // namespace librettos
