// SPDX-License-Identifier: BSD-2-Clause
// What a bridge has beyond the conformance suite: VFs that are made, taken away with a guest, and made again.
#include <gmock/gmock.h>
#include <poll.h>

#include <cerrno>

#include "tests/unit/steering/bridge_bench.hpp"

namespace librettos {

std::unique_ptr<SteeringBench> make_steering_bench(std::string& why_not) {
    why_not = "network namespaces need root";
    return BridgeBench::enter_namespace() ? std::make_unique<BridgeBench>() : nullptr;
}

namespace {

class BridgeSteeringTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!BridgeBench::enter_namespace())
            GTEST_SKIP() << "network namespaces need root";
        bench.emplace();
    }
    BridgeSteering& steering() { return bench->steering(); }

    std::optional<BridgeBench> bench;
};

TEST_F(BridgeSteeringTest, VfsAreMadeOnceAndStay) {
    auto states = steering().vfs();
    ASSERT_EQ(states.size(), 2u);
    EXPECT_EQ(states[0].name, "vf0");
    EXPECT_TRUE(states[0].present && states[1].present);
    EXPECT_FALSE(states[0].link_up);
    auto const index = if_nametoindex("vf0");
    BridgeSteering const again({"br0", "port0b", {"vf0", "vf1"}});
    EXPECT_EQ(if_nametoindex("vf0"), index);
}

TEST_F(BridgeSteeringTest, WhatIsMissingIsSaid) {
    auto const why = [](BridgeOptions const& options, int number = ENODEV) -> std::string {
        try {
            BridgeSteering const made(options);
        } catch (SteeringError const& error) {
            EXPECT_EQ(error.error, number);
            return error.what();
        }
        return "";
    };
    EXPECT_THAT(why({"br9", "port0b", {"vf0"}}), testing::HasSubstr("ip link add br9 type bridge"));
    EXPECT_THAT(why({"br0", "port0", {"vf0"}}), testing::HasSubstr("ip link set port0 master br0"));
    EXPECT_THAT(why({"br0", "port9", {"vf0"}}), testing::HasSubstr("port9 is no port of br0"));
    EXPECT_THAT(
        why({"br0", "port0b", {"vf0"}, 5}, ENOTSUP),
        testing::AllOf(testing::HasSubstr("vlan_filtering 1"), testing::HasSubstr("bridge vlan add vid 5 dev port0b")));
    EXPECT_THROW(steering().give(2, {guest}), SteeringError);
    EXPECT_THROW(steering().steer_to_vf(2, guest), SteeringError);
    EXPECT_THROW(steering().take(2, guest), SteeringError);
    EXPECT_THROW(steering().give(0, {guest, 5}), SteeringError);
}

TEST_F(BridgeSteeringTest, ChangesOfLinksAreTold) {
    auto const told = [&](int timeout_ms) {
        pollfd changes{steering().changes_fd(), POLLIN, 0};
        return poll(&changes, 1, timeout_ms) == 1;
    };
    (void)bench->bring_up(0);
    ASSERT_TRUE(told(5000));
    EXPECT_TRUE(steering().vfs()[0].link_up);
    EXPECT_EQ(run("ip link set vf0 down"), 0);
    ASSERT_TRUE(told(5000));
    EXPECT_FALSE(steering().vfs()[0].link_up);
}

TEST_F(BridgeSteeringTest, AVfIsTakenFromAGuestThatKeepsIt) {
    steering().give(0, {guest});
    bench->move_away("vf0");
    steering().steer_to_vf(0, guest);
    EXPECT_TRUE(steering().vfs()[0].link_up);
    steering().give(0, {guest});  // again, by the next server
    steering().steer_to_port(guest);
    steering().take(0, guest);
    EXPECT_NE(run("ip -n " + bench->elsewhere + " link show vf0"), 0);
    EXPECT_TRUE(steering().vfs()[0].present);
    steering().give(0, {other_guest});
    auto const vf = bench->bring_up(0);
    steering().steer_to_vf(0, other_guest);
    bench->wire().send(other_guest, peer, 1);
    EXPECT_EQ(vf->received(), Numbers{1});
}

TEST_F(BridgeSteeringTest, NothingIsLeftOfAGuestThatHadAVf) {
    auto const has_entry = [] { return run("bridge fdb show br br0 | grep -q 02:00:00:00:00:07") == 0; };
    steering().give(0, {guest});
    (void)bench->bring_up(0);
    steering().steer_to_vf(0, guest);
    EXPECT_TRUE(has_entry());
    steering().steer_to_port(guest);
    EXPECT_TRUE(has_entry());
    for (int again = 0; again < 2; ++again)
        steering().take(0, guest);
    EXPECT_FALSE(has_entry());
    Numbers at_port;
    for (int tries = 0; tries < 500 && at_port.empty(); ++tries) {
        bench->wire().send(guest, peer, 1);
        at_port = bench->port().received();
        usleep(10000);  // until the bridge's new ports forward
    }
    EXPECT_EQ(at_port, Numbers{1});
}

TEST_F(BridgeSteeringTest, AVfThatWentWithItsGuestComesBack) {
    steering().give(0, {guest});
    bench->move_away("vf0");
    EXPECT_EQ(run("ip netns del " + bench->elsewhere), 0);
    for (int i = 0; i < 500 && steering().vfs()[0].present; i++)
        usleep(10000);  // the kernel takes its time
    ASSERT_FALSE(steering().vfs()[0].present);
    try {
        steering().steer_to_vf(0, guest);
        FAIL();
    } catch (SteeringError const& error) {
        EXPECT_EQ(error.error, ENODEV);
        EXPECT_STREQ(error.what(), "vf0 is gone");
    }
    steering().take(0, guest);
    EXPECT_TRUE(steering().vfs()[0].present);
}

}  // namespace
}  // namespace librettos
