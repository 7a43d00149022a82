// SPDX-License-Identifier: BSD-2-Clause
// What a bridge has beyond the conformance suite: VFs that are made, taken away with a guest, and made again.
#include <gmock/gmock.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "tests/unit/steering/bridge_bench.hpp"

namespace librettos {

std::unique_ptr<SteeringBench> make_steering_bench(std::string& why_not) {
    why_not = "network namespaces need root";
    return enter_namespace() ? std::make_unique<BridgeBench>() : nullptr;
}

namespace {

// What the kernel tells of the bridge's forwarding table.
class ForwardingNews {
  public:
    struct Place {
        int port;
        bool for_good;
        bool operator==(Place const&) const = default;
    };

    ForwardingNews() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
        sockaddr_nl address{};
        address.nl_family = AF_NETLINK;
        address.nl_groups = RTMGRP_NEIGH;
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof address), 0) << strerror(errno);
    }
    ~ForwardingNews() { close(fd_); }
    ForwardingNews(ForwardingNews const&) = delete;
    ForwardingNews& operator=(ForwardingNews const&) = delete;

    // Where frames for that address have gone, one after the other, since the last call; a bridge that filters VLANs
    // says it for each.
    std::vector<Place> of(VfMac const& mac) {
        std::vector<Place> places;
        alignas(nlmsghdr) std::array<char, 8192> room{};
        for (ssize_t bytes = 0; (bytes = recv(fd_, room.data(), room.size(), 0)) > 0;) {
            auto left = static_cast<unsigned>(bytes);
            for (auto* news = reinterpret_cast<nlmsghdr*>(room.data()); NLMSG_OK(news, left);
                 news = NLMSG_NEXT(news, left))
                if (auto const* entry = static_cast<ndmsg const*>(NLMSG_DATA(news));
                    news->nlmsg_type == RTM_NEWNEIGH && entry->ndm_family == AF_BRIDGE && is_about(*news, mac))
                    places.push_back({entry->ndm_ifindex, (entry->ndm_flags & NTF_STICKY) != 0});
        }
        places.erase(std::unique(places.begin(), places.end()), places.end());
        return places;
    }

  private:
    static bool is_about(nlmsghdr& news, VfMac const& mac) {
        auto left = NLMSG_PAYLOAD(&news, sizeof(ndmsg));
        auto* first = static_cast<char*>(NLMSG_DATA(&news)) + NLMSG_ALIGN(sizeof(ndmsg));
        for (auto* part = reinterpret_cast<rtattr*>(first); RTA_OK(part, left); part = RTA_NEXT(part, left))
            if (part->rta_type == NDA_LLADDR)
                return RTA_PAYLOAD(part) == mac.size() && std::memcmp(RTA_DATA(part), mac.data(), mac.size()) == 0;
        return false;
    }

    int fd_;
};

class BridgeSteeringTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!enter_namespace())
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
    bench->wire().send(guest, peer, 1);
    EXPECT_EQ(bench->port().received(), Numbers{1});
}

// Else a frame that the guest sends by the rings, while the kernel moves the entry, takes it back there.
TEST_F(BridgeSteeringTest, WhatWasLearnedStaysBeforeItIsMoved) {
    using Places = std::vector<ForwardingNews::Place>;
    int const server_port = static_cast<int>(if_nametoindex("port0b")), vf = static_cast<int>(if_nametoindex("vf0b"));
    steering().give(0, {guest});
    auto const end = bench->bring_up(0);
    bench->port().send(peer, guest, 1);
    EXPECT_EQ(bench->wire().received(), Numbers{1}) << "so it is learned";
    ForwardingNews news;
    steering().steer_to_vf(0, guest);
    EXPECT_EQ(news.of(guest), (Places{{server_port, true}, {vf, true}}));
    steering().steer_to_vf(0, guest);
    EXPECT_EQ(news.of(guest), Places{}) << "by the next server, while frames go through the VF";
    steering().steer_to_port(guest);
    EXPECT_EQ(news.of(guest), (Places{{server_port, true}}));
}

// Each time the bridge has learned meanwhile that it is at the server's port, and goes on hearing it there.
TEST_F(BridgeSteeringTest, AGuestThatIsSendingStaysWhereItIsSteeredTo) {
    constexpr std::uint32_t rounds = 1000;
    steering().give(0, {guest});
    auto const vf = bench->bring_up(0);
    RouteNetlink netlink;
    auto const server_port = static_cast<int>(if_nametoindex("port0b"));
    std::atomic<bool> done = false;
    std::thread sender([&] {
        bench->processors().stay_on_last();       // this sends while the kernel steers
        for (; !done; std::this_thread::yield())  // markers have to come by this one's processor, too
            bench->port().send(peer, guest, 0);
    });
    Numbers sent, at_vf;
    for (std::uint32_t round = 0; round < rounds; ++round) {
        steering().steer_to_vf(0, guest);
        bench->wire().send(guest, peer, round);
        sent.push_back(round);
        steering().steer_to_port(guest);
        netlink.remove_forwarding(server_port, guest);
        auto const came = vf->received();
        at_vf.insert(at_vf.end(), came.begin(), came.end());
    }
    done = true;
    sender.join();
    EXPECT_EQ(at_vf.size(), rounds);
    EXPECT_EQ(at_vf, sent);
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
