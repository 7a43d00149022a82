// SPDX-License-Identifier: BSD-2-Clause
// The hypervisor refuses: each single call of a guest's life in turn, then calls at random.
#include <cstdio>

#include "tests/unit/control/scene.hpp"

namespace librettos::test {

namespace {

class Faults : public Scene {
  protected:
    // A whole life, with as many attempts as a patient guest would make. True: it was connected at some time.
    bool live(FakeGuest& guest) {
        bool connected = false;
        guest.open("dedicated");
        for (int n = 0; n < 12; ++n) {
            advance(std::chrono::seconds(1));
            switch (guest.server_state()) {
                case LVIF_STATE_INIT_WAIT:
                    guest.prepare();
                    guest.set_state(LVIF_STATE_INITIALISED);
                    break;
                case LVIF_STATE_CONNECTED:
                    connected = true;
                    guest.set_state(LVIF_STATE_CLOSED);
                    break;
                case LVIF_STATE_CLOSING:
                case LVIF_STATE_CLOSED:
                    guest.set_state(guest.key(LVIF_KEY_STATE) == "6" ? LVIF_STATE_INITIALISING : LVIF_STATE_CLOSED);
                    break;
                default:
                    break;
            }
        }
        return connected;
    }

    void end(FakeGuest& guest) {
        guest.die();
        advance(std::chrono::seconds(2));
        world.no_faults();
        advance(std::chrono::seconds(30));
        expect_no_trace(guest);
        EXPECT_EQ(world.mappings, 4) << "the bystander's";
        EXPECT_EQ(world.bound_channels, 2);
        EXPECT_EQ(world.watches.size(), 1U);
        EXPECT_EQ(plane().guests.size(), 1U);
        EXPECT_EQ(bystander.server_state(), LVIF_STATE_CONNECTED);
    }

    FakeGuest bystander{world, "bystander"};
};

TEST_F(Faults, EverySingleCallMayFail) {
    start();
    connect(bystander);
    std::uint64_t n = 1;
    for (;; ++n) {
        SCOPED_TRACE("call " + std::to_string(n));
        FakeGuest guest(world, "own-a");
        world.faults = 0;
        world.fail_call(n);
        EXPECT_TRUE(live(guest));
        end(guest);
        if (world.faults == 0 || HasFailure())
            break;
    }
    EXPECT_GT(n, 100U) << "a life has more calls than that";
}

TEST_F(Faults, CallsFailAtRandom) {
    start();
    connect(bystander);
    for (std::uint32_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        FakeGuest guest(world, "own-a");
        world.fail_sometimes(0.15, seed);
        live(guest);
        end(guest);
    }
}

TEST_F(Faults, EverySingleCallOfARecoveryMayFail) {
    FakeGuest waiting(world, "waiting");
    FakeGuest dead(world, "dead");
    start();
    connect(bystander);
    waiting.open();
    connect(dead);
    stop();
    dead.die();
    auto const after_crash = world.store;
    std::uint64_t n = 1;
    for (;; ++n) {
        SCOPED_TRACE("call " + std::to_string(n));
        world.store = after_crash;
        world.faults = 0;
        world.fail_call(n);
        now += std::chrono::minutes(1);
        if (n == 1) {  // the one watch; an engine without it would be blind: it must end
            EXPECT_THROW(start(), std::system_error);
            server.reset();
            continue;
        }
        start();
        advance(std::chrono::seconds(5));
        auto const faults = world.faults;
        world.no_faults();
        advance(std::chrono::seconds(30));
        EXPECT_EQ(waiting.server_state(), LVIF_STATE_INIT_WAIT);
        expect_no_trace(dead);
        ASSERT_NE(guest_of(bystander), nullptr);
        bool const connected = guest_of(bystander)->phase() == Guest::Phase::connected;
        EXPECT_TRUE(connected || bystander.server_state() == LVIF_STATE_CLOSING) << "kept, or told";
        stop();
        EXPECT_EQ(world.mappings, 0);
        if (faults == 0 || HasFailure())
            break;
    }
    EXPECT_GT(n, 30U);
}

TEST_F(Faults, LostHypervisorEndsTheEngineAndKeepsTheStore) {
    start();
    connect(bystander);
    auto const before = world.store;
    world.lost = true;
    EXPECT_THROW(server->guests->handle_store_events(now), std::system_error);
    stop();
    EXPECT_EQ(world.store, before);
    EXPECT_EQ(world.mappings, 0);
}

TEST_F(Faults, HypervisorLostInTheMiddleOfAnAttach) {
    start();
    connect(bystander);
    for (std::uint64_t n = 1; n < 20; ++n) {
        FakeGuest guest(world, "web");
        guest.open();
        settle();
        guest.prepare();
        guest.set_state(LVIF_STATE_INITIALISED);
        world.fail_call(n, ECONNRESET);
        EXPECT_THROW(settle(), std::system_error);
        stop();
        EXPECT_EQ(world.mappings, 0);
        world.no_faults();
        start();
        EXPECT_EQ(guest.server_state(), LVIF_STATE_CONNECTED);
        EXPECT_EQ(plane().guests.size(), 2U);
        guest.die();
        settle();
        expect_no_trace(guest);
    }
}

TEST_F(Faults, FullDataPlaneRefusesAndRecovers) {
    start();
    connect(bystander);
    plane().slots = 1;
    FakeGuest guest(world, "web");
    guest.open();
    settle();
    guest.prepare();
    guest.set_state(LVIF_STATE_INITIALISED);
    settle();
    EXPECT_EQ(guest.server_state(), LVIF_STATE_CLOSING);
    EXPECT_NE(guest.offered(LVIF_KEY_DETACH_REASON).find("all slots are taken"), std::string::npos);
    EXPECT_EQ(world.mappings, 4);
    plane().slots = 10;
    guest.set_state(LVIF_STATE_CLOSED);
    advance(std::chrono::seconds(1));
    connect(guest);
}

}  // namespace

}  // namespace librettos::test
