// SPDX-License-Identifier: BSD-2-Clause
// What the NIC needs from the machine it sits in: memory through an IOMMU, interrupts, a wire, time.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace nic82599 {

using Frame = std::vector<std::uint8_t>;  // without CRC

// A PCI function of the port: the PF or one of its VFs.
class Function {
  public:
    static constexpr Function pf() { return Function(-1); }
    static constexpr Function vf(unsigned index) { return Function(static_cast<int>(index)); }
    constexpr bool is_pf() const { return number_ < 0; }
    constexpr unsigned vf_index() const { return static_cast<unsigned>(number_); }
    constexpr int number() const { return number_; }  // -1: PF
    auto operator<=>(Function const&) const = default;

  private:
    constexpr explicit Function(int number) : number_(number) {}
    int number_;
};

// All calls come with the NIC's lock held: an implementation must not call the NIC back.
class Machine {
  public:
    virtual ~Machine() = default;

    // Memory of `size` bytes at the I/O address, or nullptr: the IOMMU refuses. Valid until the call that asked ends.
    virtual std::uint8_t* dma(Function function, std::uint64_t address, std::size_t size) = 0;
    // An MSI-X message of that vector.
    virtual void interrupt(Function function, unsigned vector) = 0;
    // A frame leaves through the port.
    virtual void transmit(std::span<std::uint8_t const> frame) = 0;

    virtual std::uint64_t now_ns() = 0;  // monotonic
    // Call Nic::run_due() at or after this time.
    virtual void wake_at(std::uint64_t time_ns) = 0;
};

}  // namespace nic82599
