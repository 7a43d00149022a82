// SPDX-License-Identifier: BSD-2-Clause
// Port operations over the control ring, where the server is the portmap's authority.
#include <netinet/in.h>

#include <cerrno>

#include "portmap/reader.hpp"
#include "tests/unit/control/scene.hpp"
#include "tests/unit/portmap/memory_store.hpp"

namespace librettos::test {

namespace {

constexpr std::uint8_t tcp = IPPROTO_TCP;
constexpr std::uint8_t udp = IPPROTO_UDP;

lvif_message port_message(lvif_message_type type, std::uint32_t id, std::uint8_t protocol, std::uint16_t port,
                          std::uint16_t count) {
    auto message = request_of(type, id);
    message.u.port.protocol = protocol;
    message.u.port.port = port;
    message.u.port.count = count;
    return message;
}

}  // namespace

class PortsScene : public Scene {
  protected:
    PortsScene() { load_portmap(); }
    ~PortsScene() override { server.reset(); }

    // What a new server process does first.
    void load_portmap() {
        world.server_ports.reset();
        world.server_ports = std::make_unique<ServerPortmap>(
            std::make_unique<MemoryStore>(kept), server_domain, ServerPortmap::default_settings(),
            [this] { return std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()); });
    }
    void kill_server() {
        stop();
        load_portmap();
    }
    PortEntry entry(std::uint8_t protocol, std::uint16_t port) {
        return read_port(world.server_ports->table(), protocol, port);
    }
    // The reply to `id`; link, MTU and others are passed over.
    std::optional<lvif_message> reply_to(FakeGuest& guest, std::uint32_t id) {
        while (auto const message = guest.receive())
            if (message->type == LVIF_MSG_REPLY && message->id == id)
                return message;
        return std::nullopt;
    }
    lvif_message ask(FakeGuest& guest, lvif_message_type type, std::uint8_t protocol, std::uint16_t port,
                     std::uint16_t count = 1) {
        guest.send(port_message(type, ++last_id, protocol, port, count));
        advance(std::chrono::milliseconds(100));
        auto const reply = reply_to(guest, last_id);
        EXPECT_TRUE(reply) << "no reply to " << last_id;
        return reply.value_or(lvif_message{});
    }

    StoreContent kept;
    std::uint32_t last_id = 100;
};

TEST_F(PortsScene, BindLeaseRelease) {
    FakeGuest web(world, "web");
    FakeGuest cache(world, "cache");
    start();
    connect(web);
    connect(cache);
    EXPECT_EQ(web.offered(LVIF_KEY_PORT_AUTHORITY), "server");

    auto reply = ask(web, LVIF_MSG_PORT_BIND, tcp, 80);
    EXPECT_EQ(reply.status, 0);
    EXPECT_EQ(reply.u.port.protocol, tcp);
    EXPECT_EQ(reply.u.port.port, 80);
    EXPECT_EQ(reply.u.port.count, 1);
    EXPECT_TRUE(entry(tcp, 80).bound_to(web.domain));
    EXPECT_EQ(ask(cache, LVIF_MSG_PORT_BIND, tcp, 80).status, -EADDRINUSE);
    EXPECT_EQ(ask(cache, LVIF_MSG_PORT_RELEASE, tcp, 80).status, -EPERM);

    reply = ask(cache, LVIF_MSG_PORT_BIND, udp, 0);
    EXPECT_EQ(reply.status, 0);
    EXPECT_TRUE(entry(udp, reply.u.port.port).bound_to(cache.domain));

    reply = ask(cache, LVIF_MSG_PORT_LEASE, LVIF_PORT_TCP_AND_UDP, 0, 256);
    EXPECT_EQ(reply.status, 0);
    EXPECT_EQ(reply.u.port.count, 256);
    EXPECT_TRUE(entry(tcp, reply.u.port.port).leased());
    EXPECT_TRUE(entry(udp, static_cast<std::uint16_t>(reply.u.port.port + 255)).bound_to(cache.domain));

    EXPECT_EQ(ask(web, LVIF_MSG_PORT_RELEASE, tcp, 80).status, 0);
    EXPECT_EQ(entry(tcp, 80).word(), 0u);
    EXPECT_EQ(ask(cache, LVIF_MSG_PORT_RELEASE, LVIF_PORT_TCP_AND_UDP, 0, 0).status, 0);
    EXPECT_EQ(world.server_ports->query(udp, reply.u.port.port).owner_ports, 0u);
}

TEST_F(PortsScene, ImpossibleRequestsAreRefused) {
    FakeGuest web(world, "web");
    config.limits.ports = 4;
    start();
    connect(web);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, 1, 80).status, -EINVAL);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, LVIF_PORT_TCP_AND_UDP, 80).status, -EINVAL);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_LEASE, tcp, 0, 0).status, -EINVAL);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_RELEASE, tcp, 65535, 2).status, -EINVAL);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_LEASE, tcp, 0, 5).status, -EDQUOT);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_LEASE, tcp, 0, 4).status, 0);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, tcp, 80).status, -EDQUOT);
    EXPECT_EQ(ask(web, static_cast<lvif_message_type>(19), tcp, 80).status, -EOPNOTSUPP);
}

TEST_F(PortsScene, DedicatedGuestsHaveNoSharedPorts) {
    FakeGuest own(world, "own-1");
    start();
    connect(own, "dedicated");
    EXPECT_EQ(ask(own, LVIF_MSG_PORT_BIND, tcp, 80).status, -EOPNOTSUPP);
    EXPECT_EQ(entry(tcp, 80).word(), 0u);
}

