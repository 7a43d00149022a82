// SPDX-License-Identifier: BSD-2-Clause
// Seeded hashes of addresses, for tables that strangers fill: nobody outside can aim at a bucket.
#pragma once

#include <cstdint>
#include <random>

#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

class IpHash {
  public:
    IpHash() {
        std::random_device random;
        seed_ = static_cast<std::uint64_t>(random()) << 32 | random() | 1;
    }

    std::uint64_t operator()(IpAddress const& address, std::uint64_t more = 0) const {
        std::uint64_t const high = load_raw<std::uint64_t>(address.bytes.data());
        std::uint64_t const low = load_raw<std::uint64_t>(address.bytes.data() + 8);
        return mix(mix(mix(more) ^ high) ^ low);
    }
    std::uint64_t mix(std::uint64_t value) const {
        __extension__ using Wide = unsigned __int128;
        Wide const product = static_cast<Wide>(value ^ seed_) * (0x9e3779b97f4a7c15 ^ seed_ << 1);
        return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
    }

  private:
    std::uint64_t seed_;
};

}  // namespace librettos
