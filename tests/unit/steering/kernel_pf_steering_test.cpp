// SPDX-License-Identifier: BSD-2-Clause
// What steering by a PF of the kernel's says when it is not to be had, and what it reads from the kernel's messages.
// With a NIC it is tested in tests/xen (IgbVf, IgbVlan): no interface of software has VFs here.
#include <gmock/gmock.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/object.h>
#include <netlink/route/link.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "drivers/steering/kernel_pf_steering.hpp"
#include "tests/unit/steering/own_namespace.hpp"

namespace librettos {
namespace {

namespace fs = std::filesystem;

// A folder like /sys/class/net, in which `lo` has VFs.
class KernelPfSteeringTest : public testing::Test {
  protected:
    KernelPfSteeringTest() {
        fs::create_directories(interfaces / "lo/device");
        for (int number = 0; number < 2; ++number)
            fs::create_symlink("../0000:01:10." + std::to_string(2 * number),
                               interfaces / "lo/device" / ("virtfn" + std::to_string(number)));
    }
    ~KernelPfSteeringTest() override { fs::remove_all(interfaces); }

    std::string why_not(std::string const& pf, std::string const& vf) const {
        try {
            KernelPfSteering const made({.pf = pf, .vfs = {vf}, .interfaces = interfaces});
        } catch (SteeringError const& error) {
            EXPECT_EQ(error.error, ENODEV);
            return error.what();
        }
        return "";
    }

    fs::path const interfaces =
        fs::path(testing::TempDir()) / ("kernel-pf-" + std::to_string(static_cast<long>(getpid())));
};

TEST_F(KernelPfSteeringTest, WhatIsMissingIsSaid) {
    EXPECT_THAT(why_not("no-such-nic", "0000:01:10.0"), testing::HasSubstr("there is no interface no-such-nic"));
    EXPECT_THAT(why_not("lo", "0000:01:10.4"),
                testing::AllOf(testing::HasSubstr("0000:01:10.4 is no VF of lo"), testing::HasSubstr("sriov_numvfs")));
}

TEST_F(KernelPfSteeringTest, AnInterfaceWhoseDriverHasNoVfsIsRefused) {
    EXPECT_EQ(why_not("lo", "0000:01:10.2"), "lo has no VF 1");
}

// On an interface that has no VFs.
class PfVlanTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!enter_namespace())
            GTEST_SKIP() << "network namespaces need root";
        ASSERT_EQ(run("ip link add pf0 type veth peer name pf0b"), 0);
        index = netlink.emplace().find("pf0").value().index;
        try {
            netlink->add_vlan(index, 5, "probe");
        } catch (SteeringError const& error) {
            ASSERT_EQ(error.error, ENOTSUP) << error.what();
            GTEST_SKIP() << "no VLANs in this kernel";
        }
        netlink->remove(netlink->find("probe").value().index);
    }
    void TearDown() override { run("ip link del pf0"); }
    // Numbers of those that the PF receives.
    std::vector<std::uint16_t> vlans() {
        std::vector<std::uint16_t> numbers;
        for (auto const& link : netlink->vlans_of(index))
            numbers.push_back(link.vlan);
        return numbers;
    }
    using Vlans = std::vector<std::uint16_t>;

    std::optional<RouteNetlink> netlink;  // of the namespace that was entered
    int index = 0;
};

TEST_F(PfVlanTest, ThePfReceivesItAsLongAsItLives) {
    {
        PfVlan const vlan(*netlink, "pf0", 42);
        ASSERT_EQ(vlans(), Vlans{42});
        EXPECT_FALSE(netlink->find(netlink->vlans_of(index)[0].name).value().up)
            << "else the kernel would speak through it";
    }
    EXPECT_EQ(vlans(), Vlans{});
    PfVlan const none(*netlink, "pf0", 0);
    EXPECT_EQ(vlans(), Vlans{});
}

TEST_F(PfVlanTest, WhatAKilledServerLeftIsTakenOverOrRemoved) {
    netlink->add_vlan(index, 42, "lrvlan%d");
    {
        PfVlan const same(*netlink, "pf0", 42);
        EXPECT_EQ(vlans(), Vlans{42});
    }
    EXPECT_EQ(vlans(), Vlans{});
    netlink->add_vlan(index, 42, "lrvlan%d");
    {
        PfVlan const other(*netlink, "pf0", 43);
        EXPECT_EQ(vlans(), Vlans{43});
    }
    netlink->add_vlan(index, 42, "lrvlan%d");
    PfVlan const none(*netlink, "pf0", 0);
    EXPECT_EQ(vlans(), Vlans{});
}

TEST_F(PfVlanTest, AnOperatorsStays) {
    netlink->add_vlan(index, 42, "mine");
    netlink->add_vlan(index, 77, "other");
    {
        PfVlan const vlan(*netlink, "pf0", 42);
        EXPECT_EQ(vlans(), (Vlans{42, 77}));
    }
    EXPECT_EQ(vlans(), (Vlans{42, 77}));
}

