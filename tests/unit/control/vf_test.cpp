// SPDX-License-Identifier: BSD-2-Clause
// Guests that are switched between the server and VFs: by the operator, by what goes wrong, over the lives of engines.
#include "tests/unit/control/vf_scene.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>

#include "daemon/engine/control/api_commands.hpp"

namespace librettos::test {

namespace {

using Step = VfSwitch::Step;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Json = ApiCommands::Json;

class Vfs : public VfScene {
  protected:
    using VfScene::VfScene;
    Step step(VfGuest const& guest) { return found(guest).vf_switch().step(); }
    Json ask(Json request) {
        ApiCommands commands(server->boot, server->config);
        commands.connected(server->hypervisor, *server->guests);
        request["schema"] = 1;
        return Json::parse(commands.answer(request.dump()));
    }
};

TEST_F(Vfs, ThereAndBack) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    expect_at_server(guest);
    to_direct(guest);
    expect_direct(guest);
    EXPECT_EQ(guest.told, (std::vector<std::uint16_t>{LVIF_MSG_SWITCH_PREPARE, LVIF_MSG_SWITCH_COMMIT}));
    EXPECT_EQ(found(guest).vf_switch().frames_drained(), 7u);
    EXPECT_EQ(plane().marks.at(*found(guest).slot()), guest.serial) << "of the PREPARE that the guest was sent";
    EXPECT_EQ(plane().watched.at(*found(guest).slot()), (PlaneView::Watched{0, holder.nic.steered_by, guest.serial}));
    to_server(guest);
    expect_at_server(guest);
    EXPECT_TRUE(found(guest).vf_switch().report().reached);
    EXPECT_EQ(plane().watched.at(*found(guest).slot()), (PlaneView::Watched{0, holder.nic.steered_by, 0}));
}

// As the data plane has it for frames of the rings: the guest knows of no tag by either way.
TEST_F(Vfs, AVfIsInTheWiresVlan) {
    config.network.vlan = 42;
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    to_direct(guest);
    expect_direct(guest);
    EXPECT_EQ(holder.nic.vlan.at(0), 42);
    EXPECT_EQ(guest.vlan, 0);
}

TEST_F(Vfs, StepsAreTimed) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    plane().hold_drains = true;
    to_direct(guest);
    EXPECT_EQ(step(guest), Step::draining);
    now += milliseconds(30);
    plane_drained(*found(guest).slot());
    settle_all();
    expect_direct(guest);
    auto const& report = found(guest).vf_switch().report();
    ASSERT_EQ(report.steps.size(), 5u);
    EXPECT_EQ(report.steps[0].step, Step::giving);
    EXPECT_EQ(report.steps[3].step, Step::draining);
    EXPECT_EQ(report.steps[3].took, milliseconds(30));
    EXPECT_EQ(report.took, milliseconds(30));
}

// Keeps a switch in one step, whichever side that step waits for.
void hold(Step step, VfGuest& guest, FakeHolder& holder) {
    switch (step) {
        case Step::giving:
            holder.held = {VfOperation::give};
            break;
        case Step::preparing:
            guest.silent = {LVIF_MSG_SWITCH_PREPARE};
            break;
        case Step::steering:
            holder.held = {VfOperation::steer_to_vf};
            break;
        case Step::draining:
            plane().hold_drains = true;
            break;
        case Step::committing:
            guest.silent = {LVIF_MSG_SWITCH_COMMIT};
            break;
        case Step::returning:
            guest.silent = {LVIF_MSG_SWITCH_BACK};
            break;
        case Step::steering_back:
            holder.held = {VfOperation::steer_to_port};
            break;
        case Step::releasing:
            guest.silent = {LVIF_MSG_SWITCH_RELEASE};
            break;
        case Step::taking:
            holder.held = {VfOperation::take};
            break;
        default:
            break;
    }
}

