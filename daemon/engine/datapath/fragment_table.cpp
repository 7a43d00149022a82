// SPDX-License-Identifier: BSD-2-Clause
// What became of first fragments: direct-mapped within the sender's column.
#include "daemon/engine/datapath/fragment_table.hpp"

namespace librettos {

std::size_t FragmentTable::place(DatagramKey const& key) const {
    std::uint64_t const sender = hash_(key.source, key.sender);
    std::uint64_t const flow = hash_(key.destination, sender ^ key.protocol);
    return sender % columns * rows + (flow + key.id) % rows;
}

void FragmentTable::remember(DatagramKey const& key, Slot slot, std::uint64_t now_us) {
    entries_[place(key)] = {key, now_us + lifetime_us, slot};
}

std::optional<Slot> FragmentTable::find(DatagramKey const& key, std::uint64_t now_us) const {
    Entry const& entry = entries_[place(key)];
    if (now_us < entry.until_us && entry.key == key) {
        return entry.slot;
    }
    return std::nullopt;
}

void FragmentTable::forget(Slot slot) {
    for (Entry& entry : entries_) {
        if (entry.slot == slot || entry.key.sender == slot) {
            entry = {};
        }
    }
}

std::size_t FragmentTable::size(std::uint64_t now_us) const {
    std::size_t live = 0;
    for (Entry const& entry : entries_) {
        live += now_us < entry.until_us ? 1 : 0;
    }
    return live;
}

}  // namespace librettos
