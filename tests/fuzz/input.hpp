// SPDX-License-Identifier: BSD-2-Clause
// A fuzzer's bytes, taken from the front; zeros when they are used up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

class Input {
  public:
    Input(std::uint8_t const* bytes, std::size_t size) : bytes_(bytes), left_(size) {}

    bool empty() const { return left_ == 0; }

    template <typename T>
    T take() {
        static_assert(std::is_trivially_copyable_v<T>);
        T value{};
        std::size_t const n = std::min(left_, sizeof value);
        if (n > 0)
            std::memcpy(&value, bytes_, n);
        skip(n);
        return value;
    }

    std::string take_text(std::size_t length) {
        std::size_t const n = std::min(left_, length);
        std::string text(reinterpret_cast<char const*>(bytes_), n);
        skip(n);
        return text;
    }

  private:
    void skip(std::size_t n) {
        bytes_ += n;
        left_ -= n;
    }

    std::uint8_t const* bytes_;
    std::size_t left_;
};
