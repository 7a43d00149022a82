// SPDX-License-Identifier: BSD-2-Clause
// The EEPROM with the configuration words that drivers read: through EERD word by word (8.2.3.2.2) and through EEC as
// four wires of SPI (8.2.3.2.1), which is how DPDK finds out that one is there.
#pragma once

#include <array>
#include <cstdint>

namespace nic82599 {

class Eeprom {
  public:
    using Mac = std::array<std::uint8_t, 6>;

    explicit Eeprom(Mac const& mac);

    std::uint16_t word(unsigned address) const { return words_[address % words_.size()]; }
    std::uint16_t checksum_sum() const;  // of words 0..0x3F; 0xBABA when the checksum is right (6.4.5)
    // Fault: the checksum word is wrong. Reversible.
    void damage(bool damaged);

    // EERD: the value after this write.
    std::uint32_t read_by_command(std::uint32_t command) const;
    // EEC.
    std::uint32_t wires() const;
    void set_wires(std::uint32_t value);

  private:
    void clock_in(bool data);
    void clock_out();

    std::array<std::uint16_t, 0x2000> words_;
    bool damaged_ = false;
    std::uint32_t eec_ = 0x2;  // chip select is active low
    unsigned bits_in_ = 0, bits_out_ = 0;
    std::uint32_t shift_ = 0;
    std::uint8_t opcode_ = 0;
    std::uint32_t address_ = 0;
    bool data_out_ = false;
};

}  // namespace nic82599
