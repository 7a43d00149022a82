// SPDX-License-Identifier: BSD-2-Clause
// Fragments that came before their first one, in order of arrival: the caller's buffers, known here as tokens.
#pragma once

#include <array>
#include <cstdint>

#include "daemon/engine/datapath/fragment_table.hpp"

namespace librettos {

class HeldFragments {
  public:
    static constexpr std::size_t most = 256;
    static constexpr std::size_t most_per_source = 64;
    static constexpr std::uint64_t patience_us = 300'000;

    bool add(DatagramKey const& key, void* token, std::uint64_t now_us);  // false: no room
    bool holds(DatagramKey const& key) const;
    void* take(DatagramKey const& key);        // the oldest of the datagram, nullptr when there is none
    void* take_expired(std::uint64_t now_us);  // nullptr when there is none
    std::size_t size() const { return size_; }
    std::uint64_t next_expiry_us() const { return size_ == 0 ? UINT64_MAX : held_[0].until_us; }

  private:
    struct Held {
        DatagramKey key;
        void* token = nullptr;
        std::uint64_t until_us = 0;
    };
    void* remove(std::size_t index);

    std::array<Held, most> held_;  // the first size_ are used, oldest first
    std::size_t size_ = 0;
};

}  // namespace librettos
