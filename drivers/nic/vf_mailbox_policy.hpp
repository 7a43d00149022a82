// SPDX-License-Identifier: BSD-2-Clause
// What an ixgbe VF may ask its PF for. Left to itself DPDK's PF grants nearly everything: any address, into entries of
// the table that are the PF's own, too.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace librettos {

enum class MailboxVerdict {
    grant,        // the PF does what it is asked for
    acknowledge,  // it says so, and does nothing
    refuse
};

// What the PF knows about the VF that asks.
struct MailboxAsker {
    bool given = false;                     // somebody may use it
    std::array<std::uint8_t, 6> mac{};      // its guest's
    std::uint16_t most_frame_bytes = 1518;  // what the port takes, with CRC
};

// `message` is a mailbox' memory, as the VF wrote it: up to 16 words.
MailboxVerdict judge_mailbox_message(std::span<std::uint32_t const> message, MailboxAsker const& asker);

}  // namespace librettos