TEST_F(PortsScene, AClaimIsInTheStoreBeforeItsAnswer) {
    FakeGuest web(world, "web");
    start();
    connect(web);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, tcp, 80).status, 0);
    kept.writes_left = 0;
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, tcp, 81).status, -EIO);
    EXPECT_EQ(entry(tcp, 81).word(), 0u);
    EXPECT_EQ(web.server_state(), LVIF_STATE_CONNECTED) << "the store's fault is not the guest's";
    kept.writes_left = ~std::size_t{0};
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, tcp, 81).status, 0);
    kill_server();
    start();
    EXPECT_TRUE(entry(tcp, 80).bound_to(web.domain));
    EXPECT_TRUE(entry(tcp, 81).bound_to(web.domain));
    EXPECT_EQ(web.server_state(), LVIF_STATE_CONNECTED);
    EXPECT_EQ(ask(web, LVIF_MSG_PORT_BIND, tcp, 80).status, 0) << "its own";
}

// Nothing that the guest asked is lost, whoever answers.
TEST_F(PortsScene, WhatAKilledServerDidNotAnswerTheNextOneDoes) {
    FakeGuest web(world, "web");
    start();
    connect(web);
    kill_server();
    for (std::uint32_t i = 0; i < 8; ++i)
        web.send(port_message(LVIF_MSG_PORT_BIND, 500 + i, tcp, static_cast<std::uint16_t>(8000 + i), 1));
    start();
    settle();
    for (std::uint32_t i = 0; i < 8; ++i) {
        auto const reply = reply_to(web, 500 + i);
        ASSERT_TRUE(reply);
        EXPECT_EQ(reply->status, 0);
    }
}

TEST_F(PortsScene, WithoutRoomForTheReplyNothingIsDone) {
    FakeGuest web(world, "web");
    start();
    connect(web);
    auto& answers = web.to_guest();
    answers.tail = answers.head;
    for (std::uint32_t i = 0; i < LVIF_CONTROL_SLOTS; ++i) {  // answers that the guest does not take
        web.send(request_of(LVIF_MSG_PORT_RELEASE, i));
        advance(std::chrono::milliseconds(20));
    }
    web.send(port_message(LVIF_MSG_PORT_BIND, 900, tcp, 80, 1));
    advance(std::chrono::seconds(1));
    EXPECT_EQ(entry(tcp, 80).word(), 0u);
    while (web.receive()) {
    }
    advance(std::chrono::seconds(1));
    EXPECT_TRUE(reply_to(web, 900));
    EXPECT_TRUE(entry(tcp, 80).bound_to(web.domain));
}

TEST_F(PortsScene, AGuestsRateIsBoundedAndNothingIsRefusedForIt) {
    FakeGuest web(world, "web");
    FakeGuest other(world, "other");
    start();
    connect(web);
    connect(other);
    auto const begin = now;
    std::uint32_t answered = 0;
    std::uint32_t sent = 0;
    kept.writes = 0;
    while (now - begin < std::chrono::seconds(2)) {
        while (web.to_server().head - web.to_server().tail < LVIF_CONTROL_SLOTS) {
            bool const release = sent % 2 == 1;
            web.send(port_message(release ? LVIF_MSG_PORT_RELEASE : LVIF_MSG_PORT_BIND, ++sent, tcp, 80, 1));
        }
        advance(std::chrono::milliseconds(1));
        while (auto const reply = web.receive()) {
            EXPECT_EQ(reply->status, 0);
            answered += reply->type == LVIF_MSG_REPLY;
        }
    }
    EXPECT_GT(answered, 300u);
    EXPECT_LE(answered, 128u + 400u + 2u) << "a burst, then one each 5 ms";
    EXPECT_LE(kept.writes, 2u * answered + 2u);
    EXPECT_EQ(ask(other, LVIF_MSG_PORT_BIND, tcp, 81).status, 0);
}

TEST_F(PortsScene, PortsOfTheDeadAreQuarantinedAlsoWhenNoServerSawThemDie) {
    FakeGuest seen(world, "seen");
    FakeGuest unseen(world, "unseen");
    start();
    connect(seen);
    connect(unseen);
    EXPECT_EQ(ask(seen, LVIF_MSG_PORT_BIND, tcp, 80).status, 0);
    EXPECT_EQ(ask(unseen, LVIF_MSG_PORT_BIND, tcp, 81).status, 0);
    seen.die();
    settle();
    EXPECT_EQ(entry(tcp, 80).state(), LVIF_PORT_QUARANTINED);
    kill_server();
    unseen.die();
    start();
    EXPECT_EQ(entry(tcp, 81).state(), LVIF_PORT_QUARANTINED);
    FakeGuest again(world, "unseen");
    connect(again);
    EXPECT_EQ(ask(again, LVIF_MSG_PORT_BIND, tcp, 80).status, -EADDRINUSE);
    EXPECT_EQ(ask(again, LVIF_MSG_PORT_BIND, tcp, 81).status, 0);
    advance(std::chrono::seconds(61));
    EXPECT_EQ(entry(tcp, 80).word(), 0u) << "ends by itself";
}

TEST_F(PortsScene, AnotherAuthorityMeansAnotherOffer) {
    FakeGuest web(world, "web");
    start();
    connect(web);
    stop();
    world.server_ports.reset();
    start();
    EXPECT_EQ(web.server_state(), LVIF_STATE_CLOSING);
    EXPECT_EQ(web.offered(LVIF_KEY_DETACH_REASON), "the portmap has another authority");
}

}  // namespace librettos::test