TEST_F(PfVlanTest, OneOfAnotherNamespaceDoesAsWell) {
    auto const elsewhere = "lr-vlan-" + std::to_string(getpid());
    netlink->add_vlan(index, 42, "mine");
    ASSERT_EQ(run("ip netns add " + elsewhere + " && ip link set mine netns " + elsewhere), 0);
    {
        PfVlan const vlan(*netlink, "pf0", 42);
        EXPECT_EQ(vlans(), Vlans{});
    }
    EXPECT_EQ(run("ip -n " + elsewhere + " link show mine"), 0);
    EXPECT_EQ(run("ip netns del " + elsewhere), 0);
}

TEST_F(KernelPfSteeringTest, AVlanThatCannotBeReceivedIsRefused) {
    if (!enter_namespace())
        GTEST_SKIP() << "network namespaces need root";
    try {
        KernelPfSteering const made({.pf = "lo", .vfs = {}, .vlan = 42, .interfaces = interfaces});
        FAIL();
    } catch (SteeringError const& error) {
        EXPECT_EQ(error.error, ENOTSUP);
        EXPECT_THAT(error.what(), testing::HasSubstr("modprobe 8021q"));
    }
}

// RTM_NEWLINK of a PF with two VFs, as the kernel fills it in: the second has a VLAN and has been used.
class PfMessage : public testing::Test {
  protected:
    static constexpr VfMac second{2, 0x4c, 0x56, 0, 0, 1};

    PfMessage() : message(nlmsg_alloc_simple(RTM_NEWLINK, 0), nlmsg_free) {
        nlmsg_set_proto(message.get(), NETLINK_ROUTE);
        ifinfomsg info{};
        info.ifi_index = 7;
        nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO);
        nla_put_string(message.get(), IFLA_IFNAME, "pf0");
        nla_put_u32(message.get(), IFLA_NUM_VF, 2);
        nlattr* const list = nla_nest_start(message.get(), IFLA_VFINFO_LIST);
        put_vf(0, {}, 0, {});
        put_vf(1, second, 42, {11, 1100, 7, 420});
        nla_nest_end(message.get(), list);
    }
    void put_vf(std::uint32_t vf, VfMac const& mac, std::uint32_t vlan, VfTraffic const& traffic) {
        nlattr* const one = nla_nest_start(message.get(), IFLA_VF_INFO);
        ifla_vf_mac address{};
        address.vf = vf;
        std::copy(mac.begin(), mac.end(), std::begin(address.mac));
        ifla_vf_vlan const tag{.vf = vf, .vlan = vlan, .qos = 0};
        nla_put(message.get(), IFLA_VF_MAC, sizeof address, &address);
        nla_put(message.get(), IFLA_VF_VLAN, sizeof tag, &tag);
        nlattr* const tags = nla_nest_start(message.get(), IFLA_VF_VLAN_LIST);
        ifla_vf_vlan_info const detail{.vf = vf, .vlan = vlan, .qos = 0, .vlan_proto = htons(0x8100)};
        nla_put(message.get(), IFLA_VF_VLAN_INFO, sizeof detail, &detail);
        nla_nest_end(message.get(), tags);
        nlattr* const counters = nla_nest_start(message.get(), IFLA_VF_STATS);
        nla_put_u64(message.get(), IFLA_VF_STATS_RX_PACKETS, traffic.received_frames);
        nla_put_u64(message.get(), IFLA_VF_STATS_TX_PACKETS, traffic.sent_frames);
        nla_put_u64(message.get(), IFLA_VF_STATS_RX_BYTES, traffic.received_bytes);
        nla_put_u64(message.get(), IFLA_VF_STATS_TX_BYTES, traffic.sent_bytes);
        nla_nest_end(message.get(), counters);
        nla_nest_end(message.get(), one);
    }
    VfFacts facts(std::uint16_t vf) {
        rtnl_link* link = nullptr;
        nl_msg_parse(
            message.get(),
            [](nl_object* parsed, void* to) {
                nl_object_get(parsed);
                *static_cast<rtnl_link**>(to) = reinterpret_cast<rtnl_link*>(parsed);
            },
            &link);
        if (link == nullptr)
            throw std::runtime_error("no link in the message");
        std::unique_ptr<rtnl_link, void (*)(rtnl_link*)> const owner(link, rtnl_link_put);
        return facts_of_vf(link, "pf0", vf);
    }

    std::unique_ptr<nl_msg, void (*)(nl_msg*)> message;
};

TEST_F(PfMessage, SaysWhatAVfHas) {
    auto const used = facts(1);
    EXPECT_EQ(used.mac, second);
    EXPECT_EQ(used.vlan, 42);
    EXPECT_EQ(used.traffic, (VfTraffic{11, 1100, 7, 420}));
    auto const fresh = facts(0);
    EXPECT_EQ(fresh.vlan, 0);
    EXPECT_EQ(fresh.traffic, VfTraffic{});
    EXPECT_THROW(facts(2), SteeringError);
}

}  // namespace
}  // namespace librettos
