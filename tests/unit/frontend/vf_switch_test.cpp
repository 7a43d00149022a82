// SPDX-License-Identifier: BSD-2-Clause
// The guest's side of the switch, with a VF that behaves or fails as the test says.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <vector>

#include "fake_server.hpp"
#include "fake_world.hpp"
#include "guest.hpp"

namespace {

constexpr int enodev = -19;

// Keeps the rules of librettos/vf_switch.h: what is called out of turn is a violation.
class FakeVf {
  public:
    int open() {
        check(!begun, "open() while frames go through the VF");
        opens++;
        opened = true;
        return up_after > 0 ? (up_after--, 0) : open_result;
    }
    int begin() {
        check(opened, "begin() without open()");
        begins++;
        begun = true;
        return begin_after > 0 ? (begin_after--, 0) : begin_result;
    }
    void end() {
        check(begun, "end() without begin()");
        begun = false;
    }
    void close() {
        check(opened, "close() without open()");
        check(!begun, "close() while frames go through the VF");
        opened = false;
    }

    bool opened = false, begun = false;
    int opens = 0, begins = 0;
    int up_after = 0, begin_after = 0;  // calls that say "not yet"
    int open_result = 1, begin_result = 1;
    std::vector<std::string> violations;

  private:
    void check(bool holds, char const* rule) {
        if (!holds)
            violations.emplace_back(rule);
    }
};

FakeVf* the_vf;  // operations get the environment's context, which is the world's

lvif_vf_operations const operations = {
    .open = [](void*, std::uint8_t const*, std::uint16_t) { return the_vf->open(); },
    .begin = [](void*) { return the_vf->begin(); },
    .end = [](void*) { the_vf->end(); },
    .close = [](void*) { the_vf->close(); },
};

class VfSwitch : public testing::Test {
  protected:
    VfSwitch() {
        the_vf = &vf;
        world.vf = &operations;
    }
    ~VfSwitch() override {
        for (auto const& violation : vf.violations)
            ADD_FAILURE() << violation;
    }

    void connect() {
        ASSERT_EQ(guest.open(), 0);
        ASSERT_TRUE(guest.connect());
    }
    std::uint32_t say(lvif_message_type type, std::array<std::uint8_t, 6> mac = own_mac) {
        lvif_message message{};
        message.type = type;
        message.flags = LVIF_MSG_WANTS_REPLY;
        message.id = ++last_id;
        message.u.vf.serial = serial;
        std::memcpy(message.u.vf.mac, mac.data(), mac.size());
        server.send(message);
        return message.id;
    }
    // The status of the reply; nothing while there is none.
    std::optional<int> reply_to(std::uint32_t id) {
        for (auto const& reply : server.switch_replies) {
            if (reply.id == id) {
                EXPECT_EQ(reply.u.vf.serial, serial);
                return reply.status;
            }
        }
        return std::nullopt;
    }
    std::optional<int> ask(lvif_message_type type) {
        auto const id = say(type);
        guest.run_for(10000);
        return reply_to(id);
    }
    void go_direct() {
        ASSERT_EQ(ask(LVIF_MSG_SWITCH_PREPARE), 0);
        ASSERT_EQ(ask(LVIF_MSG_SWITCH_COMMIT), 0);
        ASSERT_EQ(lvif_path(guest.device), LVIF_PATH_DIRECT);
    }

    static constexpr std::array<std::uint8_t, 6> own_mac{2, 0, 0x5e, 0x10, 0, 7};
    static constexpr std::uint32_t serial = 17;
    FakeVf vf;
    FakeWorld world{1};
    FakeServer server{world};
    Guest guest{world, server};
    std::uint32_t last_id = 100;
};

TEST_F(VfSwitch, GoesThereAndBack) {
    connect();
    EXPECT_EQ(server.hello_flags, LVIF_HELLO_CAN_SWITCH);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_RINGS);
    ASSERT_EQ(ask(LVIF_MSG_SWITCH_PREPARE), 0);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_PREPARED);
    EXPECT_TRUE(vf.opened && !vf.begun);
    ASSERT_EQ(ask(LVIF_MSG_SWITCH_COMMIT), 0);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_DIRECT);
    EXPECT_TRUE(vf.opened && vf.begun);
    EXPECT_TRUE(guest.echo()) << "the rings stay";
    ASSERT_EQ(ask(LVIF_MSG_SWITCH_BACK), 0);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_PREPARED);
    EXPECT_TRUE(vf.opened && !vf.begun);
    ASSERT_EQ(ask(LVIF_MSG_SWITCH_RELEASE), 0);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_RINGS);
    EXPECT_FALSE(vf.opened);
}

