// SPDX-License-Identifier: BSD-2-Clause
// An engine dies, the next one finds what it left.
#include "tests/unit/control/scene.hpp"

namespace librettos::test {

namespace {

class Recovery : public Scene {
  protected:
    std::vector<std::unique_ptr<FakeGuest>> make(std::size_t count) {
        std::vector<std::unique_ptr<FakeGuest>> guests;
        for (std::size_t n = 0; n < count; ++n)
            guests.push_back(std::make_unique<FakeGuest>(world, "g" + std::to_string(n)));
        return guests;
    }
};

class RecoveryOfMany : public Recovery, public testing::WithParamInterface<std::size_t> {};

TEST_P(RecoveryOfMany, ConnectedGuestsGoOnInPlace) {
    auto const guests = make(GetParam());
    start();
    for (auto const& guest : guests)
        connect(*guest, "shared", 2);
    if (!guests.empty()) {
        guests[0]->ring(0, true).head = 1024;
        guests[0]->ring(0, true).tail = 512;
    }
    stop();
    EXPECT_EQ(world.mappings, 0);
    auto const before = world.store;
    for (auto const& guest : guests)
        EXPECT_EQ(guest->to_server().server_alive, 0);
    std::vector<std::uint64_t> notifications;
    for (auto const& guest : guests)
        notifications.push_back(guest->notifications());
    start();
    EXPECT_EQ(server->guests->readopted().guests, GetParam());
    EXPECT_EQ(plane().guests.size(), GetParam());
    EXPECT_EQ(plane().released_unclaimed, 2);
    EXPECT_EQ(world.store, before) << "no state changes";
    EXPECT_EQ(world.mappings, static_cast<int>(6 * GetParam()));
    for (std::size_t n = 0; n < guests.size(); ++n) {
        EXPECT_EQ(guests[n]->to_server().server_alive, 1);
        EXPECT_GE(guests[n]->notifications(), notifications[n] + 3) << "each channel was rung";
    }
}

TEST_P(RecoveryOfMany, EarlierStatesAreTakenUp) {
    auto const guests = make(4 * GetParam());
    start();
    for (std::size_t n = 0; n < guests.size(); ++n) {
        guests[n]->open();
        settle();
        advance(std::chrono::milliseconds(50));
    }
    for (std::size_t n = 1; n < guests.size(); n += 4)
        guests[n]->prepare();
    for (std::size_t n = 2; n < guests.size(); n += 4)
        server->guests->detach(*server->guests->find(guests[n]->name), "test", now);
    for (std::size_t n = 3; n < guests.size(); n += 4)
        guests[n]->set_state(LVIF_STATE_CLOSED);
    settle();
    stop();
    for (std::size_t n = 1; n < guests.size(); n += 4)
        guests[n]->set_state(LVIF_STATE_INITIALISED);
    start();
    for (std::size_t n = 0; n < guests.size(); ++n) {
        SCOPED_TRACE(n);
        int const expected[] = {LVIF_STATE_INIT_WAIT, LVIF_STATE_CONNECTED, LVIF_STATE_CLOSED, LVIF_STATE_CLOSED};
        EXPECT_EQ(guests[n]->server_state(), expected[n % 4]);
    }
    EXPECT_EQ(server->guests->readopted().guests, 0U);
}

INSTANTIATE_TEST_SUITE_P(Counts, RecoveryOfMany, testing::Values(0, 1, 64));

TEST_F(Recovery, GuestsThatLeftOrDiedMeanwhile) {
    auto const guests = make(3);
    start();
    for (auto const& guest : guests)
        connect(*guest);
    stop();
    guests[0]->set_state(LVIF_STATE_CLOSED);
    guests[1]->die();
    start();
    EXPECT_EQ(guests[0]->server_state(), LVIF_STATE_CLOSED);
    expect_no_trace(*guests[1]);
    EXPECT_EQ(guests[2]->server_state(), LVIF_STATE_CONNECTED);
    EXPECT_EQ(plane().guests.size(), 1U);
    EXPECT_EQ(world.mappings, 4);
}

TEST_F(Recovery, DetachedOnesAreOfTheModeThatTheyAskedFor) {
    FakeGuest own(world, "own-a");
    FakeGuest shared(world, "web");
    start();
    connect(own, "dedicated");
    connect(shared);
    for (auto const* const guest : {&own, &shared})
        server->guests->detach(*server->guests->find(guest->name), "test", now);
    settle();
    EXPECT_EQ(server->guests->find("own-a")->offer().mode, GuestMode::dedicated);
    stop();
    start();
    EXPECT_EQ(server->guests->find("own-a")->offer().mode, GuestMode::dedicated);
    EXPECT_EQ(server->guests->find("web")->offer().mode, GuestMode::shared);
}

TEST_F(Recovery, GarbageDetachesThatGuestAlone) {
    auto const guests = make(4);
    start();
    for (auto const& guest : guests)
        connect(*guest);
    stop();
    guests[0]->ring(0, true).head = 12345;
    guests[1]->to_server().head = 1U << 31;
    guests[2]->set("queue-0/rx-ring", "garbage");
    start();
    for (int n = 0; n < 3; ++n)
        EXPECT_EQ(guests[static_cast<std::size_t>(n)]->server_state(), LVIF_STATE_CLOSING) << n;
    EXPECT_EQ(guests[3]->server_state(), LVIF_STATE_CONNECTED);
    EXPECT_EQ(server->guests->readopted().guests, 1U);
    EXPECT_EQ(world.mappings, 4);
}

TEST_F(Recovery, AnotherDomainUnderTheSameNumberIsAStranger) {
    FakeGuest guest(world, "web");
    start();
    connect(guest);
    stop();
    world.domains[guest.domain] = "other";
    world.store["/local/domain/" + std::to_string(guest.domain.value) + "/name"] = "other";
    start();
    EXPECT_TRUE(plane().guests.empty());
    ASSERT_NE(guest_of(guest), nullptr);
    EXPECT_EQ(guest_of(guest)->name(), "other");
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
}

TEST_F(Recovery, DedicatedAddressesAreTakenFromThePool) {
    FakeGuest first(world, "own-a");
    start();
    connect(first, "dedicated");
    auto const address = first.offered(LVIF_KEY_IPV4);
    stop();
    start();
    FakeGuest second(world, "own-b");
    FakeGuest third(world, "own-c");
    FakeGuest fourth(world, "own-d");
    connect(second, "dedicated");
    connect(third, "dedicated");
    EXPECT_NE(second.offered(LVIF_KEY_IPV4), address);
    EXPECT_NE(third.offered(LVIF_KEY_IPV4), address);
    EXPECT_NE(second.offered(LVIF_KEY_IPV4), third.offered(LVIF_KEY_IPV4));
    fourth.open("dedicated");
    settle();
    EXPECT_EQ(fourth.server_state(), LVIF_STATE_CLOSED);
}

TEST_F(Recovery, LimitsSurvive) {
    FakeGuest guest(world, "web");
    start();
    connect(guest);
    GuestLimits const limits{1000, 5'000'000'000, 12};
    server->guests->set_limits(*server->guests->find("web"), limits);
    stop();
    world.port_limits.clear();
    start();
    EXPECT_EQ(guest_of(guest)->limits(), limits);
    EXPECT_EQ(plane().guests.begin()->second.limit.bits_per_s, 5'000'000'000U);
    EXPECT_EQ(world.port_limits[guest.domain], 12U);
}

TEST_F(Recovery, ChangedConfigurationIsCarriedThrough) {
    FakeGuest moved(world, "web");
    FakeGuest unwanted(world, "mail");
    start();
    connect(moved);
    connect(unwanted);
    stop();
    config.network.ipv4 = Subnet{"198.51.100.2", 24};
    config.attach.names = {"web"};
    start();
    EXPECT_EQ(moved.offered(LVIF_KEY_DETACH_REASON), "the server's addresses changed");
    EXPECT_EQ(unwanted.offered(LVIF_KEY_DETACH_REASON), "attach.names does not name this guest");
    EXPECT_TRUE(plane().guests.empty());
    moved.set_state(LVIF_STATE_CLOSED);
    settle();
    connect(moved);
    EXPECT_EQ(moved.offered(LVIF_KEY_IPV4), "198.51.100.2/24");
}

TEST_F(Recovery, LowerLimitsDoNotCutOffWhoIsConnected) {
    FakeGuest guest(world, "web");
    start();
    connect(guest, "shared", 4);
    stop();
    config.limits.queues = 1;
    start();
    EXPECT_EQ(plane().guests.begin()->second.queues.size(), 4U);
}

TEST_F(Recovery, FiftyDeathsGrowNothing) {
    auto const guests = make(8);
    start();
    for (auto const& guest : guests)
        connect(*guest);
    auto const before = world.store;
    for (int n = 0; n < 50; ++n) {
        stop();
        ASSERT_EQ(world.mappings, 0);
        start();
        ASSERT_EQ(plane().guests.size(), 8U);
        ASSERT_EQ(world.store, before);
    }
}

}  // namespace

}  // namespace librettos::test
