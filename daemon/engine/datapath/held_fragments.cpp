// SPDX-License-Identifier: BSD-2-Clause
// Early fragments: few and short-lived, so a plain array in order of arrival serves.
#include "daemon/engine/datapath/held_fragments.hpp"

#include <algorithm>

namespace librettos {

bool HeldFragments::add(DatagramKey const& key, void* token, std::uint64_t now_us) {
    auto const end = held_.begin() + static_cast<std::ptrdiff_t>(size_);
    auto const of_source =
        std::count_if(held_.begin(), end, [&](Held const& held) { return held.key.source == key.source; });
    if (size_ == most || static_cast<std::size_t>(of_source) >= most_per_source) {
        return false;
    }
    held_[size_++] = {key, token, now_us + patience_us};
    return true;
}

bool HeldFragments::holds(DatagramKey const& key) const {
    auto const end = held_.begin() + static_cast<std::ptrdiff_t>(size_);
    return std::any_of(held_.begin(), end, [&](Held const& held) { return held.key == key; });
}

void* HeldFragments::take(DatagramKey const& key) {
    for (std::size_t i = 0; i < size_; ++i) {
        if (held_[i].key == key) {
            return remove(i);
        }
    }
    return nullptr;
}

void* HeldFragments::take_expired(std::uint64_t now_us) {
    return size_ > 0 && held_[0].until_us <= now_us ? remove(0) : nullptr;
}

void* HeldFragments::remove(std::size_t index) {
    void* const token = held_[index].token;
    std::move(held_.begin() + static_cast<std::ptrdiff_t>(index) + 1,
              held_.begin() + static_cast<std::ptrdiff_t>(size_), held_.begin() + static_cast<std::ptrdiff_t>(index));
    --size_;
    return token;
}

}  // namespace librettos
