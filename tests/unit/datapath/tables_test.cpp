// SPDX-License-Identifier: BSD-2-Clause
// The bounded tables: shares, expiry, forgetting; and the directory.
#include <gtest/gtest.h>

#include <set>

#include "daemon/engine/datapath/fragment_table.hpp"
#include "daemon/engine/datapath/held_fragments.hpp"
#include "daemon/engine/datapath/slots_by_address.hpp"
#include "daemon/engine/datapath/token_bucket.hpp"
#include "tests/unit/datapath/small_world.hpp"

namespace librettos::test {

namespace {

IpAddress host(std::uint32_t number) {
    return mapped(ipv4(10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                       static_cast<std::uint8_t>(number)));
}

std::set<Slot> slots_of(SlotsByAddress const& table, IpAddress const& address, std::uint16_t tag,
                        std::uint64_t now_us) {
    std::set<Slot> slots;
    table.for_each(address, tag, now_us, [&](Slot slot) { EXPECT_TRUE(slots.insert(slot).second); });
    return slots;
}

}  // namespace

TEST(FragmentTable, OneSenderFillsAQuarter) {
    auto const table = std::make_unique<FragmentTable>();
    for (std::uint32_t id = 0; id < 20'000; ++id) {
        table->remember({host(1), host(2), id, 17, wire_slot}, 3, 1);
    }
    EXPECT_EQ(table->size(1), FragmentTable::rows);
    for (std::uint32_t id = 20'000 - FragmentTable::rows; id < 20'000; ++id) {
        EXPECT_EQ(table->find({host(1), host(2), id, 17, wire_slot}, 1), std::optional<Slot>(3));
    }
    EXPECT_EQ(table->size(1 + FragmentTable::lifetime_us), 0u);
}

TEST(FragmentTable, ForgetsAGuestAsSenderAndReceiver) {
    auto const table = std::make_unique<FragmentTable>();
    DatagramKey const received{host(1), host(2), 5, 17, wire_slot};
    DatagramKey const sent{host(2), host(1), 5, 17, 3};
    DatagramKey const other{host(2), host(1), 6, 17, 4};
    table->remember(received, 3, 1);
    table->remember(sent, 3, 1);
    table->remember(other, 4, 1);
    table->forget(3);
    EXPECT_FALSE(table->find(received, 2).has_value());
    EXPECT_FALSE(table->find(sent, 2).has_value());
    EXPECT_TRUE(table->find(other, 2).has_value());
}

TEST(HeldFragments, KeepOrderAndBounds) {
    auto const held = std::make_unique<HeldFragments>();
    int tokens[300];
    DatagramKey const one{host(1), host(9), 1, 17, wire_slot};
    DatagramKey const two{host(1), host(9), 2, 17, wire_slot};
    EXPECT_EQ(held->next_expiry_us(), UINT64_MAX);
    ASSERT_TRUE(held->add(one, &tokens[0], 10));
    ASSERT_TRUE(held->add(two, &tokens[1], 11));
    ASSERT_TRUE(held->add(one, &tokens[2], 12));
    EXPECT_EQ(held->next_expiry_us(), 10 + HeldFragments::patience_us);
    EXPECT_EQ(held->take(one), &tokens[0]);
    EXPECT_EQ(held->take(one), &tokens[2]);
    EXPECT_EQ(held->take(one), nullptr);
    EXPECT_EQ(held->take_expired(10 + HeldFragments::patience_us), nullptr);
    EXPECT_EQ(held->take_expired(11 + HeldFragments::patience_us), &tokens[1]);
    std::size_t room = 0;
    for (std::uint32_t i = 0; i < 300; ++i) {
        room += held->add({host(i / 100), host(9), i, 17, wire_slot}, &tokens[i], 20) ? 1 : 0;
    }
    EXPECT_EQ(room, 3 * HeldFragments::most_per_source);
    for (std::uint32_t i = 0; i < 300; ++i) {
        room += held->add({host(100 + i), host(9), i, 17, wire_slot}, &tokens[i], 20) ? 1 : 0;
    }
    EXPECT_EQ(room, HeldFragments::most);
    EXPECT_EQ(held->size(), HeldFragments::most);
}

TEST(SlotsByAddress, FindsWhoAskedUntilTimeIsOver) {
    SlotsByAddress table(16, 4, 1000);
    table.add(host(1), 7, 1, 100);
    table.add(host(1), 7, 2, 200);
    table.add(host(1), 8, 3, 200);
    EXPECT_EQ(slots_of(table, host(1), 7, 300), (std::set<Slot>{1, 2}));
    EXPECT_EQ(slots_of(table, host(1), 8, 300), (std::set<Slot>{3}));
    EXPECT_EQ(slots_of(table, host(1), 7, 1100), (std::set<Slot>{2}));
    table.add(host(1), 7, 1, 1100);
    EXPECT_EQ(slots_of(table, host(1), 7, 1199), (std::set<Slot>{1, 2}));
    EXPECT_TRUE(table.contains(host(1), 7, 1, 1200));
    EXPECT_FALSE(table.contains(host(1), 7, 2, 1200));
    EXPECT_TRUE(table.contains_address(host(1), 1200));
    table.remove(host(1), 7, 1);
    table.forget(3);
    EXPECT_FALSE(table.contains_address(host(1), 1200));
    EXPECT_EQ(table.size(), 1u);
}

TEST(SlotsByAddress, AGreedyGuestDisturbsItselfAlone) {
    SlotsByAddress table(64, 16, SlotsByAddress::for_ever);
    table.add(host(1), 0, 1, 0);
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        table.add(host(1000 + i), 0, 2, i);
    }
    EXPECT_EQ(table.size(), 17u);
    EXPECT_TRUE(table.contains(host(1), 0, 1, 0));
    EXPECT_TRUE(table.contains(host(1000 + 9'999), 0, 2, 0));
    EXPECT_TRUE(table.contains(host(1000 + 9'984), 0, 2, 0));
    EXPECT_FALSE(table.contains(host(1000 + 9'983), 0, 2, 0));
}

TEST(SlotsByAddress, AFullTableStillServesNewcomers) {
    SlotsByAddress table(64, 16, SlotsByAddress::for_ever);
    for (Slot slot = 1; slot <= 200; ++slot) {
        for (std::uint32_t i = 0; i < 20; ++i) {
            table.add(host(slot * 100 + i), 0, slot, i);
            EXPECT_TRUE(table.contains(host(slot * 100 + i), 0, slot, i));
        }
    }
    EXPECT_EQ(table.size(), 64u);
    for (Slot slot = 1; slot <= 200; ++slot) {
        table.forget(slot);
    }
    EXPECT_EQ(table.size(), 0u);
}

TEST(TokenBucket, EarnsWhatTheRateSays) {
    TokenBucket bucket;
    int taken = 0;
    for (int i = 0; i < 1000; ++i) {
        taken += bucket.take(100, 5'000'000) ? 1 : 0;
    }
    EXPECT_EQ(taken, 100);
    EXPECT_FALSE(bucket.take(100, 5'009'999));
    EXPECT_TRUE(bucket.take(100, 5'010'000));
    EXPECT_FALSE(bucket.take(100, 4'000'000)) << "time that runs back earns nothing";
    taken = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        taken += bucket.take(100, 6'000'000 + i * 10'000) ? 1 : 0;
    }
    EXPECT_EQ(taken, 1000);
    EXPECT_FALSE(TokenBucket().take(0, 1));
}

TEST(Directory, FindsGuestsUntilTheyAreGone) {
    SmallWorld world;
    Directory& directory = world.directory();
    GuestIdentity const three = world.identity(3);
    EXPECT_EQ(directory.by_domain(three.domain), 3);
    EXPECT_EQ(directory.dedicated_by_mac(three.mac), 3);
    EXPECT_EQ(directory.dedicated_by_ipv4(three.ipv4), 3);
    EXPECT_EQ(directory.dedicated_by_ipv6(three.ipv6), 3);
    EXPECT_EQ(directory.dedicated_by_ipv6(link_local(three.mac)), 3);
    EXPECT_EQ(directory.dedicated_by_ipv4(directory.network().ipv4), wire_slot);
    directory.remove(3);
    EXPECT_FALSE(directory.present(3));
    EXPECT_EQ(directory.by_domain(three.domain), wire_slot);
    EXPECT_EQ(directory.dedicated_by_mac(three.mac), wire_slot);
    EXPECT_EQ(directory.dedicated_by_ipv4(three.ipv4), wire_slot);
    EXPECT_EQ(directory.dedicated_by_ipv6(three.ipv6), wire_slot);
    EXPECT_EQ(directory.dedicated_by_ipv4(world.identity(4).ipv4), 4);
    EXPECT_EQ(directory.slots(), (std::vector<Slot>{1, 2, 4}));
    EXPECT_EQ(directory.dedicated_slots(), (std::vector<Slot>{4}));
}

TEST(Directory, ADedicatedGuestOwnsNoPortOfTheSharedAddress) {
    SmallWorld world;
    std::uint32_t const entry = lvif_port_entry(LVIF_PORT_BOUND, world.identity(3).domain.value, 0);
    auto const [slot, owned] = world.directory().owner(entry);
    EXPECT_EQ(slot, wire_slot);
    EXPECT_TRUE(owned);
}

TEST(Directory, ADomainMayHaveSeveralInterfaces) {
    SmallWorld world;
    Directory& directory = world.directory();
    GuestIdentity second = world.identity(1);
    second.mode = GuestMode::dedicated;
    second.mac = {{2, 0, 0, 0, 0, 0x50}};
    second.ipv4 = ipv4(10, 0, 0, 50);
    second.ipv6 = {};
    directory.add(5, second);
    std::uint32_t const entry = lvif_port_entry(LVIF_PORT_BOUND, second.domain.value, 0);
    EXPECT_EQ(directory.owner(entry).slot, 1);
    directory.remove(5);
    EXPECT_EQ(directory.owner(entry).slot, 1);
    EXPECT_EQ(directory.by_domain(second.domain), 1);
}

TEST(Directory, HoldsAsManyGuestsAsThereAreSlots) {
    auto const ports = std::make_unique<lvif_portmap>();
    Directory directory(small_network(), *ports);
    auto const identity = [](Slot slot) {
        auto const high = static_cast<std::uint8_t>(slot >> 8);
        auto const low = static_cast<std::uint8_t>(slot);
        return GuestIdentity{DomId{slot}, GuestMode::dedicated, {{2, 9, 9, 9, high, low}}, ipv4(10, 1, high, low), {}};
    };
    for (Slot slot = 1; slot < max_slots; ++slot) {
        directory.add(slot, identity(slot));
    }
    for (Slot slot = 1; slot < max_slots; ++slot) {
        EXPECT_EQ(directory.dedicated_by_ipv4(identity(slot).ipv4), slot);
        EXPECT_EQ(directory.dedicated_by_mac(identity(slot).mac), slot);
    }
    EXPECT_EQ(directory.dedicated_by_ipv4(ipv4(10, 2, 0, 0)), wire_slot);
}

}  // namespace librettos::test