TEST_F(VfSwitch, IsRefusedByAGuestWithoutVfs) {
    world.vf = nullptr;
    connect();
    EXPECT_EQ(server.hello_flags, 0u);
    for (auto const type :
         {LVIF_MSG_SWITCH_PREPARE, LVIF_MSG_SWITCH_COMMIT, LVIF_MSG_SWITCH_BACK, LVIF_MSG_SWITCH_RELEASE})
        EXPECT_EQ(ask(type), LVIF_EOPNOTSUPP);
    lvif_vf_lost(guest.device);
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_BACK), LVIF_EOPNOTSUPP);
}

TEST_F(VfSwitch, TakesAVfWithItsOwnAddressOnly) {
    connect();
    auto const id = say(LVIF_MSG_SWITCH_PREPARE, {2, 0, 0x5e, 0x10, 0, 8});
    guest.run_for(10000);
    EXPECT_EQ(reply_to(id), LVIF_EINVAL);
    EXPECT_EQ(vf.opens, 0);
}

TEST_F(VfSwitch, AnswersWhenTheVfIsUp) {
    connect();
    vf.up_after = 20;
    auto id = say(LVIF_MSG_SWITCH_PREPARE);
    guest.run_for(10000);
    EXPECT_EQ(reply_to(id), std::nullopt);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_RINGS);
    EXPECT_GE(vf.opens, 5) << "asked for within 1 ms each time";
    guest.run_for(30000);
    EXPECT_EQ(reply_to(id), 0);
    EXPECT_EQ(vf.opens, 21);

    vf.begin_after = 3;
    id = say(LVIF_MSG_SWITCH_COMMIT);
    guest.run_for(500);
    EXPECT_EQ(reply_to(id), std::nullopt);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_PREPARED);
    guest.run_for(10000);
    EXPECT_EQ(reply_to(id), 0);
}

TEST_F(VfSwitch, AVfThatDoesNotComeUpIsGivenUp) {
    connect();
    vf.open_result = enodev;
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_PREPARE), enodev);
    EXPECT_FALSE(vf.opened);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_RINGS);
    vf.open_result = 1;
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_PREPARE), 0);
    vf.begin_result = enodev;
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_COMMIT), enodev);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_PREPARED);
    EXPECT_TRUE(vf.opened && !vf.begun);
}

TEST_F(VfSwitch, CommitNeedsPrepare) {
    connect();
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_COMMIT), LVIF_EINVAL);
    EXPECT_EQ(vf.begins, 0);
}

TEST_F(VfSwitch, WhatIsReachedIsNotDoneAgain) {
    connect();
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_BACK), 0);
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_RELEASE), 0);
    go_direct();
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_PREPARE), 0);
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_COMMIT), 0);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_DIRECT);
    EXPECT_EQ(vf.opens, 1);
    EXPECT_EQ(vf.begins, 1);
}

TEST_F(VfSwitch, ReleaseUndoesAllAtOnce) {
    connect();
    go_direct();
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_RELEASE), 0);
    EXPECT_FALSE(vf.opened || vf.begun);

    vf.up_after = 1000000;
    auto const id = say(LVIF_MSG_SWITCH_PREPARE);
    guest.run_for(10000);
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_RELEASE), 0) << "takes the place of what was not reached";
    EXPECT_FALSE(vf.opened);
    guest.run_for(10000);
    EXPECT_EQ(reply_to(id), std::nullopt);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_RINGS);
}

TEST_F(VfSwitch, ALostVfIsToldUntilRelease) {
    connect();
    lvif_vf_lost(guest.device);  // there is none: nothing to tell
    guest.run_for(10000);
    EXPECT_EQ(server.vf_lost, 0u);
    go_direct();
    lvif_vf_lost(guest.device);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_RINGS);
    EXPECT_FALSE(vf.opened || vf.begun);
    guest.poll();
    guest.run_for(10000);
    EXPECT_EQ(server.vf_lost, 1u);
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_RELEASE), 0);
    go_direct();
}

TEST_F(VfSwitch, ALossIsKeptWhileTheRingIsFull) {
    connect();
    go_direct();
    server.answers_ports = false;  // from here on it takes nothing from the ring
    std::uint32_t ticket = 0;
    ASSERT_EQ(lvif_port_request(guest.device, LVIF_MSG_PORT_BIND, 6, 80, 1, &ticket), 0);
    lvif_message question{};
    question.type = 1000;
    question.flags = LVIF_MSG_WANTS_REPLY;
    for (unsigned i = 0; i < LVIF_CONTROL_SLOTS; i++) {
        server.send(question);
        guest.step();
    }
    lvif_vf_lost(guest.device);
    guest.poll();
    guest.run_for(10000);
    EXPECT_EQ(server.vf_lost, 0u);
    server.answers_ports = true;
    guest.run_for(10000);
    EXPECT_EQ(server.vf_lost, 1u);
}

