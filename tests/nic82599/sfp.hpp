// SPDX-License-Identifier: BSD-2-Clause
// The SFP+ module: its identification EEPROM (SFF-8472, device 0xA0) on the I2C bus that drivers drive bit by bit
// through I2CCTL (8.2.3.1.5).
#pragma once

#include <array>
#include <cstdint>

namespace nic82599 {

class Sfp {
  public:
    Sfp();

    bool present() const { return present_; }
    void set_present(bool present) { present_ = present; }

    std::uint32_t wires() const;
    void set_wires(std::uint32_t value);

  private:
    enum class Phase { idle, address, write, read };

    void rising_edge(bool data);
    void falling_edge();
    bool byte_came_in();
    bool out_bit(unsigned n) const { return (memory_[pointer_] >> (7 - n) & 1) != 0; }

    std::array<std::uint8_t, 256> memory_{};
    bool present_ = true;
    std::uint32_t control_ = 0;
    bool clock_ = true, data_ = true;  // as the master drives them
    bool released_ = true;             // we do not pull the data line down
    Phase phase_ = Phase::idle;
    bool after_start_ = false;
    bool then_read_ = false;
    unsigned bit_ = 0;
    std::uint8_t shift_ = 0, pointer_ = 0;
};

}  // namespace nic82599
