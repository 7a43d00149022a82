// SPDX-License-Identifier: BSD-2-Clause
// Registers of an 82599's PF for which DPDK has no function: what its VFs have sent and received, whether they receive
// at all; and its link, of which DPDK loses sight. Only read, and nothing that DPDK looks at is changed by it.
//
// Where DPDK loses sight (22.11). After a change of the link it masks that interrupt for a second or four, to look
// again then. Any other interrupt meanwhile, as of a VF's message, makes it forget that it wanted to look: the link
// stays what it was until the next change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "drivers/steering/steering.hpp"

namespace librettos {

class IxgbeRegisters {
  public:
    // Where DPDK has mapped them in this process, with vfio-pci or uio. `mac` is the PF's own, by which they are known.
    // Not set: nowhere.
    static std::optional<IxgbeRegisters> find(std::string const& pf, VfMac const& mac);

    // All ones: the NIC is gone.
    bool answers() const;
    // Since the NIC's reset. Frames have 32 bits and wrap, bytes (with CRC) 36.
    VfTraffic traffic(std::uint16_t vf) const;
    // One of the VF's receive queues is enabled: its user has brought it up, and it was not reset since.
    bool receives(std::uint16_t vf, unsigned queues_per_vf) const;
    // One of its send queues is.
    bool sends(std::uint16_t vf, unsigned queues_per_vf) const;
    // Of a NIC that answers.
    bool link_is_up() const;

  private:
    explicit IxgbeRegisters(std::uintptr_t base) : base_(base) {}
    std::uint32_t read(std::uint32_t offset) const;
    std::uint64_t read_36_bits(std::uint32_t low, std::uint32_t high) const;
    bool is_enabled(std::uint32_t (*control)(unsigned queue), std::uint16_t vf, unsigned queues_per_vf) const;
    bool has_mac(VfMac const& mac) const;

    std::uintptr_t base_;
};

// Counts on where a counter of so many bits wraps.
class WrappingCounter {
  public:
    explicit constexpr WrappingCounter(unsigned bits) : mask_((std::uint64_t{1} << bits) - 1) {}
    void start(std::uint64_t value) { last_ = value; }
    void see(std::uint64_t value) {
        total_ += (value - last_) & mask_;
        last_ = value;
    }
    std::uint64_t total() const { return total_; }

  private:
    std::uint64_t mask_, last_ = 0, total_ = 0;
};

}  // namespace librettos
