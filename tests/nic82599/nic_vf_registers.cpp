// SPDX-License-Identifier: BSD-2-Clause
// A VF's registers (8.3): its own interrupts and mailbox, its pool's queues, nothing of anybody else.
#include "tests/nic82599/nic.hpp"

namespace nic82599 {
namespace {

bool is_between(reg::Offset offset, reg::Offset first, reg::Offset bytes) {
    return offset - first < bytes;
}

constexpr reg::Offset nowhere = 0xFFFFFFFC;
constexpr reg::Offset queue_blocks = 8 * 0x40, mailbox_memory = 64;

}  // namespace

// The PF's register behind a VF's queue register, or nowhere.
reg::Offset Nic::vf_queue_register(unsigned vf, reg::Offset offset) const {
    bool const transmit = offset >= reg::vf::TX_QUEUES;
    reg::Offset const from = offset - (transmit ? reg::vf::TX_QUEUES : reg::vf::RX_QUEUES);
    unsigned const queue = from / 0x40;
    if (!registers_.virtualized() || queue >= registers_.queues_per_pool()) {
        return nowhere;
    }
    unsigned const absolute = registers_.first_queue(vf) + queue;
    return (transmit ? reg::tx_queue(absolute) : reg::rx_queue(absolute)) + (offset & 0x3F);
}

// At the PF's addresses. False: it is none of them.
bool Nic::read_vf_counter(reg::Offset offset, std::uint32_t& value) const {
    struct Place {
        reg::Offset first, step, seen_by_vf;
    };
    static constexpr Place places[] = {{reg::PVFGPRC(0), 0x40, reg::vf::VFGPRC},
                                       {reg::PVFGORC_LSB(0), 0x40, reg::vf::VFGORC_LSB},
                                       {reg::PVFGORC_MSB(0), 0x40, reg::vf::VFGORC_MSB},
                                       {reg::PVFMPRC(0), 0x40, reg::vf::VFMPRC},
                                       {reg::PVFGPTC(0), 4, reg::vf::VFGPTC},
                                       {reg::PVFGOTC_LSB(0), 8, reg::vf::VFGOTC_LSB},
                                       {reg::PVFGOTC_MSB(0), 8, reg::vf::VFGOTC_MSB}};
    for (Place const& place : places) {
        reg::Offset const at = offset - place.first;
        if (at < place.step * RegisterFile::pools && at % place.step == 0) {
            unsigned const vf = at / place.step;
            value = vf < vf_.size() ? counter(vf_[vf], place.seen_by_vf) : 0;
            return true;
        }
    }
    return false;
}

std::uint32_t Nic::counter(Vf const& vf, reg::Offset offset) {
    switch (offset) {
        case reg::vf::VFGPRC:
            return vf.good_received;
        case reg::vf::VFGORC_LSB:
            return static_cast<std::uint32_t>(vf.octets_received);
        case reg::vf::VFGORC_MSB:
            return static_cast<std::uint32_t>(vf.octets_received >> 32 & 0xF);
        case reg::vf::VFMPRC:
            return vf.multicast_received;
        case reg::vf::VFGPTC:
            return vf.good_sent;
        case reg::vf::VFGOTC_LSB:
            return static_cast<std::uint32_t>(vf.octets_sent);
        default:
            return static_cast<std::uint32_t>(vf.octets_sent >> 32 & 0xF);
    }
}

std::uint32_t Nic::read_vf(unsigned vf, reg::Offset offset) {
    Vf& self = vf_[vf];
    switch (offset) {
        case reg::vf::VTSTATUS:
            return reg::STATUS_MASTER_ENABLE;
        case reg::vf::VTLINKS:
            return link_is_up() ? reg::LINKS_UP | reg::LINKS_10G | reg::LINKS_STATUS : 0;
        case reg::vf::VFMAILBOX:
            return mailbox_.read_vf(vf);
        case reg::vf::VFGPRC:
        case reg::vf::VFGORC_LSB:
        case reg::vf::VFGORC_MSB:
        case reg::vf::VFMPRC:
        case reg::vf::VFGPTC:
        case reg::vf::VFGOTC_LSB:
        case reg::vf::VFGOTC_MSB:
            return counter(self, offset);
        default:
            break;
    }
    if (std::uint32_t value = 0; self.interrupts.read(offset, value)) {
        return value;
    }
    if (is_between(offset, reg::vf::VFMBMEM, mailbox_memory)) {
        return registers_.get(reg::PFMBMEM(vf) + offset - reg::vf::VFMBMEM);
    }
    if (is_between(offset, reg::vf::RX_QUEUES, queue_blocks) || is_between(offset, reg::vf::TX_QUEUES, queue_blocks)) {
        return registers_.get(vf_queue_register(vf, offset));
    }
    return offset < vf_bar_bytes ? self.words[offset / 4] : 0;
}

void Nic::write_vf(unsigned vf, reg::Offset offset, std::uint32_t value) {
    Vf& self = vf_[vf];
    if (offset == reg::vf::VTCTRL) {
        if ((value & reg::CTRL_RST) != 0) {
            reset_vf(vf);
        }
    } else if (offset == reg::vf::VFMAILBOX) {
        mailbox_.write_vf(vf, value);
    } else if (self.interrupts.write(offset, value)) {
        return;
    } else if (is_between(offset, reg::vf::VFMBMEM, mailbox_memory)) {
        registers_.set(reg::PFMBMEM(vf) + offset - reg::vf::VFMBMEM, value);
    } else if (is_between(offset, reg::vf::RX_QUEUES, queue_blocks) ||
               is_between(offset, reg::vf::TX_QUEUES, queue_blocks)) {
        reg::Offset const at = vf_queue_register(vf, offset);
        registers_.set(at, value);
        after_queue_write(at);
    } else if (offset < vf_bar_bytes) {
        self.words[offset / 4] = value;
    }
}

}  // namespace nic82599
