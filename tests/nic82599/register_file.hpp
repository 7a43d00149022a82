// SPDX-License-Identifier: BSD-2-Clause
// The PF's registers as storage: one word per offset, with the places that two addresses share.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/nic82599/registers.hpp"

namespace nic82599 {

class RegisterFile {
  public:
    static constexpr unsigned queues = 128, pools = 64, receive_addresses = 128, vlan_filters = 64;

    RegisterFile() : words_(bytes / 4) {}

    // What is beyond the registers that we know reads as zero and takes no writes.
    std::uint32_t get(reg::Offset offset) const { return offset < bytes ? words_[offset / 4] : 0; }
    void set(reg::Offset offset, std::uint32_t value) {
        if (offset < bytes) {
            words_[offset / 4] = value;
        }
    }
    void set_bits(reg::Offset offset, std::uint32_t bits) { set(offset, get(offset) | bits); }
    void clear_bits(reg::Offset offset, std::uint32_t bits) { set(offset, get(offset) & ~bits); }
    bool has(reg::Offset offset, std::uint32_t bits) const { return (get(offset) & bits) == bits; }
    std::uint64_t pair(reg::Offset low, reg::Offset high) const { return std::uint64_t{get(high)} << 32 | get(low); }
    // Bit n of an array of registers: VFTA, MTA, PFVFRE, ..
    bool in_bitmap(reg::Offset first, unsigned n) const { return (get(first + 4 * (n / 32)) >> (n % 32) & 1) != 0; }

    void reset();

    // Several registers of the 82599 answer at the 82598's address too (8.2.2, "alias").
    static reg::Offset canonical(reg::Offset offset);

    // 7.10.3.2: how the queues are divided into pools.
    bool virtualized() const { return has(reg::VT_CTL, reg::VT_CTL_VT_ENA); }
    unsigned queues_per_pool() const;
    unsigned default_pool() const { return get(reg::VT_CTL) >> 7 & 0x3F; }
    unsigned pool_of(unsigned queue) const { return queue / queues_per_pool(); }
    unsigned first_queue(unsigned pool) const { return pool * queues_per_pool(); }

  private:
    static constexpr reg::Offset bytes = 0x20000;
    std::vector<std::uint32_t> words_;
};

}  // namespace nic82599
