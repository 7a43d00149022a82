// SPDX-License-Identifier: BSD-2-Clause
// The handshake with honest guests: each transition, addresses, limits, messages, the end.
#include "daemon/engine/control/strict_text.hpp"
#include "tests/unit/control/scene.hpp"

namespace librettos::test {

namespace {

class Handshake : public Scene {
  protected:
    Handshake() { start(); }
};

TEST_F(Handshake, OffersWhatTheConfigurationGives) {
    FakeGuest guest(world, "web");
    guest.open();
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
    EXPECT_EQ(guest.key(LVIF_KEY_BACKEND), guest.backend());
    EXPECT_EQ(guest.key(LVIF_KEY_BACKEND_ID), "1");
    EXPECT_EQ(guest.offered(LVIF_KEY_FRONTEND), guest.frontend());
    EXPECT_EQ(guest.offered(LVIF_KEY_FRONTEND_ID), std::to_string(guest.domain.value));
    EXPECT_EQ(guest.offered(LVIF_KEY_VERSION), "1");
    EXPECT_EQ(guest.offered(LVIF_KEY_MODE), "shared");
    EXPECT_EQ(guest.offered(LVIF_KEY_MAC), "02:00:00:00:00:01");
    EXPECT_EQ(guest.offered(LVIF_KEY_IPV4), "192.0.2.2/24");
    EXPECT_EQ(guest.offered(LVIF_KEY_GATEWAY4), "192.0.2.1");
    EXPECT_EQ(guest.offered(LVIF_KEY_IPV6), "2001:db8::2/64");
    EXPECT_FALSE(world.store.contains(guest.backend() + "/" LVIF_KEY_GATEWAY6));
    EXPECT_FALSE(world.store.contains(guest.backend() + "/" LVIF_KEY_VLAN));
    EXPECT_EQ(guest.offered(LVIF_KEY_MTU), "1500");
    EXPECT_EQ(guest.offered(LVIF_KEY_FEATURES), std::to_string(LVIF_F_ALL));
    EXPECT_EQ(guest.offered(LVIF_KEY_MAX_QUEUES), "4");
    EXPECT_EQ(guest.offered(LVIF_KEY_PORT_AUTHORITY), "hypervisor");
    EXPECT_EQ(world.readers[guest.domain], guest.backend());
    EXPECT_EQ(world.port_limits[guest.domain], config.limits.ports);
}

TEST_F(Handshake, ConnectsAndHandsTheRingsToTheDataPlane) {
    FakeGuest guest(world, "web");
    connect(guest, "shared", 3);
    ASSERT_EQ(plane().guests.size(), 1U);
    auto const& attached = plane().guests.begin()->second;
    EXPECT_EQ(attached.identity.domain, guest.domain);
    EXPECT_EQ(attached.name, "web");
    ASSERT_EQ(attached.queues.size(), 3U);
    EXPECT_EQ(attached.queues[2].capacity, LVIF_RING_MIN_CAPACITY);
    EXPECT_EQ(static_cast<void*>(attached.queues[1].tx_ring.data()), &guest.ring(1, true));
    EXPECT_EQ(attached.features, LVIF_F_TX_CSUM | LVIF_F_RX_CSUM);
    EXPECT_EQ(guest.ring(0, true).server_alive, 1);
    EXPECT_EQ(guest.to_server().server_alive, 1);
    EXPECT_EQ(world.mappings, 8);
    EXPECT_EQ(world.bound_channels, 4);
    EXPECT_EQ(server->guests->mappings(), 8U);
}

TEST_F(Handshake, LeavingGuestIsClosedOnceTheDataPlaneLetGo) {
    FakeGuest guest(world, "web");
    connect(guest);
    plane().hold_removals = true;
    guest.set_state(LVIF_STATE_CLOSING);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED) << "its memory is still in use";
    EXPECT_EQ(world.mappings, 4);
    plane_lets_go();
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(world.mappings, 0);
    EXPECT_EQ(world.bound_channels, 0);
    plane().hold_removals = false;
    guest.set_state(LVIF_STATE_CLOSED);
    settle();
    connect(guest);
}

TEST_F(Handshake, GuestThatStartsOverGetsANewOffer) {
    FakeGuest guest(world, "web");
    connect(guest);
    guest.set_state(LVIF_STATE_INITIALISING);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
    EXPECT_TRUE(plane().guests.empty());
    EXPECT_EQ(world.mappings, 0);
}

TEST_F(Handshake, GivesUpItsOfferWhenTheGuestCloses) {
    FakeGuest guest(world, "web");
    guest.open();
    settle();
    guest.set_state(LVIF_STATE_CLOSED);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    guest.set_state(LVIF_STATE_INITIALISING);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
}

TEST_F(Handshake, DeadDomainLeavesNothing) {
    FakeGuest connected(world, "web");
    FakeGuest waiting(world, "db");
    connect(connected);
    waiting.open();
    settle();
    plane().hold_removals = true;
    connected.die();
    waiting.die();
    settle();
    EXPECT_EQ(world.mappings, 4) << "not before the data plane let go";
    plane_lets_go();
    settle();
    EXPECT_EQ(world.mappings, 0);
    expect_no_trace(connected);
    expect_no_trace(waiting);
}

TEST_F(Handshake, RemovedDeviceIsForgottenAndMayComeBack) {
    FakeGuest guest(world, "web");
    connect(guest);
    world.remove(guest.frontend());
    settle();
    expect_no_trace(guest);
    connect(guest);
}

TEST_F(Handshake, OnlyDomainsOfTheConfigurationAreTaken) {
    server.reset();
    config.attach.names = {"web-*", "db"};
    start();
    FakeGuest wanted(world, "web-7");
    FakeGuest unwanted(world, "mail");
    wanted.open();
    unwanted.open();
    settle();
    EXPECT_EQ(wanted.server_state(), LVIF_STATE_INIT_WAIT);
    EXPECT_FALSE(world.has(unwanted.backend()));
    EXPECT_EQ(guest_of(unwanted), nullptr);
}

TEST_F(Handshake, DedicatedGuestGetsAnAddressOfThePool) {
    FakeGuest guest(world, "own-a");
    connect(guest, "dedicated");
    EXPECT_EQ(guest.offered(LVIF_KEY_MODE), "dedicated");
    EXPECT_TRUE(guest.offered(LVIF_KEY_IPV4).starts_with("192.0.2.1"));
    EXPECT_TRUE(guest.offered(LVIF_KEY_MAC).starts_with("02:4c:52:"));
    auto const& identity = plane().guests.begin()->second.identity;
    EXPECT_EQ(identity.mode, GuestMode::dedicated);
    EXPECT_EQ(to_text(identity.mac), guest.offered(LVIF_KEY_MAC));
}

TEST_F(Handshake, SameNameGetsTheSameAddressAgain) {
    auto first = std::make_unique<FakeGuest>(world, "own-a");
    connect(*first, "dedicated");
    auto const address = first->offered(LVIF_KEY_IPV4);
    auto const mac = first->offered(LVIF_KEY_MAC);
    first->die();
    settle();
    FakeGuest other(world, "own-b");
    connect(other, "dedicated");
    FakeGuest again(world, "own-a");
    connect(again, "dedicated");
    EXPECT_EQ(again.offered(LVIF_KEY_IPV4), address);
    EXPECT_EQ(again.offered(LVIF_KEY_MAC), mac);
    EXPECT_NE(other.offered(LVIF_KEY_IPV4), address);
}

TEST_F(Handshake, RefusedDedicatedGuestIsToldWhyAndServedWhenItCan) {
    std::vector<std::unique_ptr<FakeGuest>> guests;
    for (auto const* name : {"own-a", "own-b", "own-c"}) {
        guests.push_back(std::make_unique<FakeGuest>(world, name));
        connect(*guests.back(), "dedicated");
    }
    FakeGuest fourth(world, "own-d");
    fourth.open("dedicated");
    settle();
    EXPECT_EQ(fourth.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(fourth.offered(LVIF_KEY_DETACH_REASON), "no dedicated address: all 3 are in use");
    auto const& shown = server->guests->find(fourth.name)->offer();
    EXPECT_EQ(shown.mode, GuestMode::dedicated) << "which it asked for";
    EXPECT_FALSE(shown.ipv4.is_set());
    EXPECT_EQ(shown.mac, MacAddress{});
    FakeGuest outsider(world, "web");
    outsider.open("dedicated");
    settle();
    EXPECT_EQ(outsider.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(outsider.offered(LVIF_KEY_DETACH_REASON), "no dedicated address: not in attach.dedicated");
    guests.front()->die();
    advance(std::chrono::seconds(2));
    EXPECT_EQ(fourth.server_state(), LVIF_STATE_INIT_WAIT);
    EXPECT_EQ(outsider.server_state(), LVIF_STATE_CLOSED);
}

TEST_F(Handshake, LimitOfGuestsHolds) {
    server.reset();
    config.limits.guests = 2;
    start();
    FakeGuest a(world, "a");
    FakeGuest b(world, "b");
    FakeGuest c(world, "c");
    connect(a);
    connect(b);
    c.open();
    settle();
    EXPECT_EQ(c.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(c.offered(LVIF_KEY_DETACH_REASON), "limits.guests = 2 guests are attached");
    a.die();
    advance(std::chrono::seconds(2));
    EXPECT_EQ(c.server_state(), LVIF_STATE_INIT_WAIT);
}

TEST_F(Handshake, BrokenRingsDetachWithTheReason) {
    FakeGuest guest(world, "web");
    FakeGuest other(world, "db");
    connect(guest);
    connect(other);
    plane_breaks(*guest_of(guest)->slot(), "tx ring: record too long");
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
    EXPECT_EQ(guest.offered(LVIF_KEY_DETACH_REASON), "tx ring: record too long");
    std::optional<lvif_message> last;
    while (auto message = guest.receive())
        last = message;
    ASSERT_TRUE(last);
    EXPECT_EQ(last->type, LVIF_MSG_DETACHED);
    EXPECT_STREQ(last->u.detached.reason, "tx ring: record too long");
    EXPECT_EQ(server->guests->breaches(), 1U);
    EXPECT_EQ(world.mappings, 4) << "the other's";
    guest.set_state(LVIF_STATE_CLOSED);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    guest.set_state(LVIF_STATE_INITIALISING);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED) << "too early";
    advance(std::chrono::milliseconds(200));
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
    EXPECT_FALSE(world.store.contains(guest.backend() + "/" LVIF_KEY_DETACH_REASON));
    EXPECT_EQ(other.server_state(), LVIF_STATE_CONNECTED);
}

TEST_F(Handshake, OperatorsDetachHoldsUntilAttach) {
    FakeGuest guest(world, "web");
    connect(guest);
    server->guests->detach(*server->guests->find("web"), "maintenance", now);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
    guest.set_state(LVIF_STATE_CLOSED);
    guest.set_state(LVIF_STATE_INITIALISING);
    advance(std::chrono::minutes(1));
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    stop();
    start();
    advance(std::chrono::minutes(1));
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED) << "the next engine holds it, too";
    EXPECT_FALSE(world.store.contains(guest.backend() + "/" LVIF_KEY_ATTACH_SERIAL));
    server->guests->attach(*server->guests->find("web"), now);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
    EXPECT_EQ(guest.offered(LVIF_KEY_ATTACH_SERIAL), "1");
}

TEST_F(Handshake, EachAttachOfAnOperatorsHasANumberOfItsOwn) {
    FakeGuest guest(world, "web");
    connect(guest);
    auto const attach = [&] {
        server->guests->attach(*server->guests->find("web"), now);
        return guest.offered(LVIF_KEY_ATTACH_SERIAL);
    };
    EXPECT_EQ(attach(), "1");
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED) << "it stays";
    stop();
    start();
    EXPECT_EQ(attach(), "2") << "also over restarts";
    world.write(guest.backend() + "/" LVIF_KEY_ATTACH_SERIAL, "4294967295");
    EXPECT_EQ(attach(), "1");
}

TEST_F(Handshake, AnswersHelloWithLinkAndMtu) {
    FakeGuest guest(world, "web");
    connect(guest);
    while (guest.receive()) {
    }
    auto hello = request_of(LVIF_MSG_HELLO, 7);
    hello.u.hello.version = LVIF_CONTROL_VERSION;
    std::string("liblvif\x01 1.0").copy(hello.u.hello.program, 39);
    guest.send(hello);
    settle();
    auto const reply = guest.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->type, LVIF_MSG_REPLY);
    EXPECT_EQ(reply->id, 7U);
    EXPECT_EQ(reply->status, 0);
    auto const link = guest.receive();
    ASSERT_TRUE(link);
    EXPECT_EQ(link->type, LVIF_MSG_LINK);
    EXPECT_EQ(link->u.link.up, 0U);
    auto const mtu = guest.receive();
    ASSERT_TRUE(mtu);
    EXPECT_EQ(mtu->type, LVIF_MSG_MTU);
    EXPECT_EQ(mtu->u.mtu.mtu_bytes, 1500U);
    EXPECT_EQ(guest_of(guest)->program(), "liblvif? 1.0");