class VfsInStep : public Vfs, public testing::WithParamInterface<Step> {
  protected:
    // A guest whose switch there, or back, is in the middle of that step.
    void get_there(VfGuest& guest) {
        start_server();
        connect_own(guest);
        if (GetParam() >= Step::direct) {
            to_direct(guest);
            expect_direct(guest);
        }
        hold(GetParam(), guest, holder);
        if (GetParam() > Step::direct)
            to_server(guest);
        else if (GetParam() < Step::direct)
            to_direct(guest);
        ASSERT_EQ(step(guest), GetParam()) << to_text(step(guest));
    }
    void let_go(VfGuest& guest) {
        holder.held.clear();
        guest.silent.clear();
        plane().hold_drains = false;
    }
};

TEST_P(VfsInStep, AServerThatDiesIsCompletedOrUndone) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    stop();
    let_go(guest);
    start_server();
    advance_all(seconds(1));
    if (GetParam() >= Step::steering && GetParam() <= Step::direct)
        expect_direct(guest);
    else
        expect_at_server(guest);
}

TEST_P(VfsInStep, AServerThatDiesAgainAndAgain) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    for (int n = 0; n < 3; ++n) {
        stop();
        start_server();
    }
    stop();
    let_go(guest);
    start_server();
    advance_all(seconds(10));
    EXPECT_TRUE(found(guest).vf_switch().idle());
    if (step(guest) == Step::direct)
        expect_direct(guest);
    else
        expect_at_server(guest);
}

TEST_P(VfsInStep, AGuestThatDiesLosesItsVf) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    guest.die();
    world.changed("/local/domain");
    guests.clear();
    let_go(guest);
    advance_all(seconds(10));
    expect_no_trace(guest);
    EXPECT_TRUE(holder.nic.given.empty());
    EXPECT_TRUE(holder.nic.steered.empty());
    EXPECT_FALSE(server->guests->vfs().find(0)->owner);
}

TEST_P(VfsInStep, AGuestThatDiesWithoutAServerLosesItsVf) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    stop();
    guest.die();
    guests.clear();
    let_go(guest);
    start_server();
    advance_all(seconds(10));
    expect_no_trace(guest);
    EXPECT_TRUE(holder.nic.given.empty());
    EXPECT_TRUE(holder.nic.steered.empty());
    EXPECT_FALSE(server->guests->vfs().find(0)->owner);
}

TEST_P(VfsInStep, AGuestThatStaysSilentEndsAtTheServerOrGoesOn) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    guest.silent = {LVIF_MSG_SWITCH_PREPARE, LVIF_MSG_SWITCH_COMMIT, LVIF_MSG_SWITCH_BACK, LVIF_MSG_SWITCH_RELEASE};
    holder.held.clear();
    plane().hold_drains = false;
    plane_drained(*found(guest).slot());
    advance_all(seconds(20));
    if (GetParam() == Step::direct)
        return;  // nobody asks it anything
    EXPECT_EQ(step(guest), Step::rings);
    EXPECT_TRUE(holder.nic.given.empty()) << "whatever the guest does";
    EXPECT_TRUE(holder.nic.steered.empty());
}

TEST_P(VfsInStep, ADetachedGuestConnectsAnewWhenItsVfIsBack) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    holder.held = {VfOperation::take};
    guest.set_state(LVIF_STATE_CLOSED);
    settle_all();
    guest.up = guest.direct = false;
    guest.open("dedicated");
    advance_all(seconds(1));
    EXPECT_NE(guest.server_state(), LVIF_STATE_INIT_WAIT) << "its VF is not back";
    let_go(guest);
    advance_all(seconds(10));
    EXPECT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT);
    guests.clear();
    connect_own(guest);
    expect_at_server(guest);
    to_direct(guest);
    expect_direct(guest);
}

TEST_P(VfsInStep, AVfWhoseLinkGoesDownIsNotUsed) {
    VfGuest guest(world, "own-1");
    get_there(guest);
    if (GetParam() <= Step::preparing || GetParam() >= Step::returning)
        return;  // not seen up yet, the guest has to say so; or it is on its way back already
    holder.set_vf(0, true, false);
    guest.direct = false;  // it sees that, too
    settle_all();
    let_go(guest);
    plane_drained(*found(guest).slot());
    advance_all(seconds(10));
    expect_at_server(guest);
}

