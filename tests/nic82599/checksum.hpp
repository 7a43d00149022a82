// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071), incremental over pieces of even length.
#pragma once

#include <cstdint>
#include <span>

namespace nic82599 {

class Checksum {
  public:
    void add(std::span<std::uint8_t const> bytes) {
        for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
            sum_ += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
        }
        if (bytes.size() % 2 != 0) {
            sum_ += static_cast<std::uint32_t>(bytes.back() << 8);
        }
    }
    void add(std::uint32_t number) { sum_ += (number >> 16) + (number & 0xFFFF); }
    std::uint16_t folded() const {
        std::uint64_t sum = sum_;
        while (sum >> 16 != 0) {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        return static_cast<std::uint16_t>(sum);
    }
    std::uint16_t complement() const { return static_cast<std::uint16_t>(~folded()); }

  private:
    std::uint64_t sum_ = 0;
};

}  // namespace nic82599
