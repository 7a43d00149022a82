// SPDX-License-Identifier: BSD-2-Clause
// What a server's offer makes of a TAP interface, as ip(8) sees it, and namespaces with names.
#include "guest-frontend/linux/interface.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "guest-frontend/linux/network_namespace.hpp"
#include "guest-frontend/linux/sysctl.hpp"
#include "guest-frontend/linux/tap_device.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {
namespace {

using nlohmann::json;

json ip(std::string const& arguments) {
    std::string const command = "ip -details -json " + arguments;
    std::unique_ptr<FILE, int (*)(FILE*)> const output(popen(command.c_str(), "r"), &pclose);
    std::string text;
    std::array<char, 4096> part{};
    while (std::size_t const length = fread(part.data(), 1, part.size(), output.get())) {
        text.append(part.data(), length);
    }
    return json::parse(text, nullptr, false);
}

Offer an_offer() {
    return {.mode = LVIF_MODE_SHARED,
            .mac = {2, 0, 0, 0, 0, 7},
            .ipv4 = {192, 0, 2, 2},
            .ipv4_prefix = 24,
            .gateway4 = {192, 0, 2, 1},
            .ipv6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
            .ipv6_prefix = 64,
            .gateway6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
            .mtu = 1400,
            .vlan = 0,
            .max_queues = 1,
            .max_ring_bytes = LVIF_RING_DEFAULT_CAPACITY,
            .features = LVIF_F_ALL,
            .port_authority_is_server = false,
            .attach_serial = 0};
}

class Configured : public testing::Test {
  protected:
    void SetUp() override {
        if (!enter_private_network()) {
            GTEST_SKIP() << "needs root: a network namespace of its own";
        }
        tap_.emplace("lvif0", 1);
        interface_.emplace("lvif0");
    }
    static json addresses() {
        json found = json::array();
        json const shown = ip("address show dev lvif0");
        for (auto const& address : shown[0]["addr_info"]) {
            found.push_back(address["local"].get<std::string>() + "/" +
                            std::to_string(address["prefixlen"].get<int>()));
        }
        return found;
    }

