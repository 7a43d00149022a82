// SPDX-License-Identifier: BSD-2-Clause
// Guests that lie, flood and toggle: detached with a reason, at bounded cost, and nobody else notices.
#include <functional>
#include <random>

#include "daemon/engine/control/strict_text.hpp"
#include "tests/unit/control/scene.hpp"

namespace librettos::test {

namespace {

struct Lie {
    char const* name;
    std::function<void(FakeGuest&, World&)> tell;  // between preparing and Initialised
    char const* reason;                            // part of what is said about it
};

std::vector<Lie> const lies{
    {"queues missing", [](FakeGuest& g, World& w) { w.remove(g.frontend() + "/queues"); }, "queues is missing"},
    {"no queues", [](FakeGuest& g, World&) { g.set("queues", "0"); }, "queues is '0'"},
    {"many queues", [](FakeGuest& g, World&) { g.set("queues", "5"); }, "queues is '5', not 1..4"},
    {"negative", [](FakeGuest& g, World&) { g.set("queues", "-1"); }, "queues is '-1'"},
    {"plus", [](FakeGuest& g, World&) { g.set("queues", "+1"); }, "queues is '+1'"},
    {"leading zero", [](FakeGuest& g, World&) { g.set("queues", "01"); }, "queues is '01'"},
    {"blank", [](FakeGuest& g, World&) { g.set("queues", " 1"); }, "queues is ' 1'"},
    {"trailing", [](FakeGuest& g, World&) { g.set("queues", "1\n"); }, "queues is '1?'"},
    {"hex", [](FakeGuest& g, World&) { g.set("queues", "0x1"); }, "queues is '0x1'"},
    {"empty", [](FakeGuest& g, World&) { g.set("queues", ""); }, "queues is ''"},
    {"overflow", [](FakeGuest& g, World&) { g.set("queues", "18446744073709551617"); }, "queues is"},
    {"long", [](FakeGuest& g, World&) { g.set("queues", std::string(1000, '9')); }, "queues is"},
    {"small ring", [](FakeGuest& g, World&) { g.set("ring-bytes", "4096"); }, "ring-bytes is '4096'"},
    {"huge ring", [](FakeGuest& g, World&) { g.set("ring-bytes", "2147483648"); }, "ring-bytes is"},
    {"odd ring", [](FakeGuest& g, World&) { g.set("ring-bytes", "65552"); }, "not a power of two"},
    {"larger than shared", [](FakeGuest& g, World&) { g.set("ring-bytes", "131072"); }, "Invalid argument"},
    {"unknown region", [](FakeGuest& g, World&) { g.set("queue-0/tx-ring", "4000000000"); }, "No such file"},
    {"region too large", [](FakeGuest& g, World&) { g.set("queue-0/tx-ring", "4294967296"); }, "queue-0/tx-ring is"},
    {"unknown event", [](FakeGuest& g, World&) { g.set("queue-0/event", "77777"); }, "bind event 77777"},
    {"event missing", [](FakeGuest& g, World& w) { w.remove(g.frontend() + "/queue-0/event"); }, "is missing"},
    {"second queue missing", [](FakeGuest& g, World&) { g.set("queues", "2"); }, "queue-1/tx-ring is missing"},
    {"region twice", [](FakeGuest& g, World&) { g.set("queue-0/tx-ring", g.key("queue-0/rx-ring")); }, "one region"},
    {"control ring twice", [](FakeGuest& g, World&) { g.set("control-to-guest", g.key("control-to-server")); },
     "one region"},
    {"frame ring as control", [](FakeGuest& g, World&) { g.set("control-to-guest", g.key("queue-0/rx-ring")); },
     "one region"},
    {"event twice", [](FakeGuest& g, World&) { g.set("queue-0/event", g.key("control-event")); }, "one event port"},
    {"ring magic", [](FakeGuest& g, World&) { g.ring(0, true).magic = 1; }, "no magic number"},
    {"ring version", [](FakeGuest& g, World&) { g.ring(0, false).version = 2; }, "unknown version"},
    {"ring capacity", [](FakeGuest& g, World&) { g.ring(0, true).capacity = 1 << 30; }, "capacity is not ring-bytes"},
    {"ring features", [](FakeGuest& g, World&) { g.ring(0, true).features = 0x80; }, "features not offered"},
    {"features differ", [](FakeGuest& g, World&) { g.ring(0, true).features = 0; }, "features differ"},
    {"head ahead", [](FakeGuest& g, World&) { g.ring(0, true).head = 1 << 20; }, "impossible positions"},
    {"tail ahead", [](FakeGuest& g, World&) { g.ring(0, false).tail = 16; }, "impossible positions"},
    {"head unaligned", [](FakeGuest& g, World&) { g.ring(0, true).head = 8; }, "impossible positions"},
    {"control magic", [](FakeGuest& g, World&) { g.to_server().magic = 0; }, "no magic number"},
    {"control version", [](FakeGuest& g, World&) { g.to_guest().version = 9; }, "unknown version"},
    {"control positions", [](FakeGuest& g, World&) { g.to_server().head = 33; }, "impossible positions"},
};

class Hostile : public Scene {
  protected:
    Hostile() {
        start();
        connect(bystander);
    }
    ~Hostile() override { EXPECT_EQ(bystander.server_state(), LVIF_STATE_CONNECTED); }
    FakeGuest bystander{world, "bystander"};
};

TEST_F(Hostile, EveryLieInTheRequestIsFound) {
    for (auto const& lie : lies) {
        SCOPED_TRACE(lie.name);
        FakeGuest liar(world, "liar");
        liar.open();
        settle();
        liar.prepare();
        lie.tell(liar, world);
        liar.set_state(LVIF_STATE_INITIALISED);
        settle();
        EXPECT_EQ(liar.server_state(), LVIF_STATE_CLOSING);
        ASSERT_NE(guest_of(liar), nullptr);
        EXPECT_NE(guest_of(liar)->detach_reason().find(lie.reason), std::string::npos)
            << guest_of(liar)->detach_reason();
        EXPECT_LT(liar.offered(LVIF_KEY_DETACH_REASON).size(), sizeof(lvif_message::u.detached.reason));
        EXPECT_EQ(world.mappings, 4) << "the bystander's";
        EXPECT_EQ(world.bound_channels, 2);
        EXPECT_EQ(plane().guests.size(), 1U);
        liar.die();
        advance(std::chrono::seconds(1));
        expect_no_trace(liar);
    }
    EXPECT_EQ(server->guests->breaches(), lies.size());
}

TEST_F(Hostile, StatesOutOfTurn) {
    for (auto const* state : {"4", "7", "99999999999999999999", "-1", "", "04", "connected", "0"}) {
        SCOPED_TRACE(state);
        FakeGuest early(world, "early");
        early.set(LVIF_KEY_STATE, state);
        settle();
        EXPECT_EQ(early.server_state(), LVIF_STATE_CLOSING);
        EXPECT_EQ(early.offered(LVIF_KEY_DETACH_REASON), "connected without an offer: start over");
        early.die();
        FakeGuest waiting(world, "waiting");
        waiting.open();
        settle();
        waiting.set(LVIF_KEY_STATE, state);
        settle();
        EXPECT_EQ(waiting.server_state(), LVIF_STATE_CLOSING);
        EXPECT_EQ(waiting.offered(LVIF_KEY_DETACH_REASON), "frontend state out of turn");
        waiting.die();
        advance(std::chrono::seconds(1));
        expect_no_trace(early);
        expect_no_trace(waiting);
    }
}

TEST_F(Hostile, UnknownModeIsRefused) {
    FakeGuest guest(world, "web");
    guest.open("promiscuous");
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSED);
    EXPECT_EQ(guest.offered(LVIF_KEY_DETACH_REASON), "request-mode is neither shared nor dedicated");
}

TEST_F(Hostile, NamesThatAreNoneAreNotTaken) {
    for (auto const* name : {"", "../1", "a b", "-x", "a/b", "a\n"}) {
        FakeGuest guest(world, name);
        guest.open();
        settle();
        EXPECT_EQ(guest_of(guest), nullptr) << name;
    }
}

TEST_F(Hostile, TenThousandTogglesCostLittle) {
    FakeGuest guest(world, "toggler");
    connect(guest);
    auto const calls = world.calls;
    int const states[] = {LVIF_STATE_CLOSED, LVIF_STATE_INITIALISING, LVIF_STATE_INITIALISED, LVIF_STATE_CONNECTED};
    for (int n = 0; n < 10000; ++n) {
        guest.set_state(states[n % 4]);
        server->guests->handle_store_events(now);
        server->guests->handle_data_events(now);
        server->guests->handle_time(now);
        now += std::chrono::microseconds(100);
    }
    // A second's worth: 64 tokens at once, 10 more, each worth an offer at most; and one question per event, whether
    // the domain is alive.
    EXPECT_LT(world.calls - calls, 10000U + 80U * 40U);
    guest.die();
    advance(std::chrono::seconds(20));
    expect_no_trace(guest);
    EXPECT_EQ(world.mappings, 4);
}

TEST_F(Hostile, BreachesAreHeldOffEverLonger) {
    FakeGuest guest(world, "liar");
    guest.open();
    advance(std::chrono::milliseconds(1));
    std::uint64_t offers = 0;
    auto const end = now + std::chrono::minutes(1);
    while (now < end) {
        if (guest.server_state() == LVIF_STATE_INIT_WAIT) {
            ++offers;
            guest.set_state(LVIF_STATE_INITIALISED);
        } else if (guest.server_state() == LVIF_STATE_CLOSING) {
            guest.set_state(LVIF_STATE_CLOSED);
        } else {
            guest.set_state(LVIF_STATE_INITIALISING);
        }
        advance(std::chrono::milliseconds(50));
    }
    EXPECT_GE(offers, 5U);
    EXPECT_LE(offers, 14U);
}

TEST_F(Hostile, ForeignKeysCostNothing) {
    FakeGuest guest(world, "noisy");
    connect(guest);
    auto const calls = world.calls;
    for (int n = 0; n < 10000; ++n)
        guest.set("noise-" + std::to_string(n % 10), std::to_string(n));
    settle();
    EXPECT_EQ(world.calls, calls);
}

TEST_F(Hostile, OverflowingWatchesCauseFewScans) {
    auto const calls = world.calls;
    for (int n = 0; n < 10000; ++n) {
        world.changed("/local/domain");
        settle();
        now += std::chrono::microseconds(100);
    }
    auto const scans_at_most = 16U + 20U + 1U;
    EXPECT_LT(world.calls - calls, scans_at_most * 10U);
}

TEST_F(Hostile, ControlFloodIsBoundedPerTurnAndPerSecond) {
    FakeGuest guest(world, "chatty");
    connect(guest);
    advance(std::chrono::seconds(1));
    std::uint64_t taken = 0;
    for (int n = 0; n < 10000; ++n) {
        auto& control = guest.to_server();
        while (control.head - control.tail < LVIF_CONTROL_SLOTS) {
            auto message = request_of(LVIF_MSG_HELLO, ++control.head);
            control.slots[(control.head - 1) % LVIF_CONTROL_SLOTS] = message;
        }
        guest.to_guest().tail = guest.to_guest().head;
        guest.ring_control();
        auto const before = control.tail;
        settle();
        auto const took = control.tail - before;
        EXPECT_LE(took, LVIF_CONTROL_SLOTS);
        taken += took;
        now += std::chrono::microseconds(100);
    }
    EXPECT_GT(taken, 1000U);
    EXPECT_LT(taken, (64U + 200U + 2U) * 32U) << "a second's worth";
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED);
}

