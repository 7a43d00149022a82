// SPDX-License-Identifier: BSD-2-Clause
// Reset values and aliases.
#include "tests/nic82599/register_file.hpp"

#include <algorithm>

namespace nic82599 {

void RegisterFile::reset() {
    std::fill(words_.begin(), words_.end(), 0);
    set(reg::STATUS, reg::STATUS_MASTER_ENABLE);
    set(reg::ESDP, reg::ESDP_SDP2);
    set(reg::AUTOC, 3u << 13);   // 10 Gb/s serial
    set(reg::AUTOC2, 2u << 16);  // SFI
    set(reg::ANLP1, 7u << 16);
    set(reg::HLREG0, reg::HLREG0_TXPADEN | reg::HLREG0_RXCRCSTRP | 1);
    set(reg::MAXFRS, 1518u << 16);
    set(reg::RDRXCTL, reg::RDRXCTL_DMAIDONE);
    set(reg::RXPBSIZE(0), 512u << 10);
    set(reg::SECTXSTAT, 1);  // ready
    set(reg::SECRXSTAT, 1);
    for (unsigned i = 0; i < 4; ++i) {
        set(reg::PFMBIMR(i), 0xFFFFFFFF);  // no driver ever writes it, and VFs are heard
    }
}

reg::Offset RegisterFile::canonical(reg::Offset offset) {
    struct Alias {
        reg::Offset first, size, now;
    };
    static constexpr Alias aliases[] = {
        {0x5400, 0x80, 0xA200},  // RAL, RAH 0..15
        {0x5480, 0x40, 0xEA00},  // PSRTYPE
        {0x5818, 4, 0xEC80},     // MRQC
        {0x5C00, 0x80, 0xEB00},  // RETA
        {0x5C80, 0x28, 0xEB80},  // RSSRK
    };
    for (Alias const& alias : aliases) {
        if (offset - alias.first < alias.size) {
            return offset - alias.first + alias.now;
        }
    }
    if (offset - 0x2100 < 0x40) {  // SRRCTL 0..15
        return reg::rx_queue((offset - 0x2100) / 4) + reg::SRRCTL;
    }
    if (offset - 0x2200 < 0x40) {  // DCA_RXCTRL 0..15
        return reg::rx_queue((offset - 0x2200) / 4) + 0xC;
    }
    return offset;
}

unsigned RegisterFile::queues_per_pool() const {
    if (!virtualized()) {
        return queues;
    }
    switch (get(reg::GCR_EXT) & 3) {
        case 1:
            return 8;
        case 2:
            return 4;
        default:
            return 2;
    }
}

}  // namespace nic82599
