// SPDX-License-Identifier: BSD-2-Clause
// Steering by a bridge, with frames: in a network namespace of this process, each test with a bridge of its own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/steering/bridge_steering.hpp"

namespace librettos {
namespace {

constexpr VfMac peer{2, 0, 0, 0, 0, 1}, guest{2, 0, 0, 0, 0, 7}, other_guest{2, 0, 0, 0, 0, 8},
    server{2, 0, 0, 0, 0, 3}, everyone{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr std::uint16_t our_protocol = 0x88b5;  // for experiments

int run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str());
}

// Frames of our protocol, at one interface.
class Wire {
  public:
    explicit Wire(std::string const& interface)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(our_protocol))) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(our_protocol);
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof address), 0)
            << interface << ": " << strerror(errno);
        int const ignore = 1;  // what it sends itself
        setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &ignore, sizeof ignore);
        int const room_bytes = 64 << 20;  // for all that a test sends: this process may not run for long
        setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &room_bytes, sizeof room_bytes);
    }
    ~Wire() { close(fd_); }
    Wire(Wire const&) = delete;
    Wire& operator=(Wire const&) = delete;

    void send(VfMac const& to, VfMac const& from, std::uint32_t number) {
        std::array<std::uint8_t, 60> frame{};
        std::copy(to.begin(), to.end(), frame.begin());
        std::copy(from.begin(), from.end(), frame.begin() + 6);
        frame[12] = our_protocol >> 8;
        frame[13] = our_protocol & 0xff;
        std::memcpy(&frame[14], &number, sizeof number);
        EXPECT_EQ(::send(fd_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size())) << strerror(errno);
    }
    // Numbers of what has come: the bridge forwards within the sender's call.
    std::vector<std::uint32_t> received() {
        std::vector<std::uint32_t> numbers;
        std::array<std::uint8_t, 2048> frame{};
        while (recv(fd_, frame.data(), frame.size(), 0) >= 18) {
            std::uint32_t number = 0;
            std::memcpy(&number, &frame[14], sizeof number);
            numbers.push_back(number);
        }
        return numbers;
    }

  private:
    int fd_;
};

using Numbers = std::vector<std::uint32_t>;

class BridgeSteeringTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        available = unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
                    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 && run("ip link set lo up") == 0;
    }
    void SetUp() override {
        if (!available)
            GTEST_SKIP() << "network namespaces need root";
        ASSERT_EQ(run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up && "
                      "ip link add wire0 type veth peer name wire0b && ip link add port0 type veth peer name port0b && "
                      "ip link set wire0b master br0 && ip link set port0b master br0 && "
                      "for i in wire0 wire0b port0 port0b; do ip link set $i up || exit; done"),
                  0);
        steering.emplace(BridgeOptions{"br0", "port0b", {"vf0", "vf1"}});
        wire = std::make_unique<Wire>("wire0");
        port = std::make_unique<Wire>("port0");
    }
    void TearDown() override {
        wire.reset();
        port.reset();
        steering.reset();
        run("for i in vf0b vf1b port0 wire0 br0; do ip link del $i; done; ip netns del " + elsewhere);
    }
    std::unique_ptr<Wire> bring_up(std::string const& vf) {
        EXPECT_EQ(run("ip link set " + vf + " up"), 0);
        return std::make_unique<Wire>(vf);
    }
    // What a guest does with its VF.
    void move_away(std::string const& vf) {
        EXPECT_EQ(run("ip netns add " + elsewhere + " && ip link set " + vf + " netns " + elsewhere + " && ip -n " +
                      elsewhere + " link set " + vf + " up"),
                  0);
    }

    static inline bool available = false;
    std::string const elsewhere = "lr-steering-" + std::to_string(getpid());
    std::optional<BridgeSteering> steering;
    std::unique_ptr<Wire> wire, port;
};

TEST_F(BridgeSteeringTest, VfsAreMadeOnceAndStay) {
    auto states = steering->vfs();
    ASSERT_EQ(states.size(), 2u);
    EXPECT_EQ(states[0].name, "vf0");
    EXPECT_TRUE(states[0].present && states[1].present);
    EXPECT_FALSE(states[0].link_up);
    auto const index = if_nametoindex("vf0");
    BridgeSteering const again({"br0", "port0b", {"vf0", "vf1"}});
    EXPECT_EQ(if_nametoindex("vf0"), index);
}

