// SPDX-License-Identifier: BSD-2-Clause
// Guests that are moved by their load: measured through rings and VFs, moved by ordinary switches, left alone where an
// operator has spoken, over the lives of engines.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>

#include "daemon/engine/control/api_commands.hpp"
#include "tests/unit/control/vf_scene.hpp"

namespace librettos::test {

namespace {

using std::chrono::seconds;
using Json = ApiCommands::Json;

class ByLoad : public VfScene {
  protected:
    ByLoad() {
        config.direct.automatic = {.enabled = true,
                                   .promote_mbps = 100,
                                   .demote_mbps = 20,
                                   .takeover_percent = 200,
                                   .window_s = 4,
                                   .dwell_s = 20,
                                   .back_off_s = 30};
    }
    Json ask(Json request) {
        ApiCommands commands(server->boot, server->config);
        commands.connected(server->hypervisor, *server->guests);
        request["schema"] = 1;
        return Json::parse(commands.answer(request.dump()));
    }
    Json switch_to(VfGuest const& guest, std::string const& to) {
        auto const reply = ask({{"command", "switch"}, {"guest", guest.name}, {"to", to}});
        settle_all();
        return reply;
    }
    bool is_direct(VfGuest const& guest) { return found(guest).vf_switch().step() == VfSwitch::Step::direct; }

    // For so long these guests move so much, by the way that each has; in Mb/s, frames of 1226 bytes.
    void run(int how_long, std::map<VfGuest const*, double> const& loads) {
        for (int s = 0; s < how_long; ++s) {
            for (auto const& [guest, mbps] : loads)
                move(*guest, static_cast<std::uint64_t>(mbps * 1e6 / (8 * 1250)));
            advance_all(seconds(1));
        }
    }
    void move(VfGuest const& guest, std::uint64_t frames) {
        auto const& it = found(guest);
        if (is_direct(guest)) {
            auto& through = vfs[it.vf_switch().vf().value()];
            through.sent_frames += frames;
            through.sent_bytes += 1226 * frames;
            holder.count(*it.vf_switch().vf(), through);
        } else {
            auto& through = plane().traffic[it.slot().value()];
            through.from_frames += frames;
            through.from_bytes += 1226 * frames;
        }
        settle_all();
    }

    std::map<std::uint16_t, VfTraffic> vfs;
};

TEST_F(ByLoad, TheBusierHasTheVfAndKeepsItsLoad) {
    VfGuest busy(world, "own-1"), idle(world, "own-2");
    start_server();
    connect_own(busy);
    connect_own(idle);
    run(8, {{&busy, 300}, {&idle, 5}});
    expect_direct(busy);
    expect_at_server(idle);
    auto const shown = ask({{"command", "guest"}, {"guest", "own-1"}})["result"]["switch"];
    EXPECT_EQ(shown["way"], "auto");
    EXPECT_NEAR(shown["load_bits_per_s"].get<double>(), 300e6, 15e6);
    EXPECT_NE(shown["why"].get<std::string>(), "");
    run(30, {{&busy, 300}, {&idle, 5}});
    expect_direct(busy);
    EXPECT_NEAR(server->guests->auto_switch().bits_per_s(found(busy)), 300e6, 15e6) << "measured at the VF";
    auto const status = ask({{"command", "status"}})["result"]["direct"]["auto"];
    EXPECT_EQ(status["guests"], 2);
    EXPECT_EQ(status["last"]["guest"], "own-1");
    EXPECT_EQ(status["last"]["to"], "direct");
    EXPECT_NE(status["last"]["reason"].get<std::string>().find("a VF is free"), std::string::npos);
    auto const vf = ask({{"command", "vf"}})["result"][0];
    EXPECT_EQ(vf["way"], "auto");
    EXPECT_EQ(vf["traffic"]["sent_frames"], vfs[0].sent_frames);
}

TEST_F(ByLoad, TheVfFollowsTheLoad) {
    VfGuest first(world, "own-1"), second(world, "own-2");
    start_server();
    connect_own(first);
    connect_own(second);
    run(8, {{&first, 300}, {&second, 5}});
    expect_direct(first);
    run(30, {{&first, 5}, {&second, 300}});
    expect_direct(second);
    expect_at_server(first);
    EXPECT_NE(found(first).vf_switch().report().reason.find("by its load: "), std::string::npos);
}

TEST_F(ByLoad, TheOperatorsWordStands) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    EXPECT_EQ(switch_to(guest, "server")["result"]["already"], true);
    run(30, {{&guest, 900}});
    expect_at_server(guest);
    EXPECT_EQ(ask({{"command", "guest"}, {"guest", "own-1"}})["result"]["switch"]["why"], nullptr);
    EXPECT_EQ(switch_to(guest, "direct")["ok"], true);
    run(60, {{&guest, 0}});
    expect_direct(guest);
    EXPECT_EQ(switch_to(guest, "auto")["result"]["already"], false);
    run(60, {{&guest, 0}});
    expect_at_server(guest);
    EXPECT_EQ(switch_to(guest, "auto")["result"]["already"], true);
}

TEST_F(ByLoad, ADryRunChangesNothing) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    EXPECT_EQ(ask({{"command", "switch"}, {"guest", "own-1"}, {"to", "server"}, {"dry_run", true}})["ok"], true);
    EXPECT_TRUE(found(guest).automatic());
    EXPECT_EQ(ask({{"command", "switch"}, {"guest", "own-1"}, {"to", "sometimes"}})["error"]["code"], "bad-request");
}