TEST_F(VfSwitch, OutlivesTheServer) {
    connect();
    go_direct();
    server.crash();
    guest.poll();  // the life sign's event
    guest.run_for(1000000);
    EXPECT_EQ(lvif_path(guest.device), LVIF_PATH_DIRECT);
    EXPECT_TRUE(vf.begun);
    server.restart();
    guest.poll();
    guest.run_for(1000000);
    EXPECT_EQ(server.hello_flags, LVIF_HELLO_CAN_SWITCH | LVIF_HELLO_DIRECT);
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_COMMIT), 0) << "the next server makes sure";
    EXPECT_EQ(vf.begins, 1);
}

TEST_F(VfSwitch, EndsWithTheConnection) {
    connect();
    go_direct();
    server.detach("enough");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    EXPECT_FALSE(vf.opened || vf.begun);
    ASSERT_TRUE(guest.connect());
    EXPECT_EQ(server.hello_flags, LVIF_HELLO_CAN_SWITCH);
    EXPECT_EQ(server.vf_lost, 0u);
    go_direct();
    world.on_yield = [&] { server.turn(); };
    lvif_close(guest.device);
    EXPECT_FALSE(vf.opened || vf.begun);
    EXPECT_FALSE(world.leaks()) << world.held();
}

TEST_F(VfSwitch, AMarkIsOfTheSwitchThatItIsPreparedFor) {
    connect();
    auto const mark = [&](std::uint32_t value) { server.rx_header()->mark = value; };
    EXPECT_FALSE(lvif_rx_marked(guest.device, 0)) << "there was no switch";
    mark(serial);
    EXPECT_FALSE(lvif_rx_marked(guest.device, 0));
    ASSERT_EQ(ask(LVIF_MSG_SWITCH_PREPARE), 0);
    EXPECT_TRUE(lvif_rx_marked(guest.device, 0));
    for (std::uint32_t const other : {0u, serial - 1, serial + 1, ~0u}) {
        mark(other);
        EXPECT_FALSE(lvif_rx_marked(guest.device, 0)) << other;
    }
    mark(serial);
    EXPECT_FALSE(lvif_rx_marked(guest.device, 1));
    EXPECT_FALSE(lvif_rx_marked(guest.device, LVIF_MAX_QUEUES));
    server.detach("enough");
    ASSERT_TRUE(guest.run_until([&] { return guest.phase == LVIF_PHASE_DETACHED; }));
    EXPECT_FALSE(lvif_rx_marked(guest.device, 0)) << "it has no rings";
}

TEST_F(VfSwitch, IdleMeansTaken) {
    connect();
    EXPECT_TRUE(lvif_tx_idle(guest.device, 0));
    std::uint8_t const frame[64] = {};
    ASSERT_EQ(lvif_tx_frame(guest.device, 0, frame, sizeof frame, nullptr), 0);
    lvif_tx_publish(guest.device, 0);
    EXPECT_FALSE(lvif_tx_idle(guest.device, 0));
    server.turn();
    EXPECT_TRUE(lvif_tx_idle(guest.device, 0));
    EXPECT_TRUE(lvif_tx_idle(guest.device, LVIF_MAX_QUEUES));
}

// Whatever the server says and the VF does: rules are kept (FakeVf), and RELEASE leads home.
TEST_F(VfSwitch, AnyOrderLeadsHome) {
    connect();
    auto const seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    for (int step = 0; step < 20000; step++) {
        vf.open_result = vf.begin_result = random() % 4 == 0 ? enodev : 1;
        if (random() % 3 == 0)
            vf.up_after = vf.begin_after = static_cast<int>(random() % 4);
        auto const chance = random() % 1000;
        if (!server.alive() && chance < 200)
            server.restart();
        else if (chance < 20)
            lvif_vf_lost(guest.device);
        else if (chance < 30)
            server.crash();
        else if (chance < 32 && server.connected())
            server.detach("by chance");
        else
            say(static_cast<lvif_message_type>(LVIF_MSG_SWITCH_PREPARE + random() % 4));
        for (auto polls = random() % 6; polls > 0; polls--)
            guest.step();
    }
    if (!server.alive())
        server.restart();
    vf.up_after = vf.begin_after = 0;
    vf.open_result = vf.begin_result = 1;
    ASSERT_TRUE(guest.connect());
    go_direct();
    EXPECT_EQ(ask(LVIF_MSG_SWITCH_RELEASE), 0);
    EXPECT_FALSE(vf.opened || vf.begun);
    EXPECT_GT(vf.begins, 100) << "it got there often";
}

}  // namespace