TEST_F(Hostile, ProgramNamesAreWrittenOncePerConnection) {
    FakeGuest guest(world, "chatty");
    connect(guest);
    auto const calls = world.calls;
    for (int n = 0; n < 200; ++n) {
        auto hello = request_of(LVIF_MSG_HELLO, 1);
        std::to_string(n).copy(hello.u.hello.program, 39);
        guest.send(hello);
        advance(std::chrono::milliseconds(20));
        guest.to_guest().tail = guest.to_guest().head;
    }
    EXPECT_EQ(world.calls, calls + 1);
    EXPECT_EQ(guest_of(guest)->program(), "0");
}

TEST_F(Hostile, BrokenControlRingDetaches) {
    for (bool const to_server : {true, false}) {
        FakeGuest guest(world, "broken");
        connect(guest);
        advance(std::chrono::seconds(1));
        if (to_server)
            guest.to_server().head += 33;
        else
            guest.to_guest().tail += 5;
        guest.ring_control();
        settle();
        if (!to_server) {  // shows when there is something to say
            server->guests->set_link({true, 1}, now);
            advance(std::chrono::seconds(1));
        }
        EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
        EXPECT_EQ(guest_of(guest)->detach_reason(), "control ring: impossible positions");
        guest.die();
        advance(std::chrono::seconds(1));
        expect_no_trace(guest);
    }
}

