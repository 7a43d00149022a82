// SPDX-License-Identifier: BSD-2-Clause
// Delivery of interrupt causes.
#include "tests/nic82599/interrupts.hpp"

namespace nic82599 {

// --- Moderation

void Moderation::send(unsigned vector, std::uint32_t eitr) {
    // 7.3.2: the interval counts units of 2.048 us; its field begins at bit 3.
    std::uint32_t const interval_ns = ((eitr & reg::EITR_INTERVAL) >> 3) * 2048;
    std::uint64_t const now = machine_.now_ns();
    interval_[vector] = interval_ns;
    if (waiting_[vector]) {
        return;
    }
    if (now < not_before_[vector]) {
        waiting_[vector] = true;
        machine_.wake_at(not_before_[vector]);
        return;
    }
    not_before_[vector] = now + interval_ns;
    machine_.interrupt(function_, vector);
}

void Moderation::run_due() {
    std::uint64_t const now = machine_.now_ns();
    for (unsigned vector = 0; vector < vectors; ++vector) {
        if (!waiting_[vector]) {
            continue;
        }
        if (now < not_before_[vector]) {
            machine_.wake_at(not_before_[vector]);
            continue;
        }
        waiting_[vector] = false;
        not_before_[vector] = now + interval_[vector];
        machine_.interrupt(function_, vector);
    }
}

void Moderation::reset() {
    not_before_.fill(0);
    waiting_.fill(false);
}

// --- PF

void PfInterrupts::reset() {
    moderation_.reset();
    enabled_ = pending_ = 0;
}

void PfInterrupts::raise(std::uint32_t causes) {
    registers_.set_bits(reg::EICR, causes);
    std::uint32_t const open = causes & registers_.get(reg::EIMS);
    if (!registers_.has(reg::GPIE, reg::GPIE_MULTIPLE_MSIX)) {
        if (open != 0) {
            message(0, open);
        }
        return;
    }
    if ((open & ~reg::EICR_QUEUES) != 0) {  // 7.3.4.1: IVAR_MISC[1] has the other causes
        std::uint32_t const entry = registers_.get(reg::IVAR_MISC) >> 8;
        message((entry & reg::IVAR_VALID) != 0 ? entry & reg::IVAR_VECTOR : 0, open & ~reg::EICR_QUEUES);
    }
    for (unsigned vector = 0; vector < 16; ++vector) {
        if ((open >> vector & 1) != 0) {
            message(vector, reg::bit(vector));
        }
    }
}

void PfInterrupts::raise_rx_queue(unsigned queue) {
    raise_by_ivar(registers_.get(reg::IVAR(queue / 2)) >> (queue % 2 == 0 ? 0 : 16));
}

void PfInterrupts::raise_tx_queue(unsigned queue) {
    raise_by_ivar(registers_.get(reg::IVAR(queue / 2)) >> (queue % 2 == 0 ? 8 : 24));
}

void PfInterrupts::raise_by_ivar(std::uint32_t entry) {
    if ((entry & reg::IVAR_VALID) != 0) {
        raise_vector(entry & reg::IVAR_VECTOR);
    }
}

void PfInterrupts::raise_vector(unsigned vector) {
    if (vector < 16) {
        raise(reg::bit(vector));
    } else if ((enabled_ >> vector & 1) != 0) {
        message(vector, 0);
    } else {
        pending_ |= std::uint64_t{1} << vector;
    }
}

void PfInterrupts::message(unsigned vector, std::uint32_t causes) {
    moderation_.send(vector, registers_.get(reg::EITR(vector)));
    registers_.clear_bits(reg::EICR, causes & registers_.get(reg::EIAC));
    if (registers_.has(reg::GPIE, reg::GPIE_EIAME)) {
        registers_.clear_bits(reg::EIMS, causes & registers_.get(reg::EIAM));
        std::uint64_t const named = registers_.pair(reg::EIAM_EX(0), reg::EIAM_EX(1));
        disable_vectors(named & (std::uint64_t{1} << vector));
    }
}

std::uint32_t PfInterrupts::read_eicr() {
    std::uint32_t const causes = registers_.get(reg::EICR);
    registers_.set(reg::EICR, 0);  // 8.2.3.5.1: cleared by reading
    return causes;
}

// The low 16 bits of EIMS are the first vectors' of EIMS_EX(0).
void PfInterrupts::enable(std::uint32_t causes) {
    registers_.set_bits(reg::EIMS, causes);
    enabled_ |= causes & reg::EICR_QUEUES;
    if (std::uint32_t const pending = registers_.get(reg::EICR) & causes; pending != 0) {
        raise(pending);
    }
}

void PfInterrupts::enable_vectors(std::uint64_t vectors) {
    enabled_ |= vectors;
    for (unsigned vector = 16; vector < 64; ++vector) {
        std::uint64_t const one = std::uint64_t{1} << vector;
        if ((vectors & pending_ & one) != 0) {
            pending_ &= ~one;
            message(vector, 0);
        }
    }
    if (auto const low = static_cast<std::uint32_t>(vectors & reg::EICR_QUEUES); low != 0) {
        enable(low);
    }
}

void PfInterrupts::disable_vectors(std::uint64_t vectors) {
    enabled_ &= ~vectors;
    registers_.clear_bits(reg::EIMS, static_cast<std::uint32_t>(vectors & reg::EICR_QUEUES));
}

bool PfInterrupts::write_mask(reg::Offset offset, std::uint32_t value) {
    switch (offset) {
        case reg::EICS:
            raise(value);
            return true;
        case reg::EIMS:
            enable(value);
            return true;
        case reg::EIMC:
            registers_.clear_bits(reg::EIMS, value);
            enabled_ &= ~std::uint64_t{value & reg::EICR_QUEUES};
            return true;
        case reg::EICS_EX(0):
        case reg::EICS_EX(1):
            for (unsigned i = 0; i < 32; ++i) {
                if ((value >> i & 1) != 0) {
                    raise_vector(i + (offset == reg::EICS_EX(1) ? 32 : 0));
                }
            }
            return true;
        case reg::EIMS_EX(0):
            enable_vectors(value);
            return true;
        case reg::EIMS_EX(1):
            enable_vectors(std::uint64_t{value} << 32);
            return true;
        case reg::EIMC_EX(0):
            disable_vectors(value);
            return true;
        case reg::EIMC_EX(1):
            disable_vectors(std::uint64_t{value} << 32);
            return true;
        default:
            return false;
    }
}

// --- VF

void VfInterrupts::reset() {
    moderation_.reset();
    causes_ = enabled_ = auto_clear_ = auto_mask_ = ivar_misc_ = 0;
    ivar_.fill(0);
    eitr_.fill(0);
}

void VfInterrupts::raise(std::uint32_t ivar_entry) {
    if ((ivar_entry & reg::IVAR_VALID) != 0 && (ivar_entry & 3) < eitr_.size()) {
        std::uint32_t const cause = reg::bit(ivar_entry & 3);
        causes_ |= cause;
        deliver(cause);
    }
}

void VfInterrupts::deliver(std::uint32_t causes) {
    for (unsigned vector = 0; vector < eitr_.size(); ++vector) {
        if ((causes & enabled_ & reg::bit(vector)) != 0) {
            moderation_.send(vector, eitr_[vector]);
            causes_ &= ~(auto_clear_ & reg::bit(vector));
            enabled_ &= ~(auto_mask_ & reg::bit(vector));
        }
    }
}

bool VfInterrupts::read(reg::Offset offset, std::uint32_t& value) {
    switch (offset) {
        case reg::vf::VTEICR:
            value = causes_;
            causes_ = 0;
            return true;
        case reg::vf::VTEIMS:
            value = enabled_;
            return true;
        case reg::vf::VTEIAC:
            value = auto_clear_;
            return true;
        case reg::vf::VTEIAM:
            value = auto_mask_;
            return true;
        case reg::vf::VTIVAR_MISC:
            value = ivar_misc_;
            return true;
        default:
            if (offset - reg::vf::VTIVAR(0) < 4 * ivar_.size()) {
                value = ivar_[(offset - reg::vf::VTIVAR(0)) / 4];
                return true;
            }
            return false;
    }
}

bool VfInterrupts::write(reg::Offset offset, std::uint32_t value) {
    constexpr reg::Offset vteitr = 0x820;
    switch (offset) {
        case reg::vf::VTEICR:
            causes_ &= ~value;
            return true;
        case reg::vf::VTEICS:
            causes_ |= value & vectors_mask;
            deliver(value & vectors_mask);
            return true;
        case reg::vf::VTEIMS:
            enabled_ |= value & vectors_mask;
            deliver(causes_ & value);
            return true;
        case reg::vf::VTEIMC:
            enabled_ &= ~value;
            return true;
        case reg::vf::VTEIAC:
            auto_clear_ = value & vectors_mask;
            return true;
        case reg::vf::VTEIAM:
            auto_mask_ = value & vectors_mask;
            return true;
        case reg::vf::VTIVAR_MISC:
            ivar_misc_ = value;
            return true;
        default:
            if (offset - reg::vf::VTIVAR(0) < 4 * ivar_.size()) {
                ivar_[(offset - reg::vf::VTIVAR(0)) / 4] = value;
                return true;
            }
            if (offset - vteitr < 4 * eitr_.size()) {
                eitr_[(offset - vteitr) / 4] = value;
                return true;
            }
            return false;
    }
}

}  // namespace nic82599
