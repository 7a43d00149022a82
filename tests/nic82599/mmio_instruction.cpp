// SPDX-License-Identifier: BSD-2-Clause
// Decoding of moves.
#include "tests/nic82599/mmio_instruction.hpp"

#include <cstring>

namespace nic82599 {
namespace {

// Registers as instructions number them.
constexpr int general_registers[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// ModRM, SIB and displacement.
std::size_t operand_bytes(std::uint8_t const* modrm) {
    unsigned const mode = *modrm >> 6, base = *modrm & 7;
    std::size_t bytes = 1;
    if (mode == 3) {
        return bytes;
    }
    if (base == 4) {
        bytes += mode == 0 && (modrm[1] & 7) == 5 ? 5 : 1;
    } else if (mode == 0 && base == 5) {
        bytes += 4;
    }
    return bytes + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

struct Prefixes {
    bool operand_size = false, repeat = false;
    std::uint8_t rex = 0;
};

std::uint8_t const* skip_prefixes(std::uint8_t const* code, Prefixes& prefixes) {
    for (;; ++code) {
        if (*code == 0x66) {
            prefixes.operand_size = true;
        } else if (*code == 0xF3) {
            prefixes.repeat = true;
        } else if (*code != 0x2E && *code != 0x3E) {
            break;
        }
    }
    if ((*code & 0xF0) == 0x40) {
        prefixes.rex = *code++;
    }
    return code;
}

}  // namespace

std::optional<MmioInstruction> decode_mmio(std::uint8_t const* code) {
    Prefixes prefixes;
    std::uint8_t const* at = skip_prefixes(code, prefixes);
    constexpr std::uint8_t rex_w = 8, rex_r = 4;
    if ((prefixes.rex & rex_w) != 0) {
        return std::nullopt;  // 64 bits
    }
    MmioInstruction instruction;
    std::uint8_t const opcode = *at++;
    bool const plain = !prefixes.operand_size && !prefixes.repeat;
    if (opcode == 0x0F && at[0] == 0x38 && at[1] == 0xF9 && plain) {  // movdiri: DPDK's rte_write32_wc
        instruction.store = true;
        at += 2;
    } else if (opcode == 0x0F) {
        instruction.operand = MmioInstruction::Operand::vector;
        std::uint8_t const second = *at++;
        bool const movd_load = prefixes.operand_size && second == 0x6E;
        bool const movd_store = prefixes.operand_size && second == 0x7E;
        bool const movss_load = prefixes.repeat && second == 0x10;
        instruction.store = movd_store || (prefixes.repeat && second == 0x11);
        if (!movd_load && !movss_load && !instruction.store) {
            return std::nullopt;
        }
    } else if (opcode == 0x89 && plain) {
        instruction.store = true;
    } else if (opcode == 0xC7 && plain) {
        instruction.store = true;
        instruction.operand = MmioInstruction::Operand::immediate;
    } else if (opcode != 0x8B || !plain) {
        return std::nullopt;
    }
    if (*at >> 6 == 3) {
        return std::nullopt;  // no memory operand
    }
    instruction.number = (*at >> 3 & 7u) | ((prefixes.rex & rex_r) != 0 ? 8u : 0u);
    at += operand_bytes(at);
    if (instruction.operand == MmioInstruction::Operand::immediate) {
        std::memcpy(&instruction.immediate, at, 4);
        at += 4;
    }
    instruction.bytes = static_cast<std::size_t>(at - code);
    return instruction;
}

std::uint32_t MmioInstruction::value(mcontext_t const& context) const {
    switch (operand) {
        case Operand::immediate:
            return immediate;
        case Operand::vector:
            return context.fpregs->_xmm[number].element[0];
        default:
            return static_cast<std::uint32_t>(context.gregs[general_registers[number]]);
    }
}

void MmioInstruction::load(mcontext_t& context, std::uint32_t value) const {
    if (operand == Operand::vector) {
        auto& element = context.fpregs->_xmm[number].element;
        element[0] = value;
        element[1] = element[2] = element[3] = 0;
    } else {
        context.gregs[general_registers[number]] = value;  // the upper half becomes zero
    }
}

}  // namespace nic82599
