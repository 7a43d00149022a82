// SPDX-License-Identifier: BSD-2-Clause
// PF registers that do something when they are read or written (8.2.3).
#include "tests/nic82599/nic.hpp"

namespace nic82599 {
namespace {

bool is_between(reg::Offset offset, reg::Offset first, reg::Offset bytes) {
    return offset - first < bytes;
}

}  // namespace

std::uint32_t Nic::read_pf(reg::Offset offset) {
    switch (offset) {
        case reg::STATUS:
            return registers_.has(reg::CTRL, reg::CTRL_MASTER_DISABLE) ? 0 : reg::STATUS_MASTER_ENABLE;
        case reg::LINKS:
            return link_is_up() ? reg::LINKS_UP | reg::LINKS_10G | reg::LINKS_STATUS : 0;
        case reg::ESDP:
            return (registers_.get(offset) & ~reg::ESDP_SDP2) | (sfp_.present() ? reg::ESDP_SDP2 : 0);
        case reg::I2CCTL:
            return sfp_.wires();
        case reg::EEC:
            return eeprom_.wires();
        case reg::EEMNGCTL:
            return 3u << 18;  // configuration of both ports done
        case reg::SWSM: {     // 8.2.3.4.12: who reads zero has the semaphore
            std::uint32_t const value = registers_.get(offset);
            registers_.set_bits(offset, 1);
            return value;
        }
        case reg::EICR:
            return interrupts_.read_eicr();
        case reg::EIMS_EX(0):
            return interrupts_.read_mask_ex(0);
        case reg::EIMS_EX(1):
            return interrupts_.read_mask_ex(1);
        case reg::RTTBCNRC:
            return rate_limits_.programmed(registers_.get(reg::RTTDQSEL) % RegisterFile::queues);
        default:
            break;
    }
    if (is_between(offset, reg::PFMAILBOX(0), 4 * RegisterFile::pools)) {
        return mailbox_.read_pf((offset - reg::PFMAILBOX(0)) / 4);
    }
    if (std::uint32_t value = 0; read_vf_counter(offset, value)) {
        return value;
    }
    std::uint32_t const value = registers_.get(offset);
    if (Statistics::clears_on_read(offset)) {
        registers_.set(offset, 0);
    }
    return value;
}

void Nic::write_pf(reg::Offset offset, std::uint32_t value) {
    if (write_pf_control(offset, value) || interrupts_.write_mask(offset, value) ||
        write_pf_virtualization(offset, value)) {
        return;
    }
    registers_.set(offset, value);
    after_queue_write(offset);
}

// True: the write has had its effect.
bool Nic::write_pf_control(reg::Offset offset, std::uint32_t value) {
    switch (offset) {
        case reg::CTRL:
            if ((value & (reg::CTRL_RST | reg::CTRL_LRST)) != 0) {
                reset_device();
                value &= ~(reg::CTRL_RST | reg::CTRL_LRST | reg::CTRL_MASTER_DISABLE);
            }
            registers_.set(offset, value);
            return true;
        case reg::CTRL_EXT:
            registers_.set(offset, value);
            if ((value & reg::CTRL_EXT_PFRSTD) != 0) {
                mailbox_.pf_ready();
            }
            return true;
        case reg::STATUS:
        case reg::LINKS:
            return true;  // read only
        case reg::I2CCTL:
            sfp_.set_wires(value);
            return true;
        case reg::EEC:
            eeprom_.set_wires(value);
            return true;
        case reg::EERD:
            registers_.set(offset, eeprom_.read_by_command(value));
            return true;
        case reg::EICR:
            interrupts_.write_eicr(value);
            return true;
        case reg::FDIRCMD:
            flow_director_.command(value);
            return true;
        case reg::FDIRCTRL:
            flow_director_.control(value);
            return true;
        case reg::AUTOC:
            registers_.set(offset, value & ~reg::AUTOC_RESTART_AN);
            return true;
        case reg::MSCA:  // 8.2.3.22.11: nothing answers on MDIO
            registers_.set(offset, value & ~reg::MSCA_MDICMD);
            registers_.set(reg::MSRWD, 0xFFFF0000);
            return true;
        case reg::RTTBCNRC:
            rate_limits_.program(registers_.get(reg::RTTDQSEL) % RegisterFile::queues, value);
            return true;
        case reg::PFQDE:
            write_queue_drop(value);
            return true;
        default:
            return false;
    }
}

bool Nic::write_pf_virtualization(reg::Offset offset, std::uint32_t value) {
    if (is_between(offset, reg::PFMAILBOX(0), 4 * RegisterFile::pools)) {
        mailbox_.write_pf((offset - reg::PFMAILBOX(0)) / 4, value);
        return true;
    }
    if (is_between(offset, reg::PFVFLREC(0), 8)) {
        registers_.clear_bits(offset - reg::PFVFLREC(0) + reg::PFVFLRE(0), value);
        return true;
    }
    if (is_between(offset, reg::PFMBICR(0), 16)) {
        registers_.clear_bits(offset, value);
        return true;
    }
    if (is_between(offset, reg::PFVFTE(0), 8)) {
        registers_.set(offset, value);
        for (unsigned queue = 0; queue < RegisterFile::queues; ++queue) {
            run_transmit(queue);
        }
        return true;
    }
    return false;
}

void Nic::write_queue_drop(std::uint32_t value) {
    unsigned const queue = value >> 8 & 0x7F;
    if ((value & reg::PFQDE_WRITE) != 0) {
        queue_drop_[queue] = (value & reg::PFQDE_ENABLE) != 0;
        drain();
    }
    value = (value & ~(reg::PFQDE_ENABLE | reg::PFQDE_WRITE | reg::PFQDE_READ)) |
            (queue_drop_[queue] ? reg::PFQDE_ENABLE : 0);
    registers_.set(reg::PFQDE, value);
}

void Nic::after_queue_write(reg::Offset offset) {
    reg::Offset const at = offset & 0x3F;
    if (is_between(offset, reg::tx_queue(0), 0x40 * RegisterFile::queues)) {
        unsigned const queue = (offset - reg::tx_queue(0)) / 0x40;
        if (at == reg::DCTL) {
            registers_.clear_bits(offset, reg::DCTL_SWFLSH);
        }
        if (at == reg::TAIL || at == reg::DCTL) {
            run_transmit(queue);
        }
    } else if (is_between(offset, reg::rx_queue(0), 0x1000) || is_between(offset, reg::rx_queue(64), 0x1000)) {
        if (at == reg::DCTL) {
            registers_.clear_bits(offset, reg::DCTL_SWFLSH);
        }
        if (at == reg::TAIL || at == reg::DCTL || at == reg::SRRCTL) {
            drain();
        }
    } else if (offset == reg::DMATXCTL) {
        for (unsigned queue = 0; queue < RegisterFile::queues; ++queue) {
            run_transmit(queue);
        }
    }
}

}  // namespace nic82599