    server->guests->set_link({true, 10000}, now);
    settle();
    auto const up = guest.receive();
    ASSERT_TRUE(up);
    EXPECT_EQ(up->u.link.up, 1U);
    EXPECT_EQ(up->u.link.speed_mbps, 10000U);
}

TEST_F(Handshake, UnknownRequestsAreDeclinedAndOthersIgnored) {
    FakeGuest guest(world, "web");
    connect(guest);
    while (guest.receive()) {
    }
    guest.send(request_of(999, 1));
    guest.send(request_of(LVIF_MSG_PORT_BIND, 2));
    auto silent = request_of(998, 3);
    silent.flags = 0;
    guest.send(silent);
    settle();
    for (std::uint32_t const id : {1U, 2U}) {
        auto const reply = guest.receive();
        ASSERT_TRUE(reply);
        EXPECT_EQ(reply->id, id);
        EXPECT_EQ(reply->status, -EOPNOTSUPP);
    }
    EXPECT_FALSE(guest.receive());
}

TEST_F(Handshake, LinkIsToldWhenThereIsRoomAgain) {
    FakeGuest guest(world, "web");
    connect(guest);
    for (int n = 0; n < 100; ++n) {
        server->guests->set_link({n % 2 == 0, 1000}, now);
        settle();
        advance(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED);
    server->guests->set_link({true, 40000}, now);
    advance(std::chrono::seconds(1));
    while (guest.receive()) {
    }
    advance(std::chrono::seconds(1));
    std::optional<lvif_message> last;
    while (auto message = guest.receive())
        last = message;
    ASSERT_TRUE(last);
    EXPECT_EQ(last->u.link.speed_mbps, 40000U);
}

TEST_F(Handshake, LimitsAreAppliedLive) {
    FakeGuest guest(world, "web");
    connect(guest);
    server->guests->set_limits(*server->guests->find("web"), {1000, 2000, 30});
    auto const& limit = plane().limits.at(*guest_of(guest)->slot());
    EXPECT_EQ(limit.frames_per_s, 1000U);
    EXPECT_EQ(limit.bits_per_s, 2000U);
    EXPECT_EQ(world.port_limits[guest.domain], 30U);
}

TEST_F(Handshake, AThousandCyclesGrowNothing) {
    FakeGuest stays(world, "stays");
    connect(stays);
    auto const nodes = world.store.size();
    for (int n = 0; n < 1000; ++n) {
        FakeGuest guest(world, "web");
        connect(guest);
        if (n % 2 == 0) {
            guest.set_state(LVIF_STATE_CLOSED);
            settle();
        }
        guest.die();
        advance(std::chrono::milliseconds(100));
        ASSERT_EQ(server->guests->all().size(), 1U);
        ASSERT_EQ(world.mappings, 4);
        ASSERT_EQ(world.bound_channels, 2);
        ASSERT_EQ(world.store.size(), nodes);
        ASSERT_EQ(world.watches.size(), 1U);
    }
    EXPECT_EQ(plane().guests.size(), 1U);
    EXPECT_EQ(stays.server_state(), LVIF_STATE_CONNECTED);
}

TEST_F(Handshake, OneGuestTogglesAThousandTimesAndGrowsNothing) {
    FakeGuest guest(world, "web");
    connect(guest);
    auto const nodes = world.store.size();
    for (int n = 0; n < 1000; ++n) {
        guest.set_state(LVIF_STATE_CLOSED);
        advance(std::chrono::seconds(1));
        ASSERT_EQ(world.mappings, 0);
        std::erase_if(world.regions, [](auto const&) { return true; });
        std::erase_if(world.channels, [](auto const&) { return true; });
        connect(guest);
        ASSERT_EQ(world.store.size(), nodes);
    }
}

}  // namespace

}  // namespace librettos::test
