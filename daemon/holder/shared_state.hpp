// SPDX-License-Identifier: BSD-2-Clause
// Memory that outlives engines and is shared with each of them.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

namespace librettos {

class SharedPages {
  public:
    explicit SharedPages(std::size_t bytes);  // zeroed; throws std::system_error
    ~SharedPages();
    SharedPages(SharedPages const&) = delete;
    SharedPages& operator=(SharedPages const&) = delete;

    void* first() const { return memory_; }

  private:
    std::size_t bytes_;
    void* memory_;
};

// Of a T that zero-filled memory is one of.
template <typename T>
class SharedArray {
  public:
    static_assert(std::is_trivially_destructible_v<T>);
    explicit SharedArray(std::size_t count) : pages_(count * sizeof(T)), count_(count) {}
    std::span<T> all() const { return {static_cast<T*>(pages_.first()), count_}; }

  private:
    SharedPages pages_;
    std::size_t count_;
};

}  // namespace librettos
