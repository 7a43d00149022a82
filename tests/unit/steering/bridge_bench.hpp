// SPDX-License-Identifier: BSD-2-Clause
// A place for steering by a bridge: a bridge for each test, in a namespace that was entered before.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "drivers/steering/bridge_steering.hpp"
#include "tests/unit/steering/own_namespace.hpp"
#include "tests/unit/steering/steering_bench.hpp"

namespace librettos {

constexpr std::uint16_t our_protocol = 0x88b5, marker_protocol = 0x88b6;  // for experiments
constexpr VfMac marker{2, 0, 0, 0, 0, 0x99};

// Two of those that this process may run on, while this lives; or the one. Threads inherit it.
class Processors {
  public:
    Processors() {
        sched_getaffinity(0, sizeof before_, &before_);
        for (int number = 0; number < CPU_SETSIZE && each_.size() < 2; ++number) {
            if (!CPU_ISSET(number, &before_))
                continue;
            cpu_set_t alone;
            CPU_ZERO(&alone);
            CPU_SET(number, &alone);
            CPU_SET(number, &all_);
            each_.push_back(alone);
        }
        set(all_);
    }
    ~Processors() { set(before_); }
    Processors(Processors const&) = delete;
    Processors& operator=(Processors const&) = delete;

    std::uint32_t count() const { return static_cast<std::uint32_t>(each_.size()); }
    // For the calling thread: the last of them alone.
    void stay_on_last() const { set(each_.back()); }
    // Calls on each, with its place among them; on the first in the end.
    void on_each(std::function<void(std::uint32_t)> const& call) const {
        for (std::uint32_t place = count(); place-- > 0;) {
            set(each_[place]);
            call(place);
        }
        set(all_);
    }

  private:
    static void set(cpu_set_t const& processors) {
        EXPECT_EQ(sched_setaffinity(0, sizeof processors, &processors), 0) << strerror(errno);
    }

    cpu_set_t before_{}, all_{};
    std::vector<cpu_set_t> each_;
};

// Frames of our protocol, at one interface. The kernel keeps a frame that a veth was given until it has time for it, on
// the processor of the sender, and there they stay in order. So what was sent has come, or will not come, when a marker
// has that was sent after it on each processor.
class Wire final : public Endpoint {
  public:
    using SendMarkers = std::function<void(std::uint32_t first)>;  // one for each processor, numbered

    Wire(std::string const& interface, std::uint32_t processors, SendMarkers send_markers)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
          processors_(processors),
          send_markers_(std::move(send_markers)) {
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
        transmit(our_protocol, to, from, number, vlan);
    }
    void mark(std::uint32_t number, std::uint16_t vlan) const {
        transmit(marker_protocol, everyone, marker, number, vlan);
    }
    Sightings seen() override {
        Sightings seen;
        std::uint32_t const first = next_marker_;
        next_marker_ += processors_;
        std::uint32_t missing = processors_;
        std::vector<bool> came(processors_);
        auto const until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        // Again, since what is sent to or from a veth that has just come up is dropped.
        while (missing > 0 && std::chrono::steady_clock::now() < until) {
            send_markers_(first);
            wait();
            take([&](std::uint16_t protocol, Seen const& one) {
                if (protocol == our_protocol)
                    seen.push_back(one);
                else if (auto const place = one.number - first; place < processors_ && !came[place]) {
                    came[place] = true;
                    --missing;
                }
                return missing > 0;
            });
        }
        EXPECT_EQ(missing, 0u) << "processors whose frames did not come";
        return seen;
    }

  private:
    void transmit(std::uint16_t protocol, VfMac const& to, VfMac const& from, std::uint32_t number,
                  std::uint16_t vlan) const {
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
        put(protocol);
        std::memcpy(&frame[at], &number, sizeof number);
        EXPECT_EQ(::send(fd_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size())) << strerror(errno);
    }
    // Until something is there, or markers should be sent again.
    void wait() const {
        pollfd readable{fd_, POLLIN, 0};
        poll(&readable, 1, 5);
    }
    // What is there, while call() returns true. The kernel takes a frame's tag off and says so beside it.
    void take(auto&& call) const {
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
            auto const protocol = static_cast<std::uint16_t>(frame[12] << 8 | frame[13]);
            if (protocol != our_protocol && protocol != marker_protocol)
                continue;  // the kernel's own
            Seen one{0, static_cast<std::uint16_t>(tagged ? facts.tp_vlan_tci & 0xfff : 0)};
            std::memcpy(&one.number, &frame[14], sizeof one.number);
            if (!call(protocol, one))
                break;
        }
    }

    int fd_;
    std::uint32_t processors_, next_marker_ = 0;
    SendMarkers send_markers_;
};

class BridgeBench final : public SteeringBench {
  public:
    BridgeBench() {
        if (run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up && "
                "ip link add wire0 type veth peer name wire0b && ip link add port0 type veth peer name port0b && "
                "ip link set wire0b master br0 && ip link set port0b master br0 && "
                "for i in wire0 wire0b port0 port0b; do ip link set $i up || exit; done") != 0)
            throw std::runtime_error("no bridge can be made here");
        make_steering(0);
        wire_.emplace("wire0", processors_.count(), [this](std::uint32_t first) { send_markers(*port_, first); });
        port_.emplace("port0", processors_.count(), markers_from_wire());
        (void)wire_->seen();  // when the bridge forwards between them
        (void)port_->seen();
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
        return std::make_unique<Wire>(end, processors_.count(), markers_from_wire());
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

    Processors const& processors() const { return processors_; }

    std::string const elsewhere = "lr-steering-" + std::to_string(getpid());

  private:
    void make_steering(std::uint16_t vlan) {
        vlan_ = vlan;
        steering_.emplace(BridgeOptions{"br0", "port0b", {"vf0", "vf1"}, vlan});
    }
    // To all, those in the VLAN and those in none.
    void send_markers(Wire const& from, std::uint32_t first) const {
        processors_.on_each([&](std::uint32_t place) {
            from.mark(first + place, 0);
            if (vlan_ != 0)
                from.mark(first + place, vlan_);
        });
    }
    Wire::SendMarkers markers_from_wire() {
        return [this](std::uint32_t first) { send_markers(*wire_, first); };
    }

    Processors processors_;
    std::uint16_t vlan_ = 0;
    std::optional<BridgeSteering> steering_;
    std::optional<Wire> wire_, port_;
};

}  // namespace librettos
