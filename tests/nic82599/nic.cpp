// SPDX-License-Identifier: BSD-2-Clause
// The NIC's parts put together, resets, faults.
#include "tests/nic82599/nic.hpp"

#include <algorithm>

namespace nic82599 {

Nic::Nic(Machine& machine, Eeprom::Mac const& mac, unsigned vfs)
    : machine_(machine),
      vfs_(std::min(vfs, most_vfs)),
      mac_(mac),
      eeprom_(mac),
      statistics_(registers_),
      switch_(registers_),
      flow_director_(registers_),
      interrupts_(registers_, machine_),
      mailbox_(registers_, vfs_,
               {[this] { interrupts_.raise(reg::EICR_MAILBOX); },
                [this](unsigned vf) { vf_[vf].interrupts.raise(vf_[vf].interrupts.ivar_of_mailbox()); }}) {
    for (unsigned i = 0; i < vfs_; ++i) {
        vf_.emplace_back(Function::vf(i), machine_);
    }
    reset_device();
}

// 4.2.1: a reset of the PF takes all VFs with it.
void Nic::reset_device() {
    registers_.reset();
    registers_.set(reg::RAL(0), mac_[0] | mac_[1] << 8 | mac_[2] << 16 | std::uint32_t{mac_[3]} << 24);
    registers_.set(reg::RAH(0), reg::RAH_VALID | mac_[5] << 8 | mac_[4]);
    registers_.set(reg::MPSAR_LO(0), 0xFFFFFFFF);
    registers_.set(reg::MPSAR_HI(0), 0xFFFFFFFF);
    interrupts_.reset();
    mailbox_.pf_reset();
    flow_director_.reset();
    rate_limits_.reset();
    for (TransmitRing& ring : transmit_rings_) {
        ring.reset();
    }
    for (Vf& vf : vf_) {
        vf.interrupts.reset();
        std::fill(vf.words.begin(), vf.words.end(), 0);
    }
    queue_drop_.fill(false);
    packet_buffer_.clear();
    packet_buffer_bytes_ = 0;
}

// 4.2.2: what belongs to one VF.
void Nic::reset_vf(unsigned vf) {
    vf_[vf].interrupts.reset();
    std::fill(vf_[vf].words.begin(), vf_[vf].words.end(), 0);
    if (registers_.virtualized()) {
        unsigned const first = registers_.first_queue(vf);
        for (unsigned queue = first; queue < first + registers_.queues_per_pool(); ++queue) {
            for (reg::Offset const at : {reg::BAL, reg::BAH, reg::LEN, reg::HEAD, reg::TAIL, reg::DCTL}) {
                registers_.set(reg::rx_queue(queue) + at, 0);
                registers_.set(reg::tx_queue(queue) + at, 0);
            }
            transmit_rings_[queue].reset();
        }
    }
    registers_.clear_bits(reg::PFVFRE(vf / 32), reg::bit(vf % 32));
    registers_.clear_bits(reg::PFVFTE(vf / 32), reg::bit(vf % 32));
    mailbox_.vf_reset(vf);
    drain();
}

std::uint32_t Nic::read(Function function, reg::Offset offset) {
    std::lock_guard const lock(mutex_);
    if (is_gone(function)) {
        return 0xFFFFFFFF;
    }
    reg::Offset const at = function.is_pf() ? RegisterFile::canonical(offset) : offset;
    std::uint32_t const value = function.is_pf() ? read_pf(at) : read_vf(function.vf_index(), at);
    if (trace_ != nullptr) {
        trace_->record({Access::Kind::read, function, at, value});
    }
    return value;
}

void Nic::write(Function function, reg::Offset offset, std::uint32_t value) {
    std::lock_guard const lock(mutex_);
    if (is_gone(function)) {
        return;
    }
    reg::Offset const at = function.is_pf() ? RegisterFile::canonical(offset) : offset;
    if (trace_ != nullptr) {
        trace_->record({Access::Kind::write, function, at, value});
    }
    if (function.is_pf()) {
        write_pf(at, value);
    } else {
        write_vf(function.vf_index(), at, value);
    }
}

void Nic::function_level_reset(Function function) {
    std::lock_guard const lock(mutex_);
    if (is_gone(function)) {
        return;
    }
    if (function.is_pf()) {
        reset_device();
    } else {
        reset_vf(function.vf_index());
    }
}

void Nic::run_due() {
    std::lock_guard const lock(mutex_);
    interrupts_.run_due();
    for (Vf& vf : vf_) {
        vf.interrupts.run_due();
    }
    for (unsigned queue = 0; queue < RegisterFile::queues; ++queue) {
        if (rate_limits_.opens_at_ns(queue) != 0) {
            run_transmit(queue);
        }
    }
}

void Nic::set_link(bool up) {
    std::lock_guard const lock(mutex_);
    if (link_up_ != up) {
        link_up_ = up;
        interrupts_.raise(reg::EICR_LSC);
    }
}

void Nic::set_module_present(bool present) {
    std::lock_guard const lock(mutex_);
    bool const was_up = link_is_up();
    sfp_.set_present(present);
    if (link_is_up() != was_up) {
        interrupts_.raise(reg::EICR_LSC);
    }
}

void Nic::damage_eeprom(bool damaged) {
    std::lock_guard const lock(mutex_);
    eeprom_.damage(damaged);
}

void Nic::set_mailbox_silent(bool silent) {
    std::lock_guard const lock(mutex_);
    mailbox_.set_silent(silent);
}

void Nic::fail_dma(unsigned accesses) {
    std::lock_guard const lock(mutex_);
    machine_.fail_dma(accesses);
}

void Nic::set_removed(bool removed) {
    std::lock_guard const lock(mutex_);
    if (machine_.is_cut_off() && !removed) {
        reset_device();
    }
    machine_.cut_off(removed);
}

void Nic::set_vf_removed(unsigned vf, bool removed) {
    std::lock_guard const lock(mutex_);
    if (vf < vfs_ && vf_[vf].removed != removed) {
        reset_vf(vf);
        vf_[vf].removed = removed;
    }
}

// Removed, alone or with the whole NIC, or never there.
bool Nic::is_gone(Function function) const {
    return machine_.is_cut_off() ||
           (!function.is_pf() && (function.vf_index() >= vfs_ || vf_[function.vf_index()].removed));
}

std::uint32_t Nic::peek(reg::Offset offset) {
    std::lock_guard const lock(mutex_);
    return registers_.get(RegisterFile::canonical(offset));
}

Events Nic::events() {
    std::lock_guard const lock(mutex_);
    Events events = events_;
    events.dma_faults = machine_.faults();
    return events;
}

void Nic::set_trace(RegisterTrace* trace) {
    std::lock_guard const lock(mutex_);
    trace_ = trace;
}

Function Nic::owner_of(unsigned queue) const {
    if (!registers_.virtualized() || registers_.pool_of(queue) >= vfs_) {
        return Function::pf();
    }
    return Function::vf(registers_.pool_of(queue));
}

}  // namespace nic82599
