// SPDX-License-Identifier: BSD-2-Clause
// Claims of ports: of the server, and of the hypervisor.
#include <librettos/portmap_hypercall.h>

#include "component.hpp"

namespace {

constexpr int tcp = 6;
constexpr int udp = 17;

class RumprunPorts : public Component {
  protected:
    void offer(std::string const& mode, std::string const& authority) {
        os.server.offer["mode"] = mode;
        os.server.offer["port-authority"] = authority;
        ASSERT_EQ(create(), 0);
    }
    int claim(int protocol, unsigned port) {
        return os.in_kernel([&] { return rumpcomp_lvif_port_claim(protocol, port); });
    }
    int release(int protocol, unsigned port) {
        return os.in_kernel([&] { return rumpcomp_lvif_port_release(protocol, port); });
    }
    std::vector<lvif_message> const& asked() const { return os.server.port_requests; }
};

TEST_F(RumprunPorts, ConcernSharedGuestsOnly) {
    EXPECT_EQ(rumpcomp_lvif_ports_shared(), 0);
    EXPECT_EQ(claim(tcp, 80), LVIF_PORTS_NOBODY);
    offer("dedicated", "server");
    EXPECT_EQ(rumpcomp_lvif_ports_shared(), 0);
    destroy();
    os.server.offer["mode"] = "shared";
    ASSERT_EQ(create(), 0);
    EXPECT_EQ(rumpcomp_lvif_ports_shared(), 1);
}

TEST_F(RumprunPorts, AreAskedOfTheServer) {
    offer("shared", "server");
    EXPECT_EQ(claim(tcp, 80), 0);
    EXPECT_EQ(claim(udp, 666), LVIF_PORTS_IN_USE);
    EXPECT_EQ(release(tcp, 80), 0);
    unsigned first = 0;
    EXPECT_EQ(os.in_kernel([&] { return rumpcomp_lvif_ports_lease(512, &first); }), 0);
    EXPECT_EQ(first, 40000u);
    ASSERT_EQ(asked().size(), 4u);
    EXPECT_EQ(asked()[0].u.port.protocol, tcp);
    EXPECT_EQ(asked()[1].u.port.protocol, udp);
    EXPECT_EQ(asked()[2].type, LVIF_MSG_PORT_RELEASE);
    EXPECT_EQ(asked()[2].u.port.count, 1);
    EXPECT_EQ(asked()[3].u.port.count, 512);
    EXPECT_EQ(asked()[3].u.port.protocol, LVIF_PORT_TCP_AND_UDP);
}

TEST_F(RumprunPorts, OfAServerThatIsAwayAreNotClaimed) {
    offer("shared", "server");
    os.server.crash();
    auto const start = os.world.now_us;
    EXPECT_EQ(claim(tcp, 80), LVIF_PORTS_NOBODY);
    EXPECT_GE(os.world.now_us, start + 4'900'000);
    EXPECT_LE(os.world.now_us, start + 6'000'000);
    os.server.restart();
    EXPECT_EQ(claim(tcp, 80), 0);
}

TEST_F(RumprunPorts, AreClaimedThroughARestart) {
    offer("shared", "server");
    os.server.crash();
    bmk_sched_create(
        "operator", nullptr, 1,
        [](void* /*context*/) {
            MiniOs::machine().run_for(1000);
            MiniOs::machine().server.restart();
        },
        nullptr, nullptr, 0);
    EXPECT_EQ(claim(tcp, 80), 0);
}

TEST_F(RumprunPorts, AreAskedForAgainAfterADetach) {
    offer("shared", "server");
    os.server.answers_ports = false;
    bmk_sched_create(
        "operator", nullptr, 1,
        [](void* /*context*/) {
            MiniOs::machine().run_for(200);
            MiniOs::machine().server.answers_ports = true;
            MiniOs::machine().server.detach("while it was asked");
        },
        nullptr, nullptr, 0);
    EXPECT_EQ(claim(tcp, 80), 0);
}

// Nobody will use it.
TEST_F(RumprunPorts, ThatAreGrantedTooLateAreGivenBack) {
    offer("shared", "server");
    os.server.answers_ports = false;
    EXPECT_EQ(claim(tcp, 80), LVIF_PORTS_NOBODY);
    os.server.answers_ports = true;
    ASSERT_TRUE(os.run_until([this] { return asked().size() == 2; }));
    EXPECT_EQ(asked()[1].type, LVIF_MSG_PORT_RELEASE);
    EXPECT_EQ(asked()[1].u.port.port, 80);
    EXPECT_EQ(asked()[1].u.port.count, 1);
}

TEST_F(RumprunPorts, WaitForAPlaceWhenManyAsk) {
    offer("shared", "server");
    unsigned done = 0;
    for (unsigned i = 0; i < 12; ++i) {
        bmk_sched_create(
            "application", nullptr, 1,
            [](void* context) {
                MiniOs::machine().in_kernel([&] { EXPECT_EQ(rumpcomp_lvif_port_claim(tcp, 80), 0); });
                ++*static_cast<unsigned*>(context);
            },
            &done, nullptr, 0);
    }
    EXPECT_TRUE(os.run_until([&] { return done == 12; }));
    EXPECT_EQ(asked().size(), 12u);
}

TEST_F(RumprunPorts, AreAskedOfTheHypervisor) {
    std::vector<unsigned long> operations;
    int answer = 0;
    os.hypercall = [&](unsigned long operation, void* structure) {
        operations.push_back(operation);
        auto& ports = *static_cast<lvif_portmap_ports*>(structure);
        if (operation == LVIF_PORTMAP_OP_LEASE) {
            EXPECT_EQ(ports.count, 512u);
            ports.port = 41000;
        } else {
            EXPECT_EQ(ports.port, 80);
        }
        return answer;
    };
    offer("shared", "hypervisor");
    unsigned first = 0;
    EXPECT_EQ(claim(tcp, 80), 0);
    EXPECT_EQ(os.in_kernel([&] { return rumpcomp_lvif_ports_lease(512, &first); }), 0);
    EXPECT_EQ(first, 41000u);
    EXPECT_EQ(release(tcp, 80), 0);
    EXPECT_EQ(operations,
              (std::vector<unsigned long>{LVIF_PORTMAP_OP_BIND, LVIF_PORTMAP_OP_LEASE, LVIF_PORTMAP_OP_RELEASE}));
    answer = -98;
    EXPECT_EQ(claim(tcp, 80), LVIF_PORTS_IN_USE);
    answer = -122;
    EXPECT_EQ(claim(tcp, 80), LVIF_PORTS_IN_USE);
    EXPECT_NE(os.console.find("limit of ports"), std::string::npos);
    answer = -38;
    EXPECT_EQ(claim(tcp, 80), LVIF_PORTS_NOBODY);
    EXPECT_TRUE(asked().empty());
}

}  // namespace