TEST_F(BridgeSteeringTest, WhatIsMissingIsSaid) {
    auto const why = [](BridgeOptions const& options) -> std::string {
        try {
            BridgeSteering const made(options);
        } catch (SteeringError const& error) {
            EXPECT_EQ(error.error, ENODEV);
            return error.what();
        }
        return "";
    };
    EXPECT_THAT(why({"br9", "port0b", {"vf0"}}), testing::HasSubstr("ip link add br9 type bridge"));
    EXPECT_THAT(why({"br0", "port0", {"vf0"}}), testing::HasSubstr("ip link set port0 master br0"));
    EXPECT_THAT(why({"br0", "port9", {"vf0"}}), testing::HasSubstr("port9 is no port of br0"));
    EXPECT_THROW(steering->give(2, {guest}), SteeringError);
    EXPECT_THROW(steering->steer_to_vf(2, guest), SteeringError);
    EXPECT_THROW(steering->take(2), SteeringError);
    EXPECT_THROW(steering->give(0, {guest, 5}), SteeringError);
}

TEST_F(BridgeSteeringTest, FramesGoWhereTheyAreSteeredTo) {
    steering->steer_to_port(guest);
    steering->give(0, {guest});
    auto const vf = bring_up("vf0");
    EXPECT_TRUE(steering->vfs()[0].link_up);
    wire->send(guest, peer, 1);
    EXPECT_EQ(port->received(), Numbers{1});
    EXPECT_EQ(vf->received(), Numbers{});
    for (int again = 0; again < 2; again++)
        steering->steer_to_vf(0, guest);
    wire->send(guest, peer, 2);
    port->send(guest, server, 3);  // of a guest that is the server's
    EXPECT_EQ(port->received(), Numbers{});
    EXPECT_EQ(vf->received(), (Numbers{2, 3}));
    for (int again = 0; again < 2; again++)
        steering->steer_to_port(guest);
    wire->send(guest, peer, 4);
    EXPECT_EQ(port->received(), Numbers{4});
    EXPECT_EQ(vf->received(), Numbers{});
}

// Until it is told to send through its VF, a guest sends through the server; a forger may do so from the wire.
TEST_F(BridgeSteeringTest, FramesFromItsAddressElsewhereDoNotMoveAGuest) {
    steering->give(0, {guest});
    auto const vf = bring_up("vf0");
    steering->steer_to_vf(0, guest);
    port->send(peer, guest, 1);
    wire->send(server, guest, 2);
    wire->received();
    port->received();
    wire->send(guest, peer, 3);
    EXPECT_EQ(vf->received(), Numbers{3});
    EXPECT_EQ(port->received(), Numbers{});
    vf->send(peer, guest, 4);
    EXPECT_EQ(wire->received(), Numbers{4});
    steering->steer_to_port(guest);
    wire->send(guest, peer, 5);
    EXPECT_EQ(port->received(), Numbers{5});
}

TEST_F(BridgeSteeringTest, ChangesOfLinksAreTold) {
    auto const told = [&](int timeout_ms) {
        pollfd changes{steering->changes_fd(), POLLIN, 0};
        return poll(&changes, 1, timeout_ms) == 1;
    };
    (void)bring_up("vf0");
    ASSERT_TRUE(told(5000));
    EXPECT_TRUE(steering->vfs()[0].link_up);
    EXPECT_EQ(run("ip link set vf0 down"), 0);
    ASSERT_TRUE(told(5000));
    EXPECT_FALSE(steering->vfs()[0].link_up);
}

TEST_F(BridgeSteeringTest, FramesForOthersDoNotReachAVf) {
    steering->give(0, {guest});
    steering->give(1, {other_guest});
    auto const first = bring_up("vf0");
    auto const second = bring_up("vf1");
    steering->steer_to_vf(0, guest);
    steering->steer_to_vf(1, other_guest);
    wire->send(guest, peer, 1);
    wire->send(other_guest, peer, 2);
    wire->send({2, 0, 0, 0, 0, 99}, peer, 3);  // unknown: to the server
    wire->send(everyone, peer, 4);
    first->send(other_guest, guest, 5);
    EXPECT_EQ(first->received(), (Numbers{1, 4}));
    EXPECT_EQ(second->received(), (Numbers{2, 4, 5}));
    EXPECT_EQ(port->received(), (Numbers{3, 4}));
}