INSTANTIATE_TEST_SUITE_P(Steps, VfsInStep,
                         testing::Values(Step::giving, Step::preparing, Step::steering, Step::draining,
                                         Step::committing, Step::direct, Step::returning, Step::steering_back,
                                         Step::releasing, Step::taking),
                         [](auto const& the) {
                             std::string name = to_text(the.param);
                             std::erase(name, '-');
                             return name;
                         });

TEST_F(Vfs, ARefusalLeavesTheGuestWhereItWas) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    guest.refuses = {{LVIF_MSG_SWITCH_PREPARE, -ENODEV}};
    to_direct(guest);
    expect_at_server(guest);
    EXPECT_NE(found(guest).vf_switch().report().reason.find("No such device"), std::string::npos);
    guest.refuses.clear();
    holder.fails = {{VfOperation::steer_to_vf, -EIO}};
    to_direct(guest);
    expect_at_server(guest);
    EXPECT_NE(found(guest).vf_switch().report().reason.find("steering"), std::string::npos);
}

TEST_F(Vfs, WhatTheGuestLosesIsTakenBack) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    to_direct(guest);
    guest.direct = false;
    auto lost = request_of(LVIF_MSG_VF_LOST, 0);
    lost.flags = 0;
    guest.send(lost);
    settle_all();
    expect_at_server(guest);
}

TEST_F(Vfs, AGuestThatGreetsFromTheRingsIsBack) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    to_direct(guest);
    guest.direct = false;
    guest.hello(LVIF_HELLO_CAN_SWITCH);
    settle_all();
    expect_at_server(guest);
}

TEST_F(Vfs, TwoGuestsAndOneVf) {
    VfGuest first(world, "own-1");
    VfGuest second(world, "own-2");
    start_server();
    connect_own(first);
    connect_own(second);
    to_direct(first);
    auto const refused = ask({{"command", "switch"}, {"guest", "own-2"}, {"to", "direct"}});
    EXPECT_EQ(refused.at("error").at("code"), "busy") << refused;
    auto const named = ask({{"command", "switch"}, {"guest", "own-2"}, {"to", "direct"}, {"vf", 0}});
    EXPECT_EQ(named.at("error").at("message"), "vf0 is own-1's");
    to_server(first);
    EXPECT_TRUE(ask({{"command", "switch"}, {"guest", "own-2"}, {"to", "direct"}}).at("ok"));
    settle_all();
    expect_direct(second);
    expect_at_server(first);
}

// Replies, losses and greetings that nothing asked for, in every order, do nothing to others.
TEST_F(Vfs, AForgerHarmsNobodyElse) {
    VfGuest honest(world, "own-1");
    VfGuest forger(world, "own-2");
    start_server();
    connect_own(honest);
    connect_own(forger);
    to_direct(honest);
    auto const asked = holder.asked.size();
    std::mt19937 random(1);
    for (int n = 0; n < 2000; ++n) {
        auto message =
            request_of(static_cast<std::uint16_t>(random() % 2 == 0 ? unsigned{LVIF_MSG_REPLY} : 32 + random() % 8),
                       static_cast<std::uint32_t>(found(honest).vf_switch().serial() << 4 | random() % 16));
        message.flags = static_cast<std::uint16_t>(random() % 2);
        message.u.vf.serial = found(honest).vf_switch().serial();
        forger.send(message);
        advance_all(milliseconds(20));
        if (forger.server_state() != LVIF_STATE_CONNECTED)
            break;
    }
    expect_direct(honest);
    expect_at_server(forger);
    EXPECT_EQ(holder.asked.size(), asked);
}

