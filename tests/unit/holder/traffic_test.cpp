// SPDX-License-Identifier: BSD-2-Clause
// The whole way: frames from a wire through the engine and back, over the death of engines and of the holder.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <cstring>
#include <vector>

#include "daemon/api/counters.hpp"
#include "daemon/api/stats_reader.hpp"
#include "tests/unit/holder/running_holder.hpp"
#include "tests/unit/nic/in_namespace.hpp"

namespace librettos {
namespace {

constexpr std::uint16_t test_ethertype = 0x88b5;

class EchoWire {
  public:
    explicit EchoWire(std::string const& interface)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(test_ethertype))) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(test_ethertype);
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        require(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "wire");
    }
    ~EchoWire() { close(fd_); }
    EchoWire(EchoWire const&) = delete;
    EchoWire& operator=(EchoWire const&) = delete;

    void send_one(std::uint8_t number) const {
        std::vector<std::uint8_t> frame(64, number);
        std::memset(frame.data(), 0xff, 12);
        frame[6] = 2;
        std::uint16_t const type = htons(test_ethertype);
        std::memcpy(frame.data() + 12, &type, 2);
        require(send(fd_, frame.data(), frame.size(), 0) == 64, "send");
    }

    // Sends `number` again and again until it comes back.
    void await_echo(std::uint8_t number) const {
        bool const echoed = eventually([&] {
            send_one(number);
            pollfd waiting{fd_, POLLIN, 0};
            poll(&waiting, 1, 100);
            std::vector<std::uint8_t> back(2048);
            for (ssize_t n = 0; (n = recv(fd_, back.data(), back.size(), MSG_DONTWAIT)) > 0;) {
                if (n == 64 && back[20] == number) {
                    return true;
                }
            }
            return false;
        });
        require(echoed, "an echo of " + std::to_string(number));
    }

  private:
    int fd_;
};

void echo_over_deaths(std::string const& device, std::string const& interface) {
    RunningHolder holder({.engine = "traffic", .device = device});
    holder.await_notice("READY=1");
    shell("sysctl -qw net.ipv6.conf." + interface + ".disable_ipv6=1; ip link set " + interface + " up");
    std::uint8_t number = 0;
    {
        EchoWire const wire(interface);
        for (std::uint64_t generation = 1; generation <= 4; ++generation) {
            holder.await_generation(generation);
            wire.await_echo(++number);
            kill(holder.engine(), SIGKILL);
            holder.await_generation(generation + 1);
        }
        wire.await_echo(++number);
    }
    kill(holder.pid(), SIGKILL);
    holder.await_end();
    while (waitpid(-1, nullptr, 0) > 0) {  // the engine goes too
    }
    holder.start();
    holder.await_generation(1);
    shell("sysctl -qw net.ipv6.conf." + interface + ".disable_ipv6=1; ip link set " + interface + " up");
    EchoWire const wire(interface);
    wire.await_echo(++number);
}

TEST(HolderTraffic, AfPacket) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  echo_over_deaths("va", "vb");
              }),
              "");
}

// By an engine that takes none.
TEST(HolderTraffic, FramesThatThePortLostAreInTheStatistics) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  RunningHolder holder({.device = "va"});
                  holder.await_notice("READY=1");
                  StatsReader reader(holder.path("run/stats"));
                  auto const missed = [&] {
                      return reader.read().slots.at(0).counters.at(static_cast<std::size_t>(Counter::drop_wire_missed));
                  };
                  require(missed() == 0, "none at first");
                  EchoWire const wire("vb");
                  constexpr unsigned more_than_fit = 20'000;
                  for (unsigned i = 0; i < more_than_fit; ++i) {
                      wire.send_one(0);
                  }
                  holder.await("count", [&] { return missed() > 0; });
                  std::uint64_t const before = missed();
                  wire.send_one(0);
                  holder.await("one more", [&] { return missed() > before; });
                  kill(holder.engine(), SIGKILL);
                  holder.await_generation(2);
                  require(missed() > before, "an engine's death forgets none");
              }),
              "");
}

TEST(HolderTraffic, Tap) {
    NEEDS_NAMESPACES();
    if (access("/dev/net/tun", R_OK | W_OK) != 0) {
        GTEST_SKIP() << "no /dev/net/tun";
    }
    EXPECT_EQ(in_namespace([] { echo_over_deaths("net_tap0,iface=lt0", "lt0"); }), "");
}

TEST(HolderTraffic, RingPort) {
    // net_ring is looped back to itself: nothing comes from outside, but engines come and go on it as on any other.
    RunningHolder holder({.device = "net_ring0"});
    holder.await_notice("READY=1");
    kill(holder.engine(), SIGKILL);
    holder.await_log("engine 2 is ready");
}

}  // namespace
}  // namespace librettos
