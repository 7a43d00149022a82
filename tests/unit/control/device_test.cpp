// SPDX-License-Identifier: BSD-2-Clause
// Where the host makes guests' devices, as on Xen: by the configuration's patterns and by an operator.
#include <arpa/inet.h>

#include "tests/unit/control/scene.hpp"

namespace librettos::test {

namespace {

constexpr Assignment dedicated{.mode = GuestMode::dedicated, .ipv4 = {}};

Ipv4Address address(std::uint8_t last) {
    return {htonl(0xc0000200U | last)};
}

class MadeDevice : public Scene {
  protected:
    MadeDevice() {
        world.host_makes_devices = true;
        config.attach.names = {"web-*"};
    }
    // What a guest does that finds its device made.
    void connect_made(FakeGuest& guest) {
        ASSERT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT) << guest.offered(LVIF_KEY_DETACH_REASON);
        connect(guest);
    }
};

TEST_F(MadeDevice, DomainsThatThePatternsNameGetOneAsTheyAppear) {
    FakeGuest early(world, "web-1");
    start();
    FakeGuest late(world, "web-2");
    FakeGuest other(world, "db");
    settle();
    for (auto* const guest : {&early, &late}) {
        EXPECT_EQ(guest->key(LVIF_KEY_BACKEND), guest->backend());
        EXPECT_EQ(guest->offered("domain"), guest->name);
        connect_made(*guest);
    }
    EXPECT_FALSE(world.has(other.frontend()));
    EXPECT_EQ(server->guests->all().size(), 2U);
    late.die();
    settle();
    expect_no_trace(late);
}

TEST_F(MadeDevice, OperatorAttachesByNameAndByNumberWhateverThePatternsSay) {
    FakeGuest by_name(world, "db");
    FakeGuest by_number(world, "mail");
    start();
    EXPECT_TRUE(server->guests->attach_domain("db", {}, now));
    EXPECT_TRUE(server->guests->attach_domain(std::to_string(by_number.domain.value), {}, now));
    EXPECT_FALSE(server->guests->attach_domain("nobody", {}, now));
    EXPECT_FALSE(server->guests->attach_domain(std::to_string(server_domain.value), {}, now)) << "the server itself";
    settle();
    connect_made(by_name);
    connect_made(by_number);
    stop();
    start();
    EXPECT_EQ(by_name.server_state(), LVIF_STATE_CONNECTED) << "the next engine knows that it was invited";
    EXPECT_EQ(server->guests->readopted().guests, 2U);
}

TEST_F(MadeDevice, NobodyIsAttachedTwice) {
    FakeGuest guest(world, "web-1");
    start();
    try {
        server->guests->attach_domain("web-1", {}, now);
        ADD_FAILURE() << "it has a device";
    } catch (std::system_error const& error) {
        EXPECT_EQ(error.code(), std::errc::file_exists);
    }
}

TEST_F(MadeDevice, OperatorsAssignmentBeatsTheGuestsWish) {
    FakeGuest any(world, "a");
    FakeGuest exact(world, "b");
    FakeGuest late(world, "c");
    start();
    server->guests->attach_domain("a", dedicated, now);
    server->guests->attach_domain("b", {.mode = GuestMode::dedicated, .ipv4 = address(12)}, now);
    server->guests->attach_domain("c", {.mode = GuestMode::dedicated, .ipv4 = address(12)}, now);
    settle();
    EXPECT_EQ(any.offered(LVIF_KEY_MODE), "dedicated");
    EXPECT_EQ(exact.offered(LVIF_KEY_IPV4), "192.0.2.12/24");
    EXPECT_EQ(late.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(late.offered(LVIF_KEY_DETACH_REASON), "no dedicated address: 192.0.2.12 is not free");
    exact.die();
    advance(std::chrono::seconds(2));
    EXPECT_EQ(late.offered(LVIF_KEY_IPV4), "192.0.2.12/24") << "it has become free";
    connect_made(any);
    EXPECT_EQ(any.offered(LVIF_KEY_MODE), "dedicated") << "it asked for a shared one";
}

TEST_F(MadeDevice, AttachAgainWithAnotherAddressStartsOver) {
    FakeGuest guest(world, "web-1");
    start();
    connect_made(guest);
    auto& served = *server->guests->find("web-1");
    server->guests->attach(served, now);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED) << "nothing new: nothing happens";
    server->guests->attach(served, now, Assignment{.mode = GuestMode::dedicated, .ipv4 = address(11)});
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
    guest.set_state(LVIF_STATE_CLOSED);
    settle();
    connect(guest);
    EXPECT_EQ(guest.offered(LVIF_KEY_IPV4), "192.0.2.11/24");
    server->guests->attach(served, now, Assignment{.mode = GuestMode::shared, .ipv4 = {}});
    settle();
    guest.set_state(LVIF_STATE_CLOSED);
    settle();
    connect(guest);
    EXPECT_EQ(guest.offered(LVIF_KEY_IPV4), "192.0.2.2/24");
}

TEST_F(MadeDevice, GuestThatAsksAfterTheOfferGetsAnother) {
    config.attach.names = {"own-*"};
    FakeGuest guest(world, "own-1");
    start();
    EXPECT_EQ(guest.offered(LVIF_KEY_MODE), "shared");
    guest.open("dedicated");
    settle();
    EXPECT_EQ(guest.offered(LVIF_KEY_MODE), "dedicated");
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
    guest.open("neither");
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(guest.offered(LVIF_KEY_DETACH_REASON), "request-mode is neither shared nor dedicated");
    connect(guest, "dedicated");
}

TEST_F(MadeDevice, GuestThatTakesTheOfferFromBeforeItAskedStartsOver) {
    config.attach.names = {"own-*"};
    FakeGuest guest(world, "own-1");
    start();
    EXPECT_EQ(guest.offered(LVIF_KEY_MODE), "shared");
    guest.open("dedicated");
    guest.prepare();
    guest.set_state(LVIF_STATE_INITIALISED);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
    guest.set_state(LVIF_STATE_CLOSED);
    settle();
    connect(guest, "dedicated");
    EXPECT_EQ(guest.offered(LVIF_KEY_MODE), "dedicated");
}

TEST_F(MadeDevice, GuestThatKeepsRemovingItsDeviceGetsItBackAtOurPace) {
    FakeGuest guest(world, "web-1");
    start();
    auto const before = world.calls;
    for (int n = 0; n < 1000; ++n) {
        world.remove(guest.frontend());
        settle();
    }
    EXPECT_LT((world.calls - before) / 1000, 60U);
    auto const made = world.calls;
    advance(std::chrono::seconds(1));
    EXPECT_LT(world.calls - made, 500U);
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
}

TEST_F(MadeDevice, DeviceMadeByOthersIsTakenUpUnlessNobodyWantsIt) {
    start();
    FakeGuest invited(world, "driver-guest");
    FakeGuest unwanted(world, "stranger");
    FakeHypervisor toolstack(world);
    toolstack.make_device(invited.domain, {{"domain", "driver-guest"}, {"invited", "1"}});
    toolstack.make_device(unwanted.domain, {{"domain", "stranger"}});
    settle();
    connect_made(invited);
    EXPECT_EQ(unwanted.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(unwanted.offered(LVIF_KEY_DETACH_REASON), "attach.names does not name this guest");
}

TEST_F(MadeDevice, GuestsThatMakeTheirOwnAreNotAttachedByHand) {
    world.host_makes_devices = false;
    FakeGuest guest(world, "web-1");
    start();
    EXPECT_FALSE(world.has(guest.frontend()));
    EXPECT_THROW(server->guests->attach_domain("web-1", {}, now), std::system_error);
}

}  // namespace

}  // namespace librettos::test
