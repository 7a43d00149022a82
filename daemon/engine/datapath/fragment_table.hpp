// SPDX-License-Identifier: BSD-2-Clause
// Remembers, per datagram, what became of its first fragment.
//
// 1,024 entries in four columns of 256. A sender is tied to one column by its hash, so it can fill a quarter
// of the table and no more; within the column consecutive ids take consecutive places, so an entry is overwritten by
// the sender's 256th next datagram at the earliest, or by another sender of the column.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "daemon/engine/datapath/directory.hpp"
#include "daemon/engine/datapath/ip_hash.hpp"

namespace librettos {

struct DatagramKey {
    IpAddress source;
    IpAddress destination;
    std::uint32_t id = 0;
    std::uint8_t protocol = 0;
    Slot sender = wire_slot;  // where its fragments come from
    friend bool operator==(DatagramKey const&, DatagramKey const&) = default;
};

class FragmentTable {
  public:
    static constexpr std::uint64_t lifetime_us = 30'000'000;
    static constexpr std::size_t columns = 4;
    static constexpr std::size_t rows = 256;

    // `slot`: where later fragments go to; wire_slot has a meaning of the caller's.
    void remember(DatagramKey const& key, Slot slot, std::uint64_t now_us);
    std::optional<Slot> find(DatagramKey const& key, std::uint64_t now_us) const;
    void forget(Slot slot);  // as sender and as receiver
    std::size_t size(std::uint64_t now_us) const;

  private:
    struct Entry {
        DatagramKey key;
        std::uint64_t until_us = 0;
        Slot slot = wire_slot;
    };
    std::size_t place(DatagramKey const& key) const;

    IpHash hash_;
    std::array<Entry, columns * rows> entries_;
};

}  // namespace librettos
