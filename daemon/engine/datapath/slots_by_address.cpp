// SPDX-License-Identifier: BSD-2-Clause
// The multimap's lists: one per bucket to find by address, one per slot in order of use to stay within its share.
#include "daemon/engine/datapath/slots_by_address.hpp"

#include <bit>
#include <cassert>

namespace librettos {

SlotsByAddress::SlotsByAddress(std::uint16_t capacity, std::uint16_t most_per_slot, std::uint64_t lifetime_us)
    : most_per_slot_(most_per_slot),
      lifetime_us_(lifetime_us),
      entries_(capacity),
      buckets_(std::bit_ceil(std::size_t{capacity}), none),
      slots_(max_slots) {
    assert(capacity > 0 && capacity < none && most_per_slot > 0);
    for (Index i = 0; i < capacity; ++i) {
        entries_[i].next = free_;
        free_ = i;
    }
}

void SlotsByAddress::add(IpAddress const& address, std::uint16_t tag, Slot slot, std::uint64_t now_us) {
    Index index = find(address, tag, slot);
    if (index != none) {
        unlink_from_slot(index);
    } else {
        index = take_free(slot);
        Entry& entry = entries_[index];
        Index& head = buckets_[bucket(address)];
        entry = {address, now_us, tag, slot, head, none, none, none};
        if (head != none) {
            entries_[head].previous = index;
        }
        head = index;
        ++used_;
    }
    entries_[index].since_us = now_us;
    link_newest(index);
}

void SlotsByAddress::remove(IpAddress const& address, std::uint16_t tag, Slot slot) {
    Index const index = find(address, tag, slot);
    if (index != none) {
        release(index);
    }
}

void SlotsByAddress::forget(Slot slot) {
    while (slots_[slot].oldest != none) {
        release(slots_[slot].oldest);
    }
}

bool SlotsByAddress::contains(IpAddress const& address, std::uint16_t tag, Slot slot, std::uint64_t now_us) const {
    Index const index = find(address, tag, slot);
    return index != none && fresh(entries_[index], now_us);
}

bool SlotsByAddress::contains_address(IpAddress const& address, std::uint64_t now_us) const {
    for (Index i = buckets_[bucket(address)]; i != none; i = entries_[i].next) {
        if (entries_[i].address == address && fresh(entries_[i], now_us)) {
            return true;
        }
    }
    return false;
}

SlotsByAddress::Index SlotsByAddress::find(IpAddress const& address, std::uint16_t tag, Slot slot) const {
    for (Index i = buckets_[bucket(address)]; i != none; i = entries_[i].next) {
        Entry const& entry = entries_[i];
        if (entry.slot == slot && entry.tag == tag && entry.address == address) {
            return i;
        }
    }
    return none;
}

SlotsByAddress::Index SlotsByAddress::take_free(Slot slot) {
    OfSlot const& own = slots_[slot];
    if (own.count >= most_per_slot_ || (free_ == none && own.count > 0)) {
        release(own.oldest);
    } else if (free_ == none) {
        victim_ = hash_.mix(victim_ + 1);
        release(static_cast<Index>(victim_ % entries_.size()));
    }
    Index const index = free_;
    free_ = entries_[index].next;
    return index;
}

void SlotsByAddress::link_newest(Index index) {
    Entry& entry = entries_[index];
    OfSlot& own = slots_[entry.slot];
    entry.newer = none;
    entry.older = own.newest;
    (own.newest != none ? entries_[own.newest].newer : own.oldest) = index;
    own.newest = index;
    ++own.count;
}

void SlotsByAddress::unlink_from_slot(Index index) {
    Entry const& entry = entries_[index];
    OfSlot& own = slots_[entry.slot];
    (entry.newer != none ? entries_[entry.newer].older : own.newest) = entry.older;
    (entry.older != none ? entries_[entry.older].newer : own.oldest) = entry.newer;
    --own.count;
}

void SlotsByAddress::release(Index index) {
    unlink_from_slot(index);
    Entry& entry = entries_[index];
    (entry.previous != none ? entries_[entry.previous].next : buckets_[bucket(entry.address)]) = entry.next;
    if (entry.next != none) {
        entries_[entry.next].previous = entry.previous;
    }
    entry = {};
    entry.next = free_;
    free_ = index;
    --used_;
}

}  // namespace librettos
