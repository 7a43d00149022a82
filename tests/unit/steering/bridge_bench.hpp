// SPDX-License-Identifier: BSD-2-Clause
// A place for steering by a bridge: in a network namespace of this process, with a bridge for each test.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "drivers/steering/bridge_steering.hpp"
#include "tests/unit/steering/steering_bench.hpp"

namespace librettos {

constexpr std::uint16_t our_protocol = 0x88b5;  // for experiments

inline int run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str());
}

// Frames of our protocol, at one interface.
class Wire final : public Endpoint {
  public:
    explicit Wire(std::string const& interface) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);  // of all the others the kernel hides the tags
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof address), 0)
            << interface << ": " << strerror(errno);
        int const ignore = 1;  // what it sends itself
        setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &ignore, sizeof ignore);
        int const say_tags = 1;
        setsockopt(fd_, SOL_PACKET, PACKET_AUXDATA, &say_tags, sizeof say_tags);
        int const room_bytes = 64 << 20;  // for all that a test sends: this process may not run for long
        setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &room_bytes, sizeof room_bytes);
    }
    ~Wire() override { close(fd_); }
    Wire(Wire const&) = delete;
    Wire& operator=(Wire const&) = delete;

    void send(VfMac const& to, VfMac const& from, std::uint32_t number, std::uint16_t vlan) override {
        std::array<std::uint8_t, 64> frame{};
        std::copy(to.begin(), to.end(), frame.begin());
        std::copy(from.begin(), from.end(), frame.begin() + 6);
        std::size_t at = 12;
        auto const put = [&](std::uint16_t value) {
            frame[at++] = static_cast<std::uint8_t>(value >> 8);
            frame[at++] = static_cast<std::uint8_t>(value & 0xff);
        };
        if (vlan != 0) {
            put(ETH_P_8021Q);
            put(vlan);
        }
        put(our_protocol);
        std::memcpy(&frame[at], &number, sizeof number);
        EXPECT_EQ(::send(fd_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size())) << strerror(errno);
    }
    // The bridge forwards within the sender's call. The kernel takes a frame's tag off and says so beside it.
    Sightings seen() override {
        Sightings seen;
        std::array<std::uint8_t, 2048> frame{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(tpacket_auxdata))> beside{};
        iovec piece{frame.data(), frame.size()};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = beside.data();
        for (message.msg_controllen = beside.size(); recvmsg(fd_, &message, 0) >= 18;
             message.msg_controllen = beside.size()) {
            tpacket_auxdata facts{};
            if (auto const* const data = CMSG_FIRSTHDR(&message); data != nullptr)
                std::memcpy(&facts, CMSG_DATA(data), sizeof facts);
            bool const tagged = (facts.tp_status & TP_STATUS_VLAN_VALID) != 0;
            if ((frame[12] << 8 | frame[13]) != our_protocol)
                continue;  // the kernel's own
            Seen one{0, static_cast<std::uint16_t>(tagged ? facts.tp_vlan_tci & 0xfff : 0)};
            std::memcpy(&one.number, &frame[14], sizeof one.number);
            seen.push_back(one);
        }
        return seen;
    }

  private:
    int fd_;
};

class BridgeBench final : public SteeringBench {
  public:
    // Once for the process, before the first.
    static bool enter_namespace() {
        static bool const entered = unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
                                    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                                    run("ip link set lo up") == 0;
        return entered;
    }
    BridgeBench() {
        if (run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up && "
                "ip link add wire0 type veth peer name wire0b && ip link add port0 type veth peer name port0b && "
                "ip link set wire0b master br0 && ip link set port0b master br0 && "
                "for i in wire0 wire0b port0 port0b; do ip link set $i up || exit; done") != 0)
            throw std::runtime_error("no bridge can be made here");
        make_steering(0);
        wire_.emplace("wire0");
        port_.emplace("port0");
    }
    ~BridgeBench() override {
        wire_.reset();
        port_.reset();
        steering_.reset();
        run("for i in vf0b vf1b port0 wire0 br0; do ip link del $i; done; ip netns del " + elsewhere);
    }
    BridgeSteering& steering() override { return *steering_; }
    Endpoint& wire() override { return *wire_; }
    Endpoint& port() override { return *port_; }
    bool has_vlan(std::uint16_t vlan, std::string& why_not) override {
        auto const vid = std::to_string(vlan);
        why_not = "bridges filter no VLANs in this kernel";
        if (run("ip link set br0 type bridge vlan_filtering 1 && bridge vlan add vid " + vid +
                " dev wire0b && bridge vlan add vid " + vid + " dev port0b") != 0)
            return false;
        make_steering(vlan);
        return true;
    }
    std::unique_ptr<Endpoint> bring_up(std::uint16_t vf) override {
        std::string const end = "vf" + std::to_string(vf);
        EXPECT_EQ(run("ip link set " + end + " up"), 0);
        return std::make_unique<Wire>(end);
    }
    void bring_down(std::uint16_t vf) override { EXPECT_EQ(run("ip link set vf" + std::to_string(vf) + " down"), 0); }
    void kill_user(std::uint16_t vf) override {
        EXPECT_EQ(run("ip link del vf" + std::to_string(vf)), 0);  // as when its namespace ends
    }
    // What a guest does with its VF.
    void move_away(std::string const& vf) const {
        EXPECT_EQ(run("ip netns add " + elsewhere + " && ip link set " + vf + " netns " + elsewhere + " && ip -n " +
                      elsewhere + " link set " + vf + " up"),
                  0);
    }

    std::string const elsewhere = "lr-steering-" + std::to_string(getpid());

  private:
    void make_steering(std::uint16_t vlan) { steering_.emplace(BridgeOptions{"br0", "port0b", {"vf0", "vf1"}, vlan}); }

    std::optional<BridgeSteering> steering_;
    std::optional<Wire> wire_, port_;
};

}  // namespace librettos
