// SPDX-License-Identifier: BSD-2-Clause
// The offer as hostile input: each key alone wrong keeps the guest waiting, names the key, and harms nothing.
#include <gtest/gtest.h>

#include <array>
#include <ostream>

#include "guest.hpp"

namespace {

struct Wrong {
    char const* key;
    char const* value;  // nullptr: the key is missing
};

void PrintTo(Wrong const& wrong, std::ostream* to) {
    *to << wrong.key << " " << (wrong.value == nullptr ? "missing" : wrong.value);
}

class WrongOffer : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongOffer, is_named_and_waited_out) {
    FakeWorld world(1);
    FakeServer server(world);
    Guest guest(world, server);
    auto const [key, value] = GetParam();
    ASSERT_EQ(guest.open(), 0);
    guest.poll();
    server.write_offer();
    if (value != nullptr)
        world.write(FakeServer::backend + "/" + key, value);
    else
        world.remove(FakeServer::backend + "/" + key);
    EXPECT_EQ(guest.poll(), LVIF_PHASE_WAITING);
    EXPECT_EQ(std::string(lvif_detach_reason(guest.device)), std::string("unusable offer: ") + key);
    EXPECT_TRUE(world.regions().empty());

    world.remove(FakeServer::backend + "/" + key);
    server.write_offer();
    EXPECT_TRUE(world.watch_fired);
    ASSERT_TRUE(guest.connect());
    EXPECT_TRUE(world.violations.empty());
}

INSTANTIATE_TEST_SUITE_P(
    keys, WrongOffer,
    ::testing::Values(
        Wrong{"version", nullptr}, Wrong{"version", "2"}, Wrong{"version", "01"}, Wrong{"version", "1 "},
        Wrong{"version", ""}, Wrong{"version", "+1"}, Wrong{"version", "4294967297"}, Wrong{"mode", nullptr},
        Wrong{"mode", "Shared"}, Wrong{"mode", "sharedx"}, Wrong{"mode", ""}, Wrong{"mac", nullptr},
        Wrong{"mac", "02:00:5e:10:00"}, Wrong{"mac", "02:00:5e:10:00:07:08"}, Wrong{"mac", "02-00-5e-10-00-07"},
        Wrong{"mac", "03:00:5e:10:00:07"}, Wrong{"mac", "00:00:00:00:00:00"}, Wrong{"mac", "g2:00:5e:10:00:07"},
        Wrong{"ipv4", ""}, Wrong{"ipv4", "192.0.2.7"}, Wrong{"ipv4", "192.0.2.7/"}, Wrong{"ipv4", "192.0.2.7/33"},
        Wrong{"ipv4", "192.0.2.7/0"}, Wrong{"ipv4", "192.0.2/24"}, Wrong{"ipv4", "192.0.2.256/24"},
        Wrong{"ipv4", "192.0.02.7/24"}, Wrong{"ipv4", "224.0.0.1/24"}, Wrong{"ipv4", "0.0.0.0/24"},
        Wrong{"ipv4", "192.0.2.7/24x"}, Wrong{"gateway4", "192.0.2.1/24"}, Wrong{"gateway4", "x"},
        Wrong{"gateway4", "255.255.255.255"}, Wrong{"ipv6", "2001:db8::7"}, Wrong{"ipv6", "2001:db8::7/129"},
        Wrong{"ipv6", "2001:db8::7::/64"}, Wrong{"ipv6", "2001:db8:7/64"}, Wrong{"ipv6", ":1::2/64"},
        Wrong{"ipv6", "::/64"}, Wrong{"ipv6", "ff02::1/64"}, Wrong{"ipv6", "1:2:3:4:5:6:7:8:9/64"},
        Wrong{"ipv6", "12345::/64"}, Wrong{"gateway6", "fe80::1%eth0"}, Wrong{"mtu", nullptr}, Wrong{"mtu", "1279"},
        Wrong{"mtu", "9001"}, Wrong{"mtu", "-1500"}, Wrong{"mtu", "67036"}, Wrong{"vlan", "0"}, Wrong{"vlan", "4095"},
        Wrong{"features", nullptr}, Wrong{"features", "0x3f"}, Wrong{"features", "4294967296"},
        Wrong{"max-queues", "0"}, Wrong{"max-queues", "17"}, Wrong{"max-queues", nullptr},
        Wrong{"max-ring-bytes", "65535"}, Wrong{"max-ring-bytes", "16777217"}, Wrong{"max-ring-bytes", nullptr},
        Wrong{"port-authority", "nobody"}, Wrong{"port-authority", nullptr}, Wrong{"attach-serial", "0"},
        Wrong{"attach-serial", "4294967296"}, Wrong{"attach-serial", "x"},
        Wrong{"mac", "02:00:5e:10:00:07 and much more than any buffer on any stack should ever have to hold........"}));