TEST_F(ByLoad, WhatTheOperatorChoseOutlivesEngines) {
    VfGuest fixed(world, "own-1"), free_one(world, "own-2");
    start_server();
    connect_own(fixed);
    connect_own(free_one);
    switch_to(fixed, "server");
    switch_to(free_one, "auto");
    stop();
    config.direct.automatic.enabled = false;
    start_server();
    EXPECT_FALSE(found(fixed).automatic());
    EXPECT_TRUE(found(free_one).automatic());
    fixed.hello(LVIF_HELLO_CAN_SWITCH);
    free_one.hello(LVIF_HELLO_CAN_SWITCH);
    settle_all();
    run(10, {{&fixed, 900}, {&free_one, 300}});
    expect_at_server(fixed);
    expect_direct(free_one);
}

TEST_F(ByLoad, AGuestThatDoesNotGetThereIsLeftAloneForAWhile) {
    VfGuest stubborn(world, "own-1"), other(world, "own-2");
    stubborn.refuses[LVIF_MSG_SWITCH_PREPARE] = -ENODEV;
    start_server();
    connect_own(stubborn);
    connect_own(other);
    run(20, {{&stubborn, 900}, {&other, 200}});
    expect_at_server(stubborn);
    expect_direct(other);
    EXPECT_EQ(std::count(stubborn.told.begin(), stubborn.told.end(), LVIF_MSG_SWITCH_PREPARE), 1);
}

TEST_F(ByLoad, ALostVfIsNotGivenAtOnce) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    run(8, {{&guest, 300}});
    expect_direct(guest);
    holder.set_vf(0, true, false);
    settle_all();
    run(25, {{&guest, 300}});
    expect_at_server(guest);
    run(10, {{&guest, 300}});
    expect_direct(guest);
}

TEST_F(ByLoad, WithoutCountersNobodyIsMoved) {
    VfGuest guest(world, "own-1");
    holder.counts = false;
    start_server();
    connect_own(guest);
    run(20, {{&guest, 900}});
    expect_at_server(guest);
    EXPECT_NE(server->guests->auto_switch().explain(found(guest), now).find("is not counted"), std::string::npos);
}

TEST_F(ByLoad, AGuestThatCannotIsNotAsked) {
    VfGuest guest(world, "own-1");
    start_server();
    connect_own(guest);
    guest.hello(0);
    settle_all();
    run(20, {{&guest, 900}});
    expect_at_server(guest);
    EXPECT_TRUE(guest.told.empty());
}

}  // namespace

}  // namespace librettos::test
