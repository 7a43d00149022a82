// SPDX-License-Identifier: BSD-2-Clause
// Which guests have to do with an address: asked for it, sent an echo to it, joined it.
//
// A bounded multimap from (address, tag) to slots. A guest may have `most_per_slot` entries and loses its own least
// recently used one when it wants more; when all entries are taken, a guest without an entry of its own takes one of
// another's at random. So a guest that asks without end disturbs itself.
#pragma once

#include <cstdint>
#include <vector>

#include "daemon/engine/datapath/directory.hpp"
#include "daemon/engine/datapath/ip_hash.hpp"

namespace librettos {

class SlotsByAddress {
  public:
    static constexpr std::uint64_t for_ever = UINT64_MAX;

    SlotsByAddress(std::uint16_t capacity, std::uint16_t most_per_slot, std::uint64_t lifetime_us);

    void add(IpAddress const& address, std::uint16_t tag, Slot slot, std::uint64_t now_us);  // or refreshes it
    void remove(IpAddress const& address, std::uint16_t tag, Slot slot);
    void forget(Slot slot);
    bool contains(IpAddress const& address, std::uint16_t tag, Slot slot, std::uint64_t now_us) const;
    bool contains_address(IpAddress const& address, std::uint64_t now_us) const;  // under any tag
    std::size_t size() const { return used_; }

    // Calls visit(Slot) for every guest that has (address, tag).
    template <typename Visit>
    void for_each(IpAddress const& address, std::uint16_t tag, std::uint64_t now_us, Visit visit) const {
        for (Index i = buckets_[bucket(address)]; i != none; i = entries_[i].next) {
            Entry const& entry = entries_[i];
            if (entry.tag == tag && entry.address == address && fresh(entry, now_us)) {
                visit(entry.slot);
            }
        }
    }

  private:
    using Index = std::uint16_t;
    static constexpr Index none = UINT16_MAX;

    struct Entry {
        IpAddress address;
        std::uint64_t since_us = 0;
        std::uint16_t tag = 0;
        Slot slot = wire_slot;  // wire_slot: not used
        Index next = none;      // in the bucket; of unused ones: in the list of them
        Index previous = none;
        Index newer = none;  // of the same slot
        Index older = none;
    };
    struct OfSlot {
        Index newest = none;
        Index oldest = none;
        std::uint16_t count = 0;
    };

    std::size_t bucket(IpAddress const& address) const { return hash_(address) & (buckets_.size() - 1); }
    bool fresh(Entry const& entry, std::uint64_t now_us) const {
        return lifetime_us_ == for_ever || now_us < entry.since_us + lifetime_us_;
    }
    Index find(IpAddress const& address, std::uint16_t tag, Slot slot) const;
    Index take_free(Slot slot);
    void link_newest(Index index);
    void unlink_from_slot(Index index);
    void release(Index index);

    IpHash hash_;
    std::uint16_t most_per_slot_;
    std::uint64_t lifetime_us_;
    std::vector<Entry> entries_;
    std::vector<Index> buckets_;
    std::vector<OfSlot> slots_;
    Index free_ = none;
    std::uint64_t victim_ = 0;
    std::size_t used_ = 0;
};

}  // namespace librettos
