// SPDX-License-Identifier: BSD-2-Clause
// Who is where, indexed for look-ups per frame. Changes are rare: the indices of dedicated guests are rebuilt on each.
#include "daemon/engine/datapath/directory.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "daemon/engine/datapath/headers.hpp"

namespace librettos {

SlotIndex::SlotIndex(std::size_t most_keys) : cells_(std::bit_ceil(2 * most_keys)), mask_(cells_.size() - 1) {
}

void SlotIndex::clear() {
    std::fill(cells_.begin(), cells_.end(), Cell{});
}

void SlotIndex::insert(std::uint64_t key, std::uint16_t slot) {
    std::size_t i = place(key);
    while (cells_[i].slot != 0) {
        if (cells_[i].key == key) {
            return;
        }
        i = (i + 1) & mask_;
    }
    cells_[i] = {key, slot};
}

namespace {

std::uint64_t ipv6_key(Ipv6Address const& address) {
    return load_raw<std::uint64_t>(address.bytes.data()) * 0x9e3779b97f4a7c15 ^
           load_raw<std::uint64_t>(address.bytes.data() + 8);
}

}  // namespace

Directory::Directory(NetworkIdentity const& network, lvif_portmap const& portmap)
    : ports_{portmap.tcp, portmap.udp},
      present_(max_slots, false),
      direct_(max_slots, false),
      guests_(max_slots),
      by_domain_(65536, wire_slot),
      shared_by_domain_(65536, wire_slot),
      by_mac_(max_slots),
      by_ipv4_(max_slots),
      by_ipv6_(2 * max_slots) {
    used_.reserve(max_slots);
    dedicated_.reserve(max_slots);
    set_network(network);
}

void Directory::set_network(NetworkIdentity const& network) {
    network_ = network;
    mac_key_ = mac_key(network.mac);
}

void Directory::add(Slot slot, GuestIdentity const& guest) {
    assert(slot != wire_slot && slot < max_slots && !present_[slot]);
    present_[slot] = true;
    direct_[slot] = false;
    guests_[slot] = guest;
    used_.push_back(slot);
    by_domain_[guest.domain.value] = slot;
    if (guest.mode == GuestMode::shared) {
        shared_by_domain_[guest.domain.value] = slot;
    } else {
        dedicated_.push_back(slot);
        index_dedicated();
    }
}

void Directory::remove(Slot slot) {
    assert(slot != wire_slot && slot < max_slots && present_[slot]);
    present_[slot] = false;
    direct_[slot] = false;
    std::erase(used_, slot);
    std::erase(dedicated_, slot);
    index_domain(guests_[slot].domain);
    if (guests_[slot].mode == GuestMode::dedicated) {
        index_dedicated();
    }
}

// A domain may have several interfaces: what is left of them after one has gone.
void Directory::index_domain(DomId domain) {
    by_domain_[domain.value] = wire_slot;
    shared_by_domain_[domain.value] = wire_slot;
    for (Slot slot : used_) {
        if (guests_[slot].domain == domain) {
            by_domain_[domain.value] = slot;
            if (guests_[slot].mode == GuestMode::shared) {
                shared_by_domain_[domain.value] = slot;
            }
        }
    }
}

void Directory::index_dedicated() {
    by_mac_.clear();
    by_ipv4_.clear();
    by_ipv6_.clear();
    for (Slot slot : dedicated_) {
        GuestIdentity const& guest = guests_[slot];
        by_mac_.insert(mac_key(guest.mac), slot);
        by_ipv6_.insert(ipv6_key(link_local(guest.mac)), slot);
        if (guest.ipv4.is_set()) {
            by_ipv4_.insert(guest.ipv4.be, slot);
        }
        if (guest.ipv6.is_set()) {
            by_ipv6_.insert(ipv6_key(guest.ipv6), slot);
        }
    }
}

Slot Directory::dedicated_by_mac(MacAddress const& mac) const {
    return by_mac_.find(mac_key(mac));
}

Slot Directory::dedicated_by_ipv4(Ipv4Address address) const {
    return by_ipv4_.find(address.be);
}

Slot Directory::dedicated_by_ipv6(Ipv6Address const& address) const {
    Slot const slot = by_ipv6_.find(ipv6_key(address));
    if (slot == wire_slot || (guests_[slot].ipv6 != address && link_local(guests_[slot].mac) != address)) {
        return wire_slot;
    }
    return slot;
}

}  // namespace librettos