TEST_F(Hostile, RepliesWaitForRoomWithoutBeingKept) {
    FakeGuest guest(world, "deaf");
    connect(guest);
    for (std::uint32_t n = 0; n < 32; ++n)
        guest.send(request_of(999, n));
    advance(std::chrono::seconds(1));
    EXPECT_GT(guest.to_server().head - guest.to_server().tail, 0U) << "what cannot be answered is not taken";
    std::uint32_t replies = 0;
    for (int n = 0; n < 20; ++n) {
        while (auto const message = guest.receive())
            replies += message->type == LVIF_MSG_REPLY;
        advance(std::chrono::milliseconds(100));
    }
    EXPECT_EQ(replies, 32U);
}

TEST_F(Hostile, DoorbellStormWithoutMessages) {
    FakeGuest guest(world, "storm");
    connect(guest);
    advance(std::chrono::seconds(1));
    auto const before = turns;
    for (int n = 0; n < 1000; ++n)
        guest.ring_control();
    settle();
    EXPECT_LT(turns - before, 5U);
}

TEST_F(Hostile, DyingInEveryStateLeavesNothing) {
    std::mt19937 random(7);
    for (int n = 0; n < 300; ++n) {
        FakeGuest guest(world, "own-x");
        plane().hold_removals = random() % 2 == 0;
        guest.open(random() % 2 == 0 ? "shared" : "dedicated");
        int const stop_at = static_cast<int>(random() % 5);
        if (stop_at > 0)
            settle();
        if (stop_at > 1) {
            guest.prepare(1 + random() % 4);
            guest.set_state(LVIF_STATE_INITIALISED);
        }
        if (stop_at > 2)
            settle();
        if (stop_at > 3)
            guest.set_state(LVIF_STATE_CLOSING);
        guest.die();
        settle();
        plane_lets_go();
        advance(std::chrono::seconds(1));
        expect_no_trace(guest);
        ASSERT_EQ(world.mappings, 4);
    }
}

}  // namespace

}  // namespace librettos::test
