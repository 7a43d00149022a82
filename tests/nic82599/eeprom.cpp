// SPDX-License-Identifier: BSD-2-Clause
// EEPROM contents and its two ways of access.
#include "tests/nic82599/eeprom.hpp"

#include <algorithm>

namespace nic82599 {
namespace {

constexpr unsigned checksum_word = 0x3F;
// EEC (8.2.3.2.1)
constexpr std::uint32_t clock_bit = 1, select_bit = 2, to_chip_bit = 4, from_chip_bit = 8, request_bit = 0x40,
                        grant_bit = 0x80, present_bit = 0x100, auto_read_bit = 0x200, wide_address_bit = 0x400,
                        size_field = 4u << 11;
constexpr std::uint8_t read_opcode = 3, read_status_opcode = 5;

}  // namespace

Eeprom::Eeprom(Mac const& mac) {
    words_.fill(0xFFFF);
    std::fill_n(words_.begin(), 0x40, 0);
    words_[0x00] = 0x0020;  // EEPROM control word 1
    words_[0x0F] = 0x0100;  // firmware section (6.1): no link establishment state machine, patch 6
    words_[0x102] = 0xFFFF;
    words_[0x104] = 0x0200;
    words_[0x207] = 6;
    words_[0x29] = 0x0001;  // version words that drivers print
    words_[0x2D] = 0x8000;
    words_[0x2E] = 0x0001;
    words_[0x2B] = 0x0300;  // SFP+ initialization sequences: one, empty, for each kind of module
    unsigned at = 0x300;
    words_[at++] = 0;
    for (std::uint16_t kind = 0; kind < 16; ++kind) {
        words_[at++] = kind;
        words_[at++] = 0x380;
    }
    words_[0x380] = 0;
    for (unsigned i = 0; i < 3; ++i) {
        words_[0x390 + i] = static_cast<std::uint16_t>(mac[2 * i] | mac[2 * i + 1] << 8);
    }
    words_[checksum_word] = static_cast<std::uint16_t>(0xBABA - checksum_sum());
}

std::uint16_t Eeprom::checksum_sum() const {
    std::uint16_t sum = 0;
    for (unsigned i = 0; i <= checksum_word; ++i) {
        sum = static_cast<std::uint16_t>(sum + words_[i]);
    }
    return sum;
}

void Eeprom::damage(bool damaged) {
    if (damaged != damaged_) {
        words_[checksum_word] ^= 0x5555;
        damaged_ = damaged;
    }
}

std::uint32_t Eeprom::read_by_command(std::uint32_t command) const {
    constexpr std::uint32_t start = 1, done = 2;
    if ((command & start) == 0) {
        return command;
    }
    std::uint32_t const address = command >> 2 & 0x3FFF;
    return std::uint32_t{word(address)} << 16 | address << 2 | done;
}

std::uint32_t Eeprom::wires() const {
    std::uint32_t const granted = (eec_ & request_bit) != 0 ? grant_bit : 0;
    return (eec_ & (clock_bit | select_bit | to_chip_bit | request_bit)) | (data_out_ ? from_chip_bit : 0) | granted |
           present_bit | auto_read_bit | wide_address_bit | size_field;
}

void Eeprom::set_wires(std::uint32_t value) {
    bool const was = (eec_ & clock_bit) != 0;
    bool const is = (value & clock_bit) != 0;
    eec_ = value;
    if ((value & select_bit) != 0) {
        bits_in_ = bits_out_ = 0;
        shift_ = 0;
        opcode_ = 0;
    } else if (!was && is) {
        clock_in((value & to_chip_bit) != 0);
    } else if (was && !is) {
        clock_out();
    }
}

void Eeprom::clock_in(bool data) {
    shift_ = shift_ << 1 | (data ? 1 : 0);
    ++bits_in_;
    if (bits_in_ == 8) {
        opcode_ = static_cast<std::uint8_t>(shift_);
    } else if (bits_in_ == 24) {
        address_ = shift_ & 0xFFFF;
    }
}

void Eeprom::clock_out() {
    std::uint8_t byte = 0;  // status: not busy
    if (opcode_ == read_opcode && bits_in_ >= 24) {
        std::uint32_t const at = address_ + bits_out_ / 8;
        byte = static_cast<std::uint8_t>(word(at / 2) >> (at % 2 * 8));
    } else if (opcode_ != read_status_opcode || bits_in_ < 8) {
        return;
    }
    data_out_ = (byte >> (7 - bits_out_ % 8) & 1) != 0;
    ++bits_out_;
}

}  // namespace nic82599
