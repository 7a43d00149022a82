// SPDX-License-Identifier: BSD-2-Clause
// Slots by a 64-bit key: a flat table with linear probing, one or two cache lines per look-up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace librettos {

class SlotIndex {
  public:
    // `most_keys`: how many keys may be in at a time; the table is at most half full.
    explicit SlotIndex(std::size_t most_keys);

    // 0 when there is none.
    std::uint16_t find(std::uint64_t key) const {
        for (std::size_t i = place(key);; i = (i + 1) & mask_) {
            Cell const& cell = cells_[i];
            if (cell.slot == 0 || cell.key == key) {
                return cell.slot;
            }
        }
    }

    void clear();
    void insert(std::uint64_t key, std::uint16_t slot);  // slot != 0; the first of equal keys is kept

  private:
    struct Cell {
        std::uint64_t key = 0;
        std::uint16_t slot = 0;
    };
    std::size_t place(std::uint64_t key) const { return (key * 0x9e3779b97f4a7c15) >> 40 & mask_; }

    std::vector<Cell> cells_;
    std::size_t mask_;
};

}  // namespace librettos
