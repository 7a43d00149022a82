// SPDX-License-Identifier: BSD-2-Clause
// Port set-up: what is described, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "drivers/nic/port.hpp"
#include "drivers/nic/preflight.hpp"
#include "tests/unit/nic/wire.hpp"

namespace librettos {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Port, NullAndRingPortsHaveNothingToWaitOn) {
    for (char const* device : {"net_null0", "net_ring0"}) {
        EXPECT_EQ(
            in_process(false,
                       [device] {
                           PortOptions const options = port_options(device);
                           Eal const eal(options);
                           Port const port(options, 1, eal);
                           PortDescription const& d = port.description();
                           require(d.wait_fds == std::vector<int>{-1}, "wait_fds");
                           require(d.queues == 1 && d.mtu_bytes == 1500 && !d.rx_interrupt && !d.tx_tso, "description");
                           require(d.driver == std::string(device).substr(0, d.driver.size()), "driver " + d.driver);
                       }),
            "")
            << device;
    }
}

TEST(Port, EachQueueHasItsDescriptor) {
    NEEDS_NAMESPACES();
    for (char const* device : {"va", "net_tap0,iface=lt0"}) {
        EXPECT_EQ(in_namespace([device] {
                      make_veth();
                      PortOptions options = port_options(device);
                      Eal const eal(options);
                      Port const port(options, 2, eal);
                      auto const& fds = port.description().wait_fds;
                      require(std::set<int>(fds.begin(), fds.end()).size() == 2 && fds[0] >= 0 && fds[1] >= 0,
                              "two descriptors");
                  }),
                  "")
            << device;
    }
}

TEST(Port, TooFewQueues) {
    NEEDS_NAMESPACES();
    EXPECT_THAT(in_namespace([] {
                    PortOptions options = port_options("net_tap0,iface=lt0");
                    Eal const eal(options);
                    Port const port(options, 17, eal);
                }),
                AllOf(HasSubstr("16 queue pair(s) for 17 data threads"), HasSubstr("smaller data.threads")));
}

TEST(Port, JumboThatThePortCannotTake) {
    NEEDS_NAMESPACES();
    auto const start = [](char const* device) {
        return in_namespace([device] {
            make_veth();
            shell("ip link add link va name above type macvlan");
            PortOptions options = port_options(device);
            options.mtu_bytes = 9000;
            Eal const eal(options);
            Port const port(options, 1, eal);
        });
    };
    EXPECT_THAT(start("net_tap0,iface=lt0"), HasSubstr("takes no MTU above 1504"));
    EXPECT_THAT(start("above"), HasSubstr("interface above does not take port.mtu_bytes = 9000"));
}

TEST(Port, TooLittleMemory) {
    EXPECT_THAT(in_process(false,
                           [] {
                               PortOptions options = port_options("net_null0");
                               options.buffers = 200'000;
                               Eal const eal(options);
                               Port const port(options, 1, eal);
                           }),
                AllOf(HasSubstr("200000 buffers in 64 MiB"), HasSubstr("port.memory_mib")));
}

TEST(Port, LinkIsTheInterfaces) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  PortOptions const options = port_options("va");
                  Eal const eal(options);
                  Port const port(options, 1, eal);
                  require(port.link() == LinkState{true, 10'000}, "up at first, as fast as a veth says");
                  shell("ip link set vb down");
                  bool up = true;  // until the kernel's work queue has got to it
                  for (int i = 0; i < 1000 && up; ++i) {
                      usleep(10'000);
                      up = port.link().up;
                  }
                  require(port.link() == LinkState{}, "down with its peer");
              }),
              "");
}

TEST(Port, SpeedThatAnInterfaceDoesNotKnowIsNotInvented) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  shell("ip link add below type bridge && ip link set below up");
                  PortOptions const options = port_options("below");
                  Eal const eal(options);
                  Port const port(options, 1, eal);
                  require(port.link() == LinkState{true, 0}, std::to_string(port.link().speed_mbps) + " Mbit/s");
              }),
              "");
}

TEST(Port, SecondMacMakesAnInterfacePromiscuous) {
    NEEDS_NAMESPACES();
    EXPECT_EQ(in_namespace([] {
                  make_veth();
                  PortOptions const options = port_options("va");
                  Eal const eal(options);
                  Port port(options, 1, eal);
                  shell("ip -d link show va | grep -q 'promiscuity 0'");
                  require(port.add_mac(port.description().mac) == 0, "its own");
                  shell("ip -d link show va | grep -q 'promiscuity 0'");
                  require(port.add_mac({2, 0, 0, 0, 0, 9}) == 0, "another");
                  shell("ip -d link show va | grep -q 'promiscuity 1'");
                  require(port.remove_mac({2, 0, 0, 0, 0, 9}) == 0, "removed");
              }),
              "");
}

}  // namespace
}  // namespace librettos
