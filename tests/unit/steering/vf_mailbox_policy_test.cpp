// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/nic/vf_mailbox_policy.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace librettos {
namespace {

using enum MailboxVerdict;
using Mac = std::array<std::uint8_t, 6>;

constexpr Mac own{2, 0, 0, 0, 0, 7}, anothers{2, 0, 0, 0, 0, 8};
constexpr std::uint32_t add = 1 << 16;
constexpr MailboxAsker asker{true, own, 1518};

MailboxVerdict judge(std::uint32_t request, std::uint32_t value = 0, MailboxAsker const& who = asker) {
    std::array<std::uint32_t, 16> const message{request, value};
    return judge_mailbox_message(message, who);
}

MailboxVerdict judge(std::uint32_t request, Mac const& mac) {
    std::array<std::uint32_t, 16> message{request};
    std::memcpy(&message[1], mac.data(), mac.size());
    return judge_mailbox_message(message, asker);
}

TEST(VfMailboxPolicy, HarmlessRequestsAreGranted) {
    for (std::uint32_t const request : {0x01u, 0x03u, 0x08u, 0x09u})
        EXPECT_EQ(judge(request), grant) << request;
    for (std::uint32_t const mode : {0u, 1u, 2u})
        EXPECT_EQ(judge(0x0c, mode), grant) << mode;
}

TEST(VfMailboxPolicy, AnAddressIsItsGuestsOrNone) {
    EXPECT_EQ(judge(0x02, own), acknowledge);
    EXPECT_EQ(judge(0x02, anothers), refuse);
    EXPECT_EQ(judge(0x06 | add, own), acknowledge);
    EXPECT_EQ(judge(0x06 | add, anothers), refuse);
    EXPECT_EQ(judge(0x06 | 2 * add, anothers), refuse);
    EXPECT_EQ(judge(0x06, anothers), acknowledge) << "it wants no further addresses";
}

TEST(VfMailboxPolicy, ThePortsSettingsAreNotAVfs) {
    EXPECT_EQ(judge(0x05, 1518), acknowledge);
    EXPECT_EQ(judge(0x05, 1519), refuse);
    EXPECT_EQ(judge(0x04 | add, 0), acknowledge);
    EXPECT_EQ(judge(0x04 | add, 42), refuse);
    EXPECT_EQ(judge(0x0c, 3), refuse) << "promiscuous";
}

TEST(VfMailboxPolicy, WhatIsNotKnownOrNotGivenIsRefused) {
    for (std::uint32_t const request : {0x00u, 0x07u, 0x0au, 0x0bu, 0x0du, 0x7fffu, 0xffffu})
        EXPECT_EQ(judge(request), refuse) << request;
    for (std::uint32_t const request : {0x01u, 0x03u, 0x04u, 0x08u})
        EXPECT_EQ(judge(request, 0, {false, own, 1518}), refuse) << request;
    EXPECT_EQ(judge_mailbox_message({}, asker), refuse);
}

}  // namespace
}  // namespace librettos