    std::optional<TapDevice> tap_;
    std::optional<Interface> interface_;
};

TEST_F(Configured, HasWhatTheServerOffers) {
    tap_->set_carrier(true);
    interface_->prepare(an_offer(), 65000);
    interface_->bring_up(an_offer());
    json const link = ip("link show dev lvif0")[0];
    EXPECT_EQ(link["address"], "02:00:00:00:00:07");
    EXPECT_EQ(link["mtu"], 1400);
    EXPECT_EQ(link["gso_max_size"], 65000);
    EXPECT_EQ(link["inet6_addr_gen_mode"], "none");
    EXPECT_EQ(addresses(), json::array({"192.0.2.2/24", "2001:db8::2/64"})) << "and no link-local one";
    json const shown = ip("address show dev lvif0");
    for (auto const& address : shown[0]["addr_info"]) {
        EXPECT_FALSE(address.contains("tentative")) << address;
    }
    EXPECT_EQ(ip("route show default")[0]["gateway"], "192.0.2.1");
    EXPECT_TRUE(ip("route show default")[0]["flags"].empty());
    EXPECT_EQ(ip("-6 route show default")[0]["gateway"], "2001:db8::1");
    EXPECT_EQ(read_sysctl("net/ipv6/conf/lvif0/accept_ra"), "0\n");
}

TEST_F(Configured, ReachesAGatewayOutsideItsSubnet) {
    Offer offer = an_offer();
    offer.ipv4_prefix = 32;
    offer.ipv6_prefix = 128;
    tap_->set_carrier(true);
    interface_->prepare(offer, 65000);
    interface_->bring_up(offer);
    EXPECT_EQ(ip("route show default")[0]["flags"], json::array({"onlink"}));
    EXPECT_EQ(ip("-6 route show default")[0]["flags"], json::array({"onlink"}));
}

TEST_F(Configured, TakesANewOfferWithoutTracesOfTheOld) {
    interface_->prepare(an_offer(), 65000);
    interface_->bring_up(an_offer());
    interface_->take_down();
    Offer offer = an_offer();
    offer.ipv4[3] = 9;
    std::fill(std::begin(offer.ipv6), std::end(offer.ipv6), std::uint8_t{0});
    std::fill(std::begin(offer.gateway6), std::end(offer.gateway6), std::uint8_t{0});
    offer.mtu = 9000;
    interface_->prepare(offer, 32000);
    interface_->bring_up(offer);
    EXPECT_EQ(addresses(), json::array({"192.0.2.9/24"}));
    EXPECT_EQ(ip("link show dev lvif0")[0]["mtu"], 9000);
    EXPECT_EQ(ip("link show dev lvif0")[0]["gso_max_size"], 32000);
    EXPECT_EQ(ip("route show default").size(), 1u);
    EXPECT_TRUE(ip("-6 route show default").empty());
    interface_->set_mtu(1300);
    EXPECT_EQ(ip("link show dev lvif0")[0]["mtu"], 1300);
}

TEST_F(Configured, ShowsTheCarrierOfTheWire) {
    interface_->prepare(an_offer(), 65000);
    interface_->bring_up(an_offer());
    EXPECT_EQ(ip("link show dev lvif0")[0]["operstate"], "DOWN");
    tap_->set_carrier(true);
    EXPECT_TRUE(eventually([] { return ip("link show dev lvif0")[0]["operstate"] == "UP"; }));
}

TEST(Tap, SwitchesItsQueues) {
    if (!enter_private_network()) {
        GTEST_SKIP() << "needs root: a network namespace of its own";
    }
    TapDevice tap("lvif0", 4);
    EXPECT_EQ(ip("link show dev lvif0")[0]["linkinfo"]["info_data"]["numqueues"], 4);
    tap.use_queues(1);
    EXPECT_EQ(ip("link show dev lvif0")[0]["linkinfo"]["info_data"]["numqueues"], 1);
    tap.use_queues(3);
    EXPECT_EQ(ip("link show dev lvif0")[0]["linkinfo"]["info_data"]["numqueues"], 3);
    tap.set_offloads(LVIF_F_ALL);
    EXPECT_THROW(TapDevice("lvif0", 1), std::system_error) << "the name is taken";
    EXPECT_THROW(TapDevice("sixteen-letters0", 1), std::system_error);
}

// In a mount namespace of its own, so that nothing is left behind whatever happens.
bool enter_private_mounts() {
    return unshare(CLONE_NEWNS) == 0 && mkdir("/run/netns", 0755) >= -1 &&
           std::system("mount --make-rprivate / && mount -t tmpfs none /run/netns") == 0;
}

TEST(NamedNamespace, IsMadeAndRemoved) {
    if (!enter_private_mounts()) {
        GTEST_SKIP() << "needs root: a mount namespace of its own";
    }
    {
        NetworkNamespace const made("unit-test", NetworkNamespace::Existing::join);
        EXPECT_TRUE(made.made());
        EXPECT_EQ(std::system("ip netns exec unit-test true"), 0);
        std::thread([] {
            NetworkNamespace const joined("unit-test", NetworkNamespace::Existing::join);
            EXPECT_FALSE(joined.made());
        }).join();
        EXPECT_EQ(access("/run/netns/unit-test", F_OK), 0) << "not removed by who only joined";
    }
    EXPECT_NE(access("/run/netns/unit-test", F_OK), 0);
}

TEST(NamedNamespace, ReplacesWhatAKilledGuestLeft) {
    if (!enter_private_mounts()) {
        GTEST_SKIP() << "needs root: a mount namespace of its own";
    }
    ASSERT_EQ(std::system("ip netns add unit-test && ip -n unit-test link add left type veth peer name over"), 0);
    NetworkNamespace const made("unit-test", NetworkNamespace::Existing::replace);
    EXPECT_TRUE(made.made());
    EXPECT_EQ(ip("link show").size(), 1u) << "loopback alone";
}

}  // namespace
}  // namespace librettos::guest
