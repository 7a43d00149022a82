// SPDX-License-Identifier: BSD-2-Clause
// Bounds-checked reading of a frame's bytes, front to back. A read past the end gives zeros and is remembered: read a
// header, then ask ok() once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

class Cursor {
  public:
    explicit Cursor(std::span<std::uint8_t const> bytes, std::size_t at = 0) : bytes_(bytes), at_(at) {
        ok_ = at <= bytes.size();
    }

    bool ok() const { return ok_; }
    std::size_t at() const { return at_; }
    std::size_t left() const { return ok_ ? bytes_.size() - at_ : 0; }

    void skip(std::size_t count) { take(count); }
    std::uint8_t byte() {
        std::uint8_t const* const from = take(1);
        return from != nullptr ? *from : std::uint8_t{0};
    }
    std::uint16_t be16() {
        std::uint8_t const* const from = take(2);
        return from != nullptr ? load_be16(from) : std::uint16_t{0};
    }
    std::uint32_t be32() {
        std::uint8_t const* const from = take(4);
        return from != nullptr ? load_be32(from) : 0;
    }
    MacAddress mac() { return value<MacAddress>(); }
    Ipv4Address ipv4() { return value<Ipv4Address>(); }
    Ipv6Address ipv6() { return value<Ipv6Address>(); }

  private:
    template <typename T>
    T value() {
        std::uint8_t const* const from = take(sizeof(T));
        return from != nullptr ? load_raw<T>(from) : T{};
    }
    std::uint8_t const* take(std::size_t count) {
        if (!ok_ || bytes_.size() - at_ < count) {
            ok_ = false;
            return nullptr;
        }
        std::uint8_t const* const from = bytes_.data() + at_;
        at_ += count;
        return from;
    }

    std::span<std::uint8_t const> bytes_;
    std::size_t at_;
    bool ok_ = true;
};

}  // namespace librettos
