// SPDX-License-Identifier: BSD-2-Clause
// A guest that has a VF: what the wire brings for everybody is not for its rings, questions about it are not answered
// for it; and what still comes for it alone is.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/unit/datapath/small_world.hpp"

namespace librettos::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr Slot direct_slot = 3, other_slot = 4;
constexpr MacAddress outside{{2, 0, 0, 0, 0, 0x99}}, everyone{{255, 255, 255, 255, 255, 255}};

void add(Bytes& frame, std::initializer_list<int> bytes) {
    std::transform(bytes.begin(), bytes.end(), std::back_inserter(frame),
                   [](int byte) { return static_cast<std::uint8_t>(byte); });
}

template <typename Address>
void add_bytes(Bytes& frame, Address const& bytes) {
    for (auto const byte : bytes)
        frame.push_back(byte);
}

Bytes arp_request(MacAddress const& from, std::uint8_t sender, std::uint8_t target) {
    Bytes frame;
    add_bytes(frame, everyone.bytes);
    add_bytes(frame, from.bytes);
    add(frame, {8, 6, 0, 1, 8, 0, 6, 4, 0, 1});
    add_bytes(frame, from.bytes);
    add(frame, {10, 0, 0, sender, 0, 0, 0, 0, 0, 0, 10, 0, 0, target});
    frame.resize(60);
    return frame;
}

// UDP without a checksum, to a port that nobody has, or another IPv4 protocol.
Bytes ipv4_frame(MacAddress const& from, MacAddress const& to, std::uint8_t sender, Bytes const& destination,
                 std::uint8_t protocol, Bytes const& payload) {
    Bytes frame;
    add_bytes(frame, to.bytes);
    add_bytes(frame, from.bytes);
    auto const total = static_cast<int>(20 + payload.size());
    add(frame, {8, 0, 0x45, 0, total >> 8, total & 255, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, sender});
    add_bytes(frame, destination);
    std::uint32_t sum = 0;
    for (std::size_t at = 14; at < 34; at += 2)
        sum += static_cast<std::uint32_t>(frame[at] << 8 | frame[at + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16));
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
    add_bytes(frame, payload);
    frame.resize(std::max<std::size_t>(frame.size(), 60));
    return frame;
}

Bytes const udp{0x30, 0x39, 0x30, 0x3a, 0, 12, 0, 0, 1, 2, 3, 4};

Bytes broadcast(MacAddress const& from, std::uint8_t sender) {
    return ipv4_frame(from, everyone, sender, {255, 255, 255, 255}, 17, udp);
}

class Direct : public testing::Test {
  protected:
    Direct() { set(true); }
    void set(bool direct) { world.directory().set_direct(direct_slot, direct); }
    Verdict from_wire(Bytes const& frame) { return world.classifier().from_wire(frame, frame.size(), 1); }
    Verdict from_guest(Slot slot, Bytes const& frame) {
        lvif_record record{};
        record.length = static_cast<std::uint32_t>(frame.size());
        return world.classifier().from_guest(slot, frame, record, 1);
    }
    bool is_target(Slot slot) {
        auto const targets = world.classifier().targets();
        return std::find(targets.begin(), targets.end(), slot) != targets.end();
    }
    GuestIdentity guest(Slot slot) { return world.identity(slot); }

    SmallWorld world;
};

TEST_F(Direct, QuestionsAboutItAreItsOwnToAnswer) {
    EXPECT_EQ(from_wire(arp_request(outside, 99, 30)).drop, Counter::drop_answered_by_vf);
    EXPECT_TRUE(from_wire(arp_request(outside, 99, 40)).reply) << "about another guest";
    EXPECT_TRUE(from_wire(arp_request(outside, 99, 1)).reply) << "about the shared address";
    set(false);
    EXPECT_TRUE(from_wire(arp_request(outside, 99, 30)).reply);
}

TEST_F(Direct, OtherGuestsAreAnsweredForIt) {
    EXPECT_TRUE(from_guest(other_slot, arp_request(guest(other_slot).mac, 40, 30)).reply);
}

TEST_F(Direct, WhatGoesToEverybodyReachesItByTheVfAlone) {
    for (bool const direct : {true, false}) {
        set(direct);
        EXPECT_TRUE(from_wire(broadcast(outside, 99)).to_targets);
        EXPECT_EQ(is_target(direct_slot), !direct);
        EXPECT_TRUE(is_target(other_slot));
        EXPECT_TRUE(from_guest(other_slot, broadcast(guest(other_slot).mac, 40)).to_wire);
        EXPECT_EQ(is_target(direct_slot), !direct) << "it has the copy that goes to the wire";
        EXPECT_TRUE(from_wire(arp_request(outside, 99, 99)).to_targets) << "an announcement";
        EXPECT_EQ(is_target(direct_slot), !direct);
        EXPECT_TRUE(is_target(other_slot));
    }
}

TEST_F(Direct, WhatStillComesForItAloneReachesItsRings) {
    EXPECT_EQ(from_wire(ipv4_frame(outside, guest(direct_slot).mac, 99, {10, 0, 0, 30}, 17, udp)).slot, direct_slot);
    EXPECT_EQ(from_wire(ipv4_frame(outside, guest(direct_slot).mac, 99, {10, 0, 0, 30}, 47, udp)).slot, direct_slot);
    EXPECT_EQ(
        from_guest(other_slot, ipv4_frame(guest(other_slot).mac, guest(direct_slot).mac, 40, {10, 0, 0, 30}, 17, udp))
            .slot,
        direct_slot)
        << "from a local guest";
}

TEST_F(Direct, WhatItSendsPastUsIsTheWires) {
    auto const& mac = guest(direct_slot).mac;
    EXPECT_TRUE(from_wire(arp_request(mac, 30, 1)).reply) << "it looks for the shared address";
    EXPECT_TRUE(from_wire(broadcast(mac, 30)).to_targets);
    EXPECT_TRUE(is_target(other_slot));
    EXPECT_FALSE(is_target(direct_slot));
    EXPECT_EQ(from_wire(ipv4_frame(mac, guest(other_slot).mac, 30, {10, 0, 0, 40}, 17, udp)).slot, other_slot);
    set(false);
    EXPECT_EQ(from_wire(broadcast(mac, 30)).drop, Counter::drop_not_for_us) << "a loop, or a forgery";
}

TEST_F(Direct, GroupsThatItJoinsMeanwhileAreKnownWhenItIsBack) {
    Bytes const group{239, 1, 2, 3};
    MacAddress const group_mac{{1, 0, 0x5e, 1, 2, 3}};
    Bytes const report{0x16, 0, 0xf9, 0xfb, 239, 1, 2, 3};
    (void)from_wire(ipv4_frame(guest(direct_slot).mac, group_mac, 30, group, 2, report));
    auto const to_group = ipv4_frame(outside, group_mac, 99, group, 17, udp);
    (void)from_wire(to_group);
    EXPECT_FALSE(is_target(direct_slot));
    set(false);
    (void)from_wire(to_group);
    EXPECT_TRUE(is_target(direct_slot));
}

TEST_F(Direct, ItIsOverWhenTheGuestGoes) {
    world.directory().remove(direct_slot);
    world.directory().add(direct_slot, guest(direct_slot));
    EXPECT_TRUE(from_wire(arp_request(outside, 99, 30)).reply);
}

}  // namespace
}  // namespace librettos::test
