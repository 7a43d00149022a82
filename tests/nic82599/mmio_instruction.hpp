// SPDX-License-Identifier: BSD-2-Clause
// The x86-64 instructions by which drivers access registers of 32 bits, taken apart and carried out on a saved context.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <ucontext.h>

namespace nic82599 {

struct MmioInstruction {
    enum class Operand { general, immediate, vector };

    bool store = false;  // to the device
    Operand operand = Operand::general;
    unsigned number = 0;  // of the register
    std::uint32_t immediate = 0;
    std::size_t bytes = 0;

    // What a store writes.
    std::uint32_t value(mcontext_t const& context) const;
    // What a load does with what it read.
    void load(mcontext_t& context, std::uint32_t value) const;
};

// Plain moves between memory and a register or an immediate (mov, movd, movss, movdiri): what compilers and DPDK
// make of volatile accesses. Empty: anything else.
std::optional<MmioInstruction> decode_mmio(std::uint8_t const* code);

}  // namespace nic82599