TEST_F(Vfs, WhatCannotBeSwitchedIsRefused) {
    VfGuest shared(world, "web");
    VfGuest plain(world, "own-1");
    start_server();
    connect(shared);
    connect_own(plain);
    plain.hello(0);
    settle_all();
    auto const message = [&](Json const& request) {
        auto const reply = ask(request);
        return reply.at("ok") == true ? "ok" : reply.at("error").at("message").get<std::string>();
    };
    EXPECT_NE(message({{"command", "switch"}, {"guest", "web"}, {"to", "direct"}}).find("address of its own"),
              std::string::npos);
    EXPECT_NE(message({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}}).find("cannot use a VF"),
              std::string::npos);
    plain.hello(LVIF_HELLO_CAN_SWITCH);
    settle_all();
    EXPECT_NE(message({{"command", "switch"}, {"guest", "own-1"}, {"to", "up"}}).find("'to'"), std::string::npos);
    EXPECT_NE(message({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}, {"vf", 7}}).find("no VF 7"),
              std::string::npos);
    EXPECT_NE(
        message({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}, {"timeout_ms", -1}}).find("'timeout_ms'"),
        std::string::npos);
    holder.set_vf(0, false, false);
    settle_all();
    EXPECT_NE(message({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}}).find("no VF is free"),
              std::string::npos);
    EXPECT_TRUE(guests.front()->told.empty());
}

TEST_F(Vfs, TheOperatorSeesItAll) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    auto const plan = ask({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}, {"dry_run", true}});
    EXPECT_EQ(plan.at("result").at("steps").size(), 5u) << plan;
    EXPECT_TRUE(plan.at("result").at("serial").is_null());
    EXPECT_TRUE(guest.told.empty());
    auto const begun = ask({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}}).at("result");
    EXPECT_EQ(ask({{"command", "guest"}, {"guest", "own-1"}}).at("result").at("path"), "switching");
    settle_all();
    auto const shown = ask({{"command", "guest"}, {"guest", "own-1"}}).at("result");
    EXPECT_EQ(shown.at("path"), "direct");
    EXPECT_EQ(shown.at("switch").at("vf"), 0);
    EXPECT_EQ(shown.at("switch").at("last").at("serial"), begun.at("serial"));
    EXPECT_EQ(shown.at("switch").at("last").at("steps").size(), 5u);
    EXPECT_TRUE(shown.at("switch").at("last").at("reached"));
    auto const vfs = ask({{"command", "vf"}}).at("result");
    ASSERT_EQ(vfs.size(), 1u);
    EXPECT_EQ(vfs[0].at("guest"), "own-1");
    EXPECT_EQ(vfs[0].at("link"), "up");
    EXPECT_EQ(vfs[0].at("mac"), shown.at("mac"));
    EXPECT_EQ(ask({{"command", "status"}}).at("result").at("direct").at("guests"), 1);
    EXPECT_TRUE(
        ask({{"command", "switch"}, {"guest", "own-1"}, {"to", "direct"}}).at("result").at("already").get<bool>());
}

TEST_F(Vfs, ItIsToldWhenASwitchWasOver) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    advance_all(std::chrono::minutes(5));
    to_direct(guest);
    auto const shown = ask({{"command", "guest"}, {"guest", "own-1"}}).at("result");
    auto const over = (std::chrono::system_clock::now() - (Clock::now() - now)).time_since_epoch();
    EXPECT_NEAR(shown.at("switch").at("last").at("ended_unix_us").get<double>(),
                static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(over).count()), 1e6);
}

// Fewer VFs in the configuration than a record names.
TEST_F(Vfs, AVfThatIsNoMoreIsNotWaitedFor) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    to_direct(guest);
    stop();
    config.direct = {};
    holder.fails = {
        {VfOperation::give, -EOPNOTSUPP}, {VfOperation::steer_to_port, -EOPNOTSUPP}, {VfOperation::take, -EOPNOTSUPP}};
    start_server();
    advance_all(seconds(1));
    EXPECT_EQ(step(guest), Step::rings);
    EXPECT_FALSE(world.has(guest.backend() + "/switch"));
}

TEST_F(Vfs, ARecordThatSaysNothingIsRemoved) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    stop();
    for (auto const* const record : {"", "direct", "direct 0", "direct 0 x", "nowhere 0 1", "direct 0 1 2"}) {
        world.store[guest.backend() + "/switch"] = record;
        start_server();
        expect_at_server(guest);
        stop();
    }
    start_server();
}

}  // namespace

}  // namespace librettos::test
