// SPDX-License-Identifier: BSD-2-Clause
// The messages are those of mailbox API 1.0 to 1.3, as ixgbevf drivers of Linux and DPDK send them.
#include "drivers/nic/vf_mailbox_policy.hpp"

#include <algorithm>
#include <cstring>

namespace librettos {

namespace {

enum Message : std::uint16_t {
    reset = 0x01,
    set_mac = 0x02,
    set_multicast = 0x03,
    set_vlan = 0x04,
    set_frame_size = 0x05,
    add_mac = 0x06,
    negotiate_version = 0x08,
    get_queues = 0x09,
    set_cast_mode = 0x0c,
};

constexpr std::uint32_t all_multicast = 2;  // of set_cast_mode: below it only what was asked for, above it everything

bool is_its_own(std::span<std::uint32_t const> message, MailboxAsker const& asker) {
    std::array<std::uint8_t, 6> mac{};
    std::memcpy(mac.data(), &message[1], mac.size());
    return mac == asker.mac;
}

}  // namespace

MailboxVerdict judge_mailbox_message(std::span<std::uint32_t const> message, MailboxAsker const& asker) {
    constexpr std::size_t longest_judged = 3;
    if (message.size() < longest_judged || !asker.given)
        return MailboxVerdict::refuse;
    auto const permit = [](bool permitted, MailboxVerdict verdict) {
        return permitted ? verdict : MailboxVerdict::refuse;
    };
    std::uint32_t const argument = message[0] >> 16 & 0xff, value = message[1];
    switch (message[0] & 0xffff) {
        case reset:
        case set_multicast:
        case negotiate_version:
        case get_queues:
            return MailboxVerdict::grant;
        case set_mac:
            // Frames for it are steered to the VF when its guest is switched, not when it asks.
            return permit(is_its_own(message, asker), MailboxVerdict::acknowledge);
        case add_mac:
            return permit(argument == 0 || is_its_own(message, asker), MailboxVerdict::acknowledge);
        case set_vlan:
            return permit((value & 0xfff) == 0,
                          MailboxVerdict::acknowledge);  // 0: untagged frames, that it gets anyway
        case set_frame_size:
            // The size is the whole port's.
            return permit(value <= asker.most_frame_bytes, MailboxVerdict::acknowledge);
        case set_cast_mode:
            return permit(value <= all_multicast, MailboxVerdict::grant);
        default:
            return MailboxVerdict::refuse;
    }
}

}  // namespace librettos
