// SPDX-License-Identifier: BSD-2-Clause
// An I2C slave seen edge by edge.
#include "tests/nic82599/sfp.hpp"

#include <algorithm>
#include <string_view>

namespace nic82599 {
namespace {

constexpr std::uint32_t clock_in = 1, clock_out = 2, data_in = 4, data_out = 8;
constexpr std::uint8_t device_address = 0xA0;

}  // namespace

Sfp::Sfp() {
    constexpr std::string_view vendor = "MODEL           ", part = "82599-SR        ";
    memory_[0] = 3;     // SFP
    memory_[2] = 7;     // LC
    memory_[3] = 0x10;  // 10GBASE-SR
    std::copy(vendor.begin(), vendor.end(), memory_.begin() + 20);
    memory_[37] = 0x00;  // a vendor that the driver accepts
    memory_[38] = 0x1B;
    memory_[39] = 0x21;
    std::copy(part.begin(), part.end(), memory_.begin() + 40);
}

std::uint32_t Sfp::wires() const {
    bool const line = data_ && (released_ || !present_);
    return (control_ & ~(clock_in | data_in)) | (clock_ ? clock_in : 0) | (line ? data_in : 0);
}

void Sfp::set_wires(std::uint32_t value) {
    bool const clock = (value & clock_out) != 0;
    bool const data = (value & data_out) != 0;
    control_ = value;
    if (clock && clock_ && data != data_) {
        phase_ = data ? Phase::idle : Phase::address;  // STOP, START
        released_ = true;
        after_start_ = !data;
        then_read_ = false;
        bit_ = 0;
    } else if (clock != clock_ && phase_ != Phase::idle) {
        if (clock) {
            rising_edge(data);
        } else {
            falling_edge();
        }
    }
    clock_ = clock;
    data_ = data;
}

void Sfp::rising_edge(bool data) {
    if (bit_ < 8) {
        shift_ = static_cast<std::uint8_t>(shift_ << 1 | (data ? 1 : 0));
    } else if (phase_ == Phase::read && data) {
        phase_ = Phase::idle;  // the master wants no more
    }
}

void Sfp::falling_edge() {
    if (after_start_) {
        after_start_ = false;
        return;
    }
    ++bit_;
    if (phase_ == Phase::read) {
        if (bit_ == 9) {
            bit_ = 0;
            ++pointer_;
        }
        released_ = bit_ == 8 || out_bit(bit_);
    } else if (bit_ == 8) {
        released_ = !byte_came_in();
    } else if (bit_ == 9) {
        bit_ = 0;
        released_ = true;
        if (then_read_) {
            then_read_ = false;
            phase_ = Phase::read;
            released_ = out_bit(0);
        }
    }
}

// True: acknowledged.
bool Sfp::byte_came_in() {
    if (phase_ == Phase::address) {
        if (!present_ || (shift_ & 0xFE) != device_address) {
            phase_ = Phase::idle;
            return false;
        }
        then_read_ = (shift_ & 1) != 0;
        phase_ = Phase::write;
        return true;
    }
    pointer_ = shift_;
    return true;
}

}  // namespace nic82599