TEST(Offer, is_read_in_full) {
    FakeWorld world(1);
    FakeServer server(world);
    Guest guest(world, server);
    server.offer["vlan"] = "4094";
    server.offer["port-authority"] = "server";
    server.offer["mtu"] = "9000";
    server.offer["attach-serial"] = "4294967295";
    ASSERT_EQ(guest.open(), 0);
    ASSERT_TRUE(guest.connect());
    auto const* offer = lvif_offer(guest.device);
    ASSERT_NE(offer, nullptr);
    EXPECT_EQ(offer->attach_serial, UINT32_MAX);
    EXPECT_EQ(offer->mode, LVIF_MODE_DEDICATED);
    EXPECT_EQ(std::to_array(offer->mac), (std::array<std::uint8_t, 6>{0x02, 0, 0x5e, 0x10, 0, 7}));
    EXPECT_EQ(std::to_array(offer->ipv4), (std::array<std::uint8_t, 4>{192, 0, 2, 7}));
    EXPECT_EQ(offer->ipv4_prefix, 24);
    EXPECT_EQ(std::to_array(offer->gateway4), (std::array<std::uint8_t, 4>{192, 0, 2, 1}));
    EXPECT_EQ(std::to_array(offer->ipv6),
              (std::array<std::uint8_t, 16>{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}));
    EXPECT_EQ(offer->ipv6_prefix, 64);
    EXPECT_EQ(offer->gateway6[0], 0xfe);
    EXPECT_EQ(offer->gateway6[15], 1);
    EXPECT_EQ(offer->mtu, 9000);
    EXPECT_EQ(offer->vlan, 4094);
    EXPECT_EQ(offer->max_queues, 4);
    EXPECT_EQ(offer->max_ring_bytes, 1048576U);
    EXPECT_EQ(offer->features, LVIF_F_ALL);
    EXPECT_TRUE(offer->port_authority_is_server);
}

TEST(Offer, may_lack_addresses_but_not_have_a_gateway_without_one) {
    FakeWorld world(1);
    FakeServer server(world);
    Guest guest(world, server);
    server.offer.erase("ipv4");
    ASSERT_EQ(guest.open(), 0);
    guest.run_for(1000000);
    EXPECT_STREQ(lvif_detach_reason(guest.device), "unusable offer: gateway4");
    for (char const* key : {"ipv6", "gateway4", "gateway6"}) {
        server.offer.erase(key);
        world.remove(FakeServer::backend + "/" + key);
    }
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(lvif_offer(guest.device)->ipv4_prefix, 0);
    EXPECT_EQ(lvif_offer(guest.device)->ipv6_prefix, 0);
}

// The caller saw one offer; what it connects with is that one.
TEST(Offer, that_changes_before_connecting_is_shown_again) {
    FakeWorld world(1);
    FakeServer server(world);
    Guest guest(world, server);
    ASSERT_EQ(guest.open(), 0);
    guest.poll();
    server.turn();
    ASSERT_EQ(guest.poll(), LVIF_PHASE_OFFERED);
    world.write(FakeServer::backend + "/mtu", "1400");
    ASSERT_EQ(guest.poll(), LVIF_PHASE_OFFERED);
    EXPECT_EQ(lvif_offer(guest.device)->mtu, 1400);
    EXPECT_EQ(guest.poll(), LVIF_PHASE_CONNECTING);
}

TEST(Offer, of_the_shared_address_is_not_taken_by_a_guest_that_is_never_shared) {
    FakeWorld world(1);
    FakeServer server(world);
    Guest guest(world, server);
    server.offer["mode"] = "shared";
    lvif_options wanted = Guest::options();
    wanted.never_shared = true;
    ASSERT_EQ(guest.open(wanted), 0);
    guest.run_for(1000000);
    EXPECT_EQ(guest.phase, LVIF_PHASE_OFFERED);
    EXPECT_EQ(lvif_offer(guest.device)->mode, LVIF_MODE_SHARED);
    EXPECT_EQ(guest.next_us(), UINT64_MAX) << "only a watch ends this wait";
    EXPECT_EQ(world.read(FakeServer::frontend + "/state"), "1");
    EXPECT_TRUE(world.regions().empty());
    server.offer["mode"] = "dedicated";
    server.write_offer();
    EXPECT_TRUE(guest.connect());
}

TEST(Offer, that_is_not_made_has_a_reason) {
    FakeWorld world(1);
    FakeServer server(world);
    Guest guest(world, server);
    ASSERT_EQ(guest.open(), 0);
    guest.poll();
    server.write_offer();
    world.write(FakeServer::backend + "/detach-reason", "no dedicated address: \x01");
    world.write(FakeServer::backend + "/state", "6");
    EXPECT_EQ(guest.poll(), LVIF_PHASE_WAITING);
    EXPECT_STREQ(lvif_detach_reason(guest.device), "no dedicated address: ?");
    world.write(FakeServer::backend + "/state", "2");
    EXPECT_EQ(guest.poll(), LVIF_PHASE_OFFERED);
    EXPECT_STREQ(lvif_detach_reason(guest.device), "");
}

}  // namespace
