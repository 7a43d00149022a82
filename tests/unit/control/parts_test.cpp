// SPDX-License-Identifier: BSD-2-Clause
// The small parts: strict text, token buckets, the address pool, port ranges and explanations, the control ring.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <random>

#include "daemon/engine/control/address_pool.hpp"
#include "daemon/engine/control/control_ring.hpp"
#include "daemon/engine/control/guest.hpp"
#include "daemon/engine/control/log_limit.hpp"
#include "daemon/engine/control/port_table.hpp"
#include "daemon/engine/control/strict_text.hpp"

namespace librettos::test {

using namespace librettos::control;

namespace {

TEST(StrictText, Numbers) {
    EXPECT_EQ(parse_number("0", 10), 0U);
    EXPECT_EQ(parse_number("10", 10), 10U);
    EXPECT_EQ(parse_number("18446744073709551615", ~0ULL), ~0ULL);
    for (auto const* text : {"", "11", "00", "01", "+1", "-1", " 1", "1 ", "1a", "0x1", "1.0", "18446744073709551616"})
        EXPECT_FALSE(parse_number(text, 10)) << text;
    EXPECT_FALSE(parse_number(std::string_view("1\0", 2), 10));
}

TEST(StrictText, Macs) {
    auto const mac = parse_mac("02:4c:52:00:ff:0a");
    ASSERT_TRUE(mac);
    EXPECT_EQ(to_text(*mac), "02:4c:52:00:ff:0a");
    for (auto const* text : {"", "02:4c:52:00:ff", "02-4c-52-00-ff-0a", "02:4c:52:00:ff:0g",
                             "02:4c:52:00:ff:0a:", "2:4c:52:00:ff:0a0", "+2:4c:52:00:ff:0a"})
        EXPECT_FALSE(parse_mac(text)) << text;
}

TEST(StrictText, PrintableIsBounded) {
    EXPECT_EQ(printable("a\x1b[31m\xff", 4), "a?[3");
    EXPECT_TRUE(is_domain_name("web-1.a_b"));
    EXPECT_FALSE(is_domain_name(std::string(64, 'a')));
    EXPECT_FALSE(is_domain_name(".a"));
}

TEST(TokenBucket, RefillsAtItsRateAndNoFurther) {
    TokenBucket bucket(3, std::chrono::milliseconds(10));
    TimePoint now{std::chrono::hours(5)};
    for (int n = 0; n < 3; ++n)
        EXPECT_TRUE(bucket.take(now));
    EXPECT_FALSE(bucket.take(now));
    EXPECT_EQ(bucket.next(now), now + std::chrono::milliseconds(10));
    now += std::chrono::milliseconds(25);
    EXPECT_TRUE(bucket.take(now));
    EXPECT_TRUE(bucket.take(now));
    EXPECT_FALSE(bucket.take(now));
    now += std::chrono::hours(1);
    int taken = 0;
    while (bucket.take(now))
        ++taken;
    EXPECT_EQ(taken, 3);
}

TEST(LogLimit, CountsWhatItSwallows) {
    LogLimit limit(2, std::chrono::seconds(1));
    TimePoint const now{std::chrono::hours(1)};
    int allowed = 0;
    for (int n = 0; n < 10; ++n)
        allowed += limit.allow(now);
    EXPECT_EQ(allowed, 2);
    EXPECT_EQ(limit.take_suppressed(), 8U);
    EXPECT_EQ(limit.take_suppressed(), 0U);
}

Config::Dedicated pool_of(std::size_t count) {
    Config::Dedicated pool;
    for (std::size_t n = 0; n < count; ++n)
        pool.ipv4.push_back("10.0.0." + std::to_string(n + 1));
    return pool;
}

TEST(AddressPool, GivesEachOnceAndRemembersNames) {
    AddressPool pool(pool_of(20), {});
    std::map<std::string, DedicatedAddress> given;
    std::set<std::uint32_t> addresses;
    std::set<MacAddress> macs;
    for (int n = 0; n < 20; ++n) {
        auto const name = "guest" + std::to_string(n);
        auto const address = pool.take(name);
        ASSERT_TRUE(address);
        EXPECT_TRUE(addresses.insert(address->ipv4.be).second);
        EXPECT_TRUE(macs.insert(address->mac).second);
        given[name] = *address;
    }
    EXPECT_FALSE(pool.take("one more"));
    for (auto const& [name, address] : given)
        pool.give_back(address.index);
    for (auto at = given.rbegin(); at != given.rend(); ++at) {
        auto const again = pool.take(at->first);
        ASSERT_TRUE(again);
        EXPECT_EQ(again->ipv4, at->second.ipv4) << at->first;
        EXPECT_EQ(again->mac, at->second.mac);
    }
}

TEST(AddressPool, NewNamesAvoidOthersLastAddresses) {
    AddressPool pool(pool_of(4), {});
    auto const a = pool.take("a");
    pool.give_back(a->index);
    for (auto const* name : {"b", "c", "d"})
        EXPECT_NE(pool.take(name)->index, a->index);
    EXPECT_EQ(pool.take("a")->index, a->index);
}

TEST(AddressPool, ClaimsOnlyWhatIsItsOwnAndFree) {
    AddressPool pool(pool_of(2), {});
    auto const mac = *parse_mac("02:4c:52:01:02:03");
    EXPECT_FALSE(pool.claim("a", *parse_ipv4("10.0.0.9"), {}, mac));
    EXPECT_TRUE(pool.claim("a", *parse_ipv4("10.0.0.1"), {}, mac));
    EXPECT_FALSE(pool.claim("b", *parse_ipv4("10.0.0.1"), {}, *parse_mac("02:4c:52:01:02:04")));
    EXPECT_FALSE(pool.claim("b", *parse_ipv4("10.0.0.2"), {}, mac)) << "its MAC is in use";
    EXPECT_EQ(pool.in_use(), 1U);
}

TEST(AddressPool, RefusesNonsense) {
    Config::Dedicated pool;
    pool.ipv4 = {"10.0.0.300"};
    EXPECT_THROW(AddressPool(pool, {}), std::system_error);
    pool.ipv4.clear();
    pool.mac_prefix = "02:4c";
    EXPECT_THROW(AddressPool(pool, {}), std::system_error);
}

TEST(PortTable, RangesOfEqualNeighbours) {
    auto map = std::make_unique<lvif_portmap>();
    auto const bound = lvif_port_entry(LVIF_PORT_BOUND, 3, 0);
    map->tcp[0] = bound;
    map->tcp[80] = map->tcp[81] = bound;
    map->tcp[82] = lvif_port_entry(LVIF_PORT_BOUND, 4, 0);
    map->tcp[83] = lvif_port_entry(LVIF_PORT_BOUND, 4, LVIF_PORT_LEASED);
    map->tcp[90] = lvif_port_entry(LVIF_PORT_QUARANTINED, 3, 0);
    map->tcp[65535] = lvif_port_entry(LVIF_PORT_RESERVED, 0, 0);
    auto const all = port_ranges(*map, IPPROTO_TCP, std::nullopt);
    ASSERT_EQ(all.size(), 6U);
    EXPECT_EQ(all[1].first, 80);
    EXPECT_EQ(all[1].last, 81);
    EXPECT_EQ(all[1].owner, DomId{3});
    EXPECT_FALSE(all[2].leased);
    EXPECT_TRUE(all[3].leased);
    EXPECT_EQ(all[5].last, 65535);
    EXPECT_EQ(port_ranges(*map, IPPROTO_TCP, DomId{3}).size(), 2U) << "quarantined ports are no longer its own";
    EXPECT_TRUE(port_ranges(*map, IPPROTO_UDP, std::nullopt).empty());
    auto const sums = sum_ports(*map);
    EXPECT_EQ(sums.tcp_bound, 5U);
    EXPECT_EQ(sums.quarantined, 1U);
    EXPECT_EQ(owned_ports(*map)[4], 2U);
}

TEST(PortTable, ExplainsInPlainWords) {
    PortInfo info;
    info.entry = lvif_port_entry(LVIF_PORT_BOUND, 3, 0);
    info.owner_name = "web";
    info.age_s = 12;
    EXPECT_EQ(explain_port(IPPROTO_TCP, 80, info, true, {}),
              "TCP 80 is owned by guest 'web' (domain 3), bound 12 s ago; the guest is attached");
    info.entry = lvif_port_entry(LVIF_PORT_QUARANTINED, 3, 0);
    info.quarantine_left_s = 41;
    EXPECT_EQ(
        explain_port(IPPROTO_TCP, 80, info, false, {}),
        "TCP 80 is quarantined for 41 s more: it belonged to 'web', only a guest of that name may take it before");
    EXPECT_EQ(explain_port(IPPROTO_TCP, 80, {}, false, {}),
              "TCP 80 is free: nobody has claimed it; frames to it are answered with RST");
    EXPECT_EQ(explain_port(IPPROTO_UDP, 53, {}, false, {true, false}),
              "UDP 53 is free: nobody has claimed it; frames to it are dropped silently");
}

struct alignas(64) RingPair {
    lvif_control_ring to_server{};
    lvif_control_ring to_guest{};
    RingPair() {
        for (auto* const ring : {&to_server, &to_guest}) {
            ring->magic = LVIF_CONTROL_MAGIC;
            ring->version = LVIF_CONTROL_VERSION;
        }
    }
    ControlRing open() {
        return {std::as_writable_bytes(std::span(&to_server, 1)), std::as_writable_bytes(std::span(&to_guest, 1))};
    }
};

TEST(ControlRing, CarriesMessagesAcrossTheWrapOfItsPositions) {
    auto pair = std::make_unique<RingPair>();
    for (auto* const ring : {&pair->to_server, &pair->to_guest})
        ring->head = ring->tail = 0xffff'fff0U;
    auto ring = pair->open();
    std::mt19937 random(3);
    std::uint32_t sent = 0;
    std::uint32_t taken = 0;
    while (taken < 1000) {
        while (random() % 3 != 0 && pair->to_server.head - pair->to_server.tail < LVIF_CONTROL_SLOTS) {
            pair->to_server.slots[pair->to_server.head % LVIF_CONTROL_SLOTS].id = sent++;
            ++pair->to_server.head;
        }
        lvif_message message;
        while (random() % 4 != 0 && ring.take(message) == ControlRing::Take::message)
            ASSERT_EQ(message.id, taken++);
        ring.release();
    }
    EXPECT_FALSE(ring.broken());
}

TEST(ControlRing, PutStopsAtFullAndGoesOn) {
    auto pair = std::make_unique<RingPair>();
    auto ring = pair->open();
    lvif_message message{};
    for (std::uint32_t n = 0; n < LVIF_CONTROL_SLOTS; ++n) {
        message.id = n;
        ASSERT_TRUE(ring.put(message));
    }
    EXPECT_FALSE(ring.put(message));
    EXPECT_FALSE(ring.broken());
    EXPECT_EQ(pair->to_guest.head, 0U) << "not before publish";
    pair->to_guest.consumer_sleeps = 1;
    EXPECT_TRUE(ring.publish());
    EXPECT_FALSE(ring.publish()) << "nothing new";
    EXPECT_EQ(pair->to_guest.head, 32U);
    pair->to_guest.tail = 1;
    EXPECT_TRUE(ring.put(message));
}

TEST(ControlRing, ArmLooksOnceMore) {
    auto pair = std::make_unique<RingPair>();
    auto ring = pair->open();
    EXPECT_TRUE(ring.arm());
    EXPECT_EQ(pair->to_server.consumer_sleeps, 1U);
    pair->to_server.head = 1;
    EXPECT_FALSE(ring.arm());
    EXPECT_EQ(pair->to_server.consumer_sleeps, 0U);
}

TEST(ControlRing, ImpossiblePositionsBreakItForGood) {
    auto pair = std::make_unique<RingPair>();
    auto ring = pair->open();
    lvif_message message{};
    pair->to_server.head = 33;
    EXPECT_EQ(ring.take(message), ControlRing::Take::broken);
    pair->to_server.head = 1;
    EXPECT_EQ(ring.take(message), ControlRing::Take::broken);
    EXPECT_FALSE(ring.put(message));
    auto other = std::make_unique<RingPair>();
    auto second = other->open();
    other->to_guest.tail = 5;
    EXPECT_FALSE(second.put(message));
    EXPECT_TRUE(second.broken());
}

TEST(Memory, AGuestTakesLittleOfTheControlThread) {
    EXPECT_LT(sizeof(Guest) + sizeof(GuestRings), 2048U);
}

}  // namespace

}  // namespace librettos::test
