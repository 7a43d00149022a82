// SPDX-License-Identifier: BSD-2-Clause
// Mailbox ownership and notification.
#include "tests/nic82599/mailbox.hpp"

namespace nic82599 {

using namespace reg::vf;

std::uint32_t Mailbox::read_pf(unsigned vf) const {
    Box const& box = boxes_[vf];
    return (box.vf_owns ? reg::PFMAILBOX_VFU : 0) | (box.pf_owns ? reg::PFMAILBOX_PFU : 0);
}

void Mailbox::write_pf(unsigned vf, std::uint32_t value) {
    Box& box = boxes_[vf];
    if ((value & reg::PFMAILBOX_RVFU) != 0) {
        box.vf_owns = false;
    }
    box.pf_owns = (value & reg::PFMAILBOX_PFU) != 0 && !box.vf_owns;
    if ((value & reg::PFMAILBOX_STS) != 0) {
        box.status |= MAILBOX_PFSTS;
    }
    if ((value & reg::PFMAILBOX_ACK) != 0) {
        box.status |= MAILBOX_PFACK;
    }
    if ((value & (reg::PFMAILBOX_STS | reg::PFMAILBOX_ACK)) != 0 && vf < vfs_) {
        listeners_.vf(vf);
    }
}

std::uint32_t Mailbox::read_vf(unsigned vf) {
    Box& box = boxes_[vf];
    std::uint32_t const value = box.status | (box.vf_owns ? MAILBOX_VFU : 0) | (box.pf_owns ? MAILBOX_PFU : 0);
    box.status &= ~(MAILBOX_PFSTS | MAILBOX_PFACK | MAILBOX_RSTD);
    return value;
}

void Mailbox::write_vf(unsigned vf, std::uint32_t value) {
    Box& box = boxes_[vf];
    box.vf_owns = (value & MAILBOX_VFU) != 0 && !box.pf_owns;
    if ((value & (MAILBOX_REQ | MAILBOX_ACK)) == 0 || silent_) {
        return;
    }
    unsigned const at = vf % 16;
    registers_.set_bits(reg::PFMBICR(vf / 16), ((value & MAILBOX_REQ) != 0 ? reg::bit(at) : 0) |
                                                   ((value & MAILBOX_ACK) != 0 ? reg::bit(at + 16) : 0));
    if (registers_.has(reg::PFMBIMR(vf / 16), reg::bit(at))) {
        listeners_.pf();
    }
}

void Mailbox::pf_reset() {
    boxes_.fill(Box{});
}

void Mailbox::pf_ready() {
    for (Box& box : boxes_) {
        if ((box.status & MAILBOX_RSTI) != 0) {
            box.status = (box.status & ~MAILBOX_RSTI) | MAILBOX_RSTD;
        }
    }
}

void Mailbox::vf_reset(unsigned vf) {
    bool const pf_is_ready = registers_.has(reg::CTRL_EXT, reg::CTRL_EXT_PFRSTD);
    boxes_[vf] = Box{false, false, pf_is_ready ? MAILBOX_RSTD : MAILBOX_RSTI};
    registers_.set_bits(reg::PFVFLRE(vf / 32), reg::bit(vf % 32));
    if (!silent_) {
        listeners_.pf();
    }
}

}  // namespace nic82599