TEST_F(BridgeSteeringTest, AVfSendsFromItsOwnAddressOnlyAndWhenSteeredTo) {
    steering->give(0, {guest});
    auto const vf = bring_up("vf0");
    steering->steer_to_port(guest);
    wire->send(server, peer, 0);  // the bridge learns where the peer is
    EXPECT_EQ(port->received(), Numbers{0});
    vf->send(peer, guest, 1);
    EXPECT_EQ(wire->received(), Numbers{}) << "it is not its turn";
    steering->steer_to_vf(0, guest);
    vf->send(peer, guest, 2);
    vf->send(peer, other_guest, 3);
    vf->send(everyone, server, 4);
    EXPECT_EQ(wire->received(), Numbers{2});
    EXPECT_EQ(port->received(), Numbers{});
    wire->send(server, peer, 5);
    EXPECT_EQ(port->received(), Numbers{5}) << "nothing was learned from it";
}

TEST_F(BridgeSteeringTest, ATakenVfIsNobodys) {
    steering->give(0, {guest});
    steering->steer_to_vf(0, guest);
    (void)bring_up("vf0");
    steering->steer_to_port(guest);
    steering->take(0);
    EXPECT_FALSE(steering->vfs()[0].link_up);
    steering->give(0, {other_guest});
    auto const vf = bring_up("vf0");
    steering->steer_to_vf(0, other_guest);
    wire->send(other_guest, peer, 1);
    wire->send(guest, peer, 2);
    EXPECT_EQ(vf->received(), Numbers{1});
    EXPECT_EQ(port->received(), Numbers{2});
}

TEST_F(BridgeSteeringTest, AVfIsTakenFromAGuestThatKeepsIt) {
    steering->give(0, {guest});
    move_away("vf0");
    steering->steer_to_vf(0, guest);
    EXPECT_TRUE(steering->vfs()[0].link_up);
    steering->give(0, {guest});  // again, by the next server
    steering->steer_to_port(guest);
    steering->take(0);
    EXPECT_NE(run("ip -n " + elsewhere + " link show vf0"), 0);
    EXPECT_TRUE(steering->vfs()[0].present);
    steering->give(0, {other_guest});
    auto const vf = bring_up("vf0");
    steering->steer_to_vf(0, other_guest);
    wire->send(other_guest, peer, 1);
    EXPECT_EQ(vf->received(), Numbers{1});
}

TEST_F(BridgeSteeringTest, AVfThatWentWithItsGuestComesBack) {
    steering->give(0, {guest});
    move_away("vf0");
    EXPECT_EQ(run("ip netns del " + elsewhere), 0);
    for (int i = 0; i < 500 && steering->vfs()[0].present; i++)
        usleep(10000);  // the kernel takes its time
    ASSERT_FALSE(steering->vfs()[0].present);
    try {
        steering->steer_to_vf(0, guest);
        FAIL();
    } catch (SteeringError const& error) {
        EXPECT_EQ(error.error, ENODEV);
        EXPECT_STREQ(error.what(), "vf0 is gone");
    }
    steering->take(0);
    EXPECT_TRUE(steering->vfs()[0].present);
}

TEST_F(BridgeSteeringTest, AChangeLosesNothingAndDoublesNothing) {
    steering->give(0, {guest});
    auto const vf = bring_up("vf0");
    steering->steer_to_port(guest);
    constexpr std::uint32_t frames = 20000;
    // A stream from another process, while steering goes to and fro.
    pid_t const sender = fork();
    if (sender == 0) {
        for (std::uint32_t number = 0; number < frames; ++number) {
            wire->send(guest, peer, number);
            if (number % 50 == 0)
                usleep(1000);
        }
        _exit(0);
    }
    Numbers all;
    int changes = 0;
    auto const collect = [&](Wire& at) {
        auto const more = at.received();
        all.insert(all.end(), more.begin(), more.end());
    };
    int status = 0;
    while (waitpid(sender, &status, WNOHANG) == 0) {
        changes++ % 2 == 0 ? steering->steer_to_vf(0, guest) : steering->steer_to_port(guest);
        collect(*vf);
        collect(*port);
    }
    collect(*vf);
    collect(*port);
    std::sort(all.begin(), all.end());
    Numbers expected(frames);
    for (std::uint32_t number = 0; number < frames; ++number)
        expected[number] = number;
    EXPECT_EQ(all.size(), expected.size());
    EXPECT_TRUE(all == expected);
    EXPECT_GT(changes, 20);
}

}  // namespace
}  // namespace librettos
