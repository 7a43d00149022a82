// SPDX-License-Identifier: BSD-2-Clause
// A bounded queue between one producing and one consuming thread. Holds small values; memory that is zero is an empty
// queue, so it can lie in memory shared with another process.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>

namespace librettos {

template <typename Value, std::uint32_t capacity>
class SpscQueue {
    static_assert((capacity & (capacity - 1)) == 0, "a power of two");
    static_assert(std::is_trivially_copyable_v<Value>);

  public:
    // Producer only. false: full.
    bool push(Value const& value) noexcept {
        std::uint32_t const head = head_.load(std::memory_order_relaxed);
        // Acquires the consumer's store in pop(): the slot has been read.
        if (head - tail_.load(std::memory_order_acquire) == capacity) {
            return false;
        }
        values_[head & (capacity - 1)] = value;
        head_.store(head + 1, std::memory_order_release);  // to pop()
        return true;
    }

    // Consumer only. false: empty.
    bool pop(Value& value) noexcept {
        std::uint32_t const tail = tail_.load(std::memory_order_relaxed);
        if (head_.load(std::memory_order_acquire) == tail) {  // push()
            return false;
        }
        value = values_[tail & (capacity - 1)];
        tail_.store(tail + 1, std::memory_order_release);  // to push()
        return true;
    }

    bool empty() const noexcept {
        return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_relaxed);
    }

  private:
    alignas(64) std::atomic<std::uint32_t> head_{0};
    alignas(64) std::atomic<std::uint32_t> tail_{0};
    alignas(64) std::array<Value, capacity> values_;
};

}  // namespace librettos
