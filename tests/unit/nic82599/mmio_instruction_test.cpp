// SPDX-License-Identifier: BSD-2-Clause
// Instructions as compilers and DPDK emit them, byte by byte.
#include <gtest/gtest.h>

#include <vector>

#include "tests/nic82599/mmio_instruction.hpp"

namespace nic82599 {
namespace {

using Operand = MmioInstruction::Operand;

struct Sample {
    char const* text;
    std::vector<std::uint8_t> code;
    bool store;
    Operand operand;
    unsigned number;
    std::uint32_t immediate;
};

TEST(Instruction, MovesOf32BitsAreKnown) {
    Sample const samples[] = {
        {"mov eax, [rdx]", {0x8B, 0x02}, false, Operand::general, 0, 0},
        {"mov r9d, [rdi+0x10140]", {0x44, 0x8B, 0x8F, 0x40, 0x01, 0x01, 0x00}, false, Operand::general, 9, 0},
        {"mov [rsp+rcx*4+8], esi", {0x89, 0x74, 0x8C, 0x08}, true, Operand::general, 6, 0},
        {"mov dword [rax+0x888], 0xffffffff",
         {0xC7, 0x80, 0x88, 0x08, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF},
         true,
         Operand::immediate,
         0,
         0xFFFFFFFF},
        {"mov [rip+0], ecx", {0x89, 0x0D, 0, 0, 0, 0}, true, Operand::general, 1, 0},
        {"mov ebx, [rax*4+0x10]", {0x8B, 0x1C, 0x85, 0x10, 0, 0, 0}, false, Operand::general, 3, 0},
        {"movd xmm9, [rax]", {0x66, 0x44, 0x0F, 0x6E, 0x08}, false, Operand::vector, 9, 0},
        {"movd [rax], xmm1", {0x66, 0x0F, 0x7E, 0x08}, true, Operand::vector, 1, 0},
        {"movss [rax], xmm0", {0xF3, 0x0F, 0x11, 0x00}, true, Operand::vector, 0, 0},
        {"movdiri [rdx], eax", {0x0F, 0x38, 0xF9, 0x02}, true, Operand::general, 0, 0},
    };
    for (Sample const& sample : samples) {
        SCOPED_TRACE(sample.text);
        std::vector<std::uint8_t> code = sample.code;
        code.resize(16, 0x90);
        auto const decoded = decode_mmio(code.data());
        ASSERT_TRUE(decoded);
        EXPECT_EQ(decoded->bytes, sample.code.size());
        EXPECT_EQ(decoded->store, sample.store);
        EXPECT_EQ(decoded->operand, sample.operand);
        if (sample.operand == Operand::immediate) {
            EXPECT_EQ(decoded->immediate, sample.immediate);
        } else {
            EXPECT_EQ(decoded->number, sample.number);
        }
    }
}

TEST(Instruction, OthersAreNot) {
    std::vector<std::uint8_t> const samples[] = {
        {0x48, 0x8B, 0x02},        // mov rax, [rdx]
        {0x66, 0x8B, 0x02},        // mov ax, [rdx]
        {0x8B, 0xC2},              // mov eax, edx
        {0x81, 0x08, 1, 0, 0, 0},  // or dword [rax], 1
        {0x0F, 0x10, 0x00},        // movups xmm0, [rax]
    };
    for (auto code : samples) {
        code.resize(16, 0x90);
        EXPECT_FALSE(decode_mmio(code.data()));
    }
}

}  // namespace
}  // namespace nic82599
