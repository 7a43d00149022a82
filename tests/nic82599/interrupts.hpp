// SPDX-License-Identifier: BSD-2-Clause
// Interrupt causes, masks, moderation and vectors of one function (7.3): the PF's and, smaller, a VF's.
//
// A cause that happens sets its EICR bit and, unless masked, sends an MSI-X message. EITR keeps two messages of a
// vector apart by its interval; what happens meanwhile is one message at its end. A message clears the EICR bits named
// in EIAC and, with GPIE.EIAME, the masks named in EIAM.
#pragma once

#include <array>
#include <cstdint>

#include "tests/nic82599/machine.hpp"
#include "tests/nic82599/register_file.hpp"

namespace nic82599 {

// Keeps messages of one function's vectors their EITR interval apart.
class Moderation {
  public:
    Moderation(Function function, Machine& machine) : function_(function), machine_(machine) {}

    void send(unsigned vector, std::uint32_t eitr);
    void run_due();
    void reset();

  private:
    static constexpr unsigned vectors = 64;
    Function function_;
    Machine& machine_;
    std::array<std::uint64_t, vectors> not_before_{};
    std::array<bool, vectors> waiting_{};
    std::array<std::uint32_t, vectors> interval_{};
};

class PfInterrupts {
  public:
    PfInterrupts(RegisterFile& registers, Machine& machine)
        : registers_(registers), moderation_(Function::pf(), machine) {}

    // EICR bits 16..31, or any by EICS.
    void raise(std::uint32_t causes);
    void raise_rx_queue(unsigned queue);
    void raise_tx_queue(unsigned queue);
    void run_due() { moderation_.run_due(); }
    void reset();

    std::uint32_t read_eicr();
    void write_eicr(std::uint32_t value) { registers_.clear_bits(reg::EICR, value); }
    // The masks of 8.2.3.5.3 .. 8.2.3.5.11; false: not one of them.
    bool write_mask(reg::Offset offset, std::uint32_t value);
    std::uint32_t read_mask_ex(unsigned i) const { return static_cast<std::uint32_t>(enabled_ >> (32 * i)); }

  private:
    void raise_by_ivar(std::uint32_t entry);
    void raise_vector(unsigned vector);
    void message(unsigned vector, std::uint32_t causes);
    void enable(std::uint32_t causes);
    void enable_vectors(std::uint64_t vectors);
    void disable_vectors(std::uint64_t vectors);

    RegisterFile& registers_;
    Moderation moderation_;
    std::uint64_t enabled_ = 0, pending_ = 0;  // vectors, EIMS_EX and the pending bits
};

// 8.3.5.5: three causes, which are vectors.
class VfInterrupts {
  public:
    VfInterrupts(Function function, Machine& machine) : moderation_(function, machine) {}

    void raise(std::uint32_t ivar_entry);
    void run_due() { moderation_.run_due(); }
    void reset();

    bool read(reg::Offset offset, std::uint32_t& value);
    bool write(reg::Offset offset, std::uint32_t value);
    std::uint32_t ivar_of_rx_queue(unsigned queue) const {
        return ivar_[queue / 2] >> (queue % 2 == 0 ? 0 : 16) & 0xFF;
    }
    std::uint32_t ivar_of_tx_queue(unsigned queue) const {
        return ivar_[queue / 2] >> (queue % 2 == 0 ? 8 : 24) & 0xFF;
    }
    std::uint32_t ivar_of_mailbox() const { return ivar_misc_ & 0xFF; }

  private:
    void deliver(std::uint32_t causes);

    static constexpr std::uint32_t vectors_mask = 7;
    Moderation moderation_;
    std::uint32_t causes_ = 0, enabled_ = 0, auto_clear_ = 0, auto_mask_ = 0, ivar_misc_ = 0;
    std::array<std::uint32_t, 4> ivar_{};
    std::array<std::uint32_t, 3> eitr_{};
};

}  // namespace nic82599
