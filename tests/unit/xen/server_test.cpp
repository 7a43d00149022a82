// SPDX-License-Identifier: BSD-2-Clause
// The server's control side on Xen: attach, connect, crash, die, faults; what is still open at the end: nothing.
#include "daemon/engine/control/guests.hpp"
#include "tests/unit/control/data_plane_double.hpp"
#include "tests/unit/xen/on_xen.hpp"

namespace librettos::test {

namespace {

using namespace librettos::control;

// One engine. Destroying it is a server's end, in whatever way: guests stay.
struct Engine {
    Engine(Config const& from, TimePoint now) : config(from), hypervisor(std::make_unique<EmptyPortmap>()), holder(-1) {
        boot.config = &config;
        boot.port.mac = {2, 0, 0, 0, 0, 1};
        data_plane = std::make_unique<DataPlane>(boot, network_identity(config, boot.port), hypervisor.portmap());
        guests = std::make_unique<Guests>(hypervisor, *data_plane, holder, config, boot.port);
        guests->start(now);
    }
    ~Engine() { data_plane.reset(); }

    Config const config;
    XenHypervisor hypervisor;
    HolderLink holder;
    EngineBoot boot;
    std::unique_ptr<DataPlane> data_plane;
    std::unique_ptr<Guests> guests;
};

class OnXenServer : public OnXen {
  protected:
    OnXenServer() {
        plane() = {};
        config.hypervisor = "xen";
        config.network.ipv4 = Subnet{"192.0.2.2", 24};
        config.attach.names = {"web*"};
    }
    ~OnXenServer() override { engine.reset(); }

    void start() {
        engine = std::make_unique<Engine>(config, now);
        settle();
    }
    void settle() {
        for (int quiet = 0, turns = 0; quiet < 2; ++turns) {
            ASSERT_LT(turns, 10000) << "the control thread never comes to rest";
            auto const before = xen.calls;
            engine->guests->handle_store_events(now);
            engine->guests->handle_data_events(now);
            engine->guests->handle_channels(now);
            engine->guests->handle_time(now);
            quiet = xen.calls - before <= 1 && engine->guests->next_wake() > now ? quiet + 1 : 0;
        }
    }
    void advance(Clock::duration time) {
        for (auto const end = now + time; now < end; now += std::chrono::milliseconds(50))
            settle();
    }
    void connect(XenGuest& guest) {
        ASSERT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT) << guest.offered(LVIF_KEY_DETACH_REASON);
        guest.prepare();
        guest.set_state(LVIF_STATE_INITIALISED);
        settle();
        ASSERT_EQ(guest.server_state(), LVIF_STATE_CONNECTED) << guest.offered(LVIF_KEY_DETACH_REASON);
        guest.set_state(LVIF_STATE_CONNECTED);
        settle();
    }

    Config config;
    TimePoint now{std::chrono::hours(1)};
    std::unique_ptr<Engine> engine;
};

constexpr int ring_pages = 1 + static_cast<int>(LVIF_RING_MIN_CAPACITY / LVIF_PAGE_BYTES);
constexpr int guest_pages = 2 + 2 * ring_pages;

TEST_F(OnXenServer, GuestIsAttachedConnectedAndForgotten) {
    start();
    XenGuest guest("web-1");
    settle();
    connect(guest);
    EXPECT_EQ(xen.mapped_pages, guest_pages);
    EXPECT_EQ(xen.open_channels, 2);
    EXPECT_EQ(guest.ring(true).server_alive, 1);
    guest.destroy();
    settle();
    EXPECT_EQ(xen.mapped_pages, 0) << "a dead guest is unmapped at once";
    EXPECT_EQ(xen.open_channels, 0);
    EXPECT_EQ(xen.open_watches, 3);
    EXPECT_FALSE(xen.has(guest.backend()));
    EXPECT_TRUE(engine->guests->all().empty());
}

TEST_F(OnXenServer, LeavingGuestComesBackOnTheSameDevice) {
    start();
    XenGuest guest("web-1");
    settle();
    for (int n = 0; n < 3; ++n) {
        connect(guest);
        guest.set_state(LVIF_STATE_CLOSING);
        settle();
        EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
        EXPECT_EQ(xen.mapped_pages, 0);
        EXPECT_EQ(guest.ring(true).server_alive, 0);
        guest.set_state(LVIF_STATE_CLOSED);
        guest.set_state(LVIF_STATE_INITIALISING);
        settle();
    }
}

TEST_F(OnXenServer, NextEngineMapsTheSameRings) {
    start();
    XenGuest guest("web-1");
    settle();
    connect(guest);
    auto const notified = guest.notifications();
    engine.reset();
    EXPECT_EQ(xen.open(), FakeXen::Open{});
    EXPECT_EQ(guest.ring(true).server_alive, 0);
    EXPECT_EQ(guest.ring(false).server_alive, 0);
    EXPECT_GT(guest.notifications(), notified) << "noticed without a time-out";
    start();
    EXPECT_EQ(engine->guests->readopted().guests, 1U);
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED);
    EXPECT_EQ(guest.ring(true).server_alive, 1);
    EXPECT_EQ(xen.mapped_pages, guest_pages);
}

TEST_F(OnXenServer, GuestThatDiedWithoutAServerLeavesNothing) {
    start();
    XenGuest guest("web-1");
    settle();
    connect(guest);
    engine.reset();
    guest.destroy();
    start();
    EXPECT_TRUE(engine->guests->all().empty());
    EXPECT_FALSE(xen.has(guest.backend()));
}

TEST_F(OnXenServer, ThousandDetachesAndAttachesCostNothing) {
    start();
    XenGuest guest("web-1");
    settle();
    connect(guest);
    auto const store_nodes = [&] { return xen.store.size(); };
    auto const detach_and_attach = [&] {
        engine->guests->detach(*engine->guests->find("web-1"), "test", now);
        settle();
        guest.set_state(LVIF_STATE_CLOSED);
        settle();
        guest.set_state(LVIF_STATE_INITIALISING);
        settle();
        engine->guests->attach(*engine->guests->find("web-1"), now);
        settle();
        now += std::chrono::seconds(10);
        settle();
        connect(guest);
        xen.events.clear();  // what the guest does not need any more, for the test's speed
    };
    detach_and_attach();
    auto const before = xen.open();
    auto const nodes = store_nodes();
    for (int n = 0; n < 50; ++n)
        detach_and_attach();
    EXPECT_EQ(xen.open(), before);
    EXPECT_EQ(store_nodes(), nodes);
}

TEST_F(OnXenServer, HostileDirectoryIsABreachAndNothingStaysMapped) {
    start();
    XenGuest guest("web-1");
    XenGuest bystander("web-2");
    settle();
    connect(bystander);
    auto const before = xen.open();
    guest.prepare();
    guest.set("queue-0/" LVIF_KEY_RX_RING, "4000000");
    guest.set_state(LVIF_STATE_INITIALISED);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
    EXPECT_EQ(xen.open(), before);
    EXPECT_EQ(engine->guests->breaches(), 1U);
    EXPECT_EQ(bystander.server_state(), LVIF_STATE_CONNECTED);
}

TEST_F(OnXenServer, EachCallMayFailInAGuestsLife) {
    for (std::uint64_t n = 1;; ++n) {
        SCOPED_TRACE("call " + std::to_string(n));
        xen.reset();
        auto const faults = xen.faults;
        bool ended = false;
        try {
            start();
            XenGuest guest("web-1");
            xen.fail_call(n, ENOMEM);
            advance(std::chrono::milliseconds(300));
            guest.prepare();
            guest.set_state(LVIF_STATE_INITIALISED);
            advance(std::chrono::milliseconds(500));
            guest.destroy();
            advance(std::chrono::milliseconds(500));
            ended = xen.faults == faults;
            xen.no_faults();
            advance(std::chrono::seconds(1));
            EXPECT_EQ(xen.mapped_pages, 0);
            EXPECT_TRUE(engine->guests->all().empty());
            EXPECT_FALSE(xen.has(guest.backend()));
        } catch (std::system_error const& error) {
            EXPECT_EQ(error.code(), std::errc::connection_reset) << error.what();  // the engine ends, the next goes on
        }
        engine.reset();
        ASSERT_EQ(xen.open(), FakeXen::Open{});
        if (ended)
            break;
        ASSERT_LT(n, 2000U);
    }
}

TEST_F(OnXenServer, CallsFailAtRandom) {
    for (std::uint32_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        xen.reset();
        try {
            start();
            xen.fail_sometimes(0.02, seed);
            XenGuest guest("web-1");
            for (int n = 0; n < 20; ++n) {
                advance(std::chrono::milliseconds(200));
                guest.prepare();
                guest.set_state(n % 2 == 0 ? LVIF_STATE_INITIALISED : LVIF_STATE_CLOSED);
                advance(std::chrono::milliseconds(100));
                guest.set_state(LVIF_STATE_INITIALISING);
            }
            guest.destroy();
            advance(std::chrono::seconds(1));
            xen.no_faults();
            advance(std::chrono::seconds(12));
            EXPECT_EQ(xen.mapped_pages, 0);
            EXPECT_EQ(xen.open_channels, 0);
            EXPECT_TRUE(engine->guests->all().empty());
        } catch (std::system_error const& error) {
            EXPECT_EQ(error.code(), std::errc::connection_reset) << error.what();
        }
        xen.no_faults();
        engine.reset();
        ASSERT_EQ(xen.open(), FakeXen::Open{});
    }
}

}  // namespace

}  // namespace librettos::test
