// SPDX-License-Identifier: BSD-2-Clause
// A guest's switch to a VF and back with the kernel's own stack behind the TAP: the VF is a veth, the rings and the
// wire are the test's.
#include "guest-frontend/linux/vf_path.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "guest-frontend/linux/interface.hpp"
#include "tests/unit/linux/numbered_traffic.hpp"
#include "tests/unit/linux/ring_double.hpp"
#include "tests/unit/linux/running_program.hpp"

namespace librettos::guest {
namespace {

constexpr int oper_up = 6;  // IF_OPER_UP of linux/if.h, which cannot be included beside net/if.h
constexpr auto step = std::chrono::milliseconds(1);

bool run(std::string const& commands) {
    return std::system(("set -e; exec >/dev/null 2>&1; " + commands).c_str()) == 0;
}

class VfSwitching : public testing::Test {
  protected:
    void SetUp() override {
        if (!enter_private_network()) {
            GTEST_SKIP() << "needs root: network namespaces of its own";
        }
        home_ = present_network_namespace();
        ASSERT_TRUE(
            run("ip link add vf0b type veth peer name vf0; ip link set vf0 address 02:00:00:00:00:02; "
                "ip link set vf0b address 02:00:00:00:00:01; sysctl -w net.ipv6.conf.vf0b.disable_ipv6=1; "
                "ip link set vf0b up"));
        wire_ = packet_socket("vf0b");
        elsewhere_ = route_in_home();
        ASSERT_TRUE(enter_private_network());
        tap_.emplace("lvif0", 1);
        pump_.emplace(&ring_, events_, *tap_, LVIF_POLL_DEFAULT_US);
        Offer offer{};
        std::copy(guests_mac.begin(), guests_mac.end(), offer.mac);
        std::uint8_t const address[4] = {192, 0, 2, 2};
        std::memcpy(offer.ipv4, address, sizeof address);
        offer.ipv4_prefix = 24;
        offer.mtu = 1500;
        tap_->set_offloads(LVIF_F_ALL);
        tap_->set_carrier(true);
        Interface interface("lvif0");
        interface.prepare(offer, 65000);
        interface.bring_up(offer);
        ASSERT_TRUE(run("ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev lvif0 nud permanent"));
        pump_->connect(1);
    }
    void TearDown() override {
        path_.reset();
        vf_.reset();
    }
    void use(std::string const& wanted) {
        path_.reset();
        vf_ = std::make_unique<VfInterface>(wanted, "lvif0", Descriptor(fcntl(home_.get(), F_DUPFD_CLOEXEC, 3)));
        path_ = std::make_unique<VfPath>(*vf_, &ring_, *pump_, *tap_);
    }

    static Descriptor packet_socket(char const* interface) {
        Descriptor made = checked_descriptor(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_IP);
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
        int const bytes = 16 << 20;
        setsockopt(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
        EXPECT_EQ(bind(made.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
        return made;
    }
    NetlinkSocket route_in_home() { return open_route_netlink(); }  // while the test is there
    // State of an interface that is not in the guest's namespace.
    bool at_home(std::string const& name) {
        rtnl_link* link = nullptr;
        bool const there = rtnl_link_get_kernel(elsewhere_.get(), 0, name.c_str(), &link) == 0;
        rtnl_link_put(link);
        return there;
    }
    bool is_operational_at_home(std::string const& name) {
        rtnl_link* link = nullptr;
        EXPECT_EQ(rtnl_link_get_kernel(elsewhere_.get(), 0, name.c_str(), &link), 0);
        bool const operational = rtnl_link_get_operstate(link) == oper_up;
        rtnl_link_put(link);
        return operational;
    }
    void set_at_home(std::string const& name, bool up) {
        rtnl_link* link = nullptr;
        ASSERT_EQ(rtnl_link_get_kernel(elsewhere_.get(), 0, name.c_str(), &link), 0);
        ASSERT_EQ(rtnl_link_change(elsewhere_.get(), link, link_with_up(up).get(), 0), 0);
        rtnl_link_put(link);
    }

    // As Guest's loop does, until `done`; with an answer to give up at.
    int until_done(std::function<int()> const& operation) {
        for (auto const end = VfPath::Clock::now() + patience; VfPath::Clock::now() < end;) {
            live();
            if (int const result = operation(); result != 0) {
                return result;
            }
            std::this_thread::sleep_for(step);
        }
        return 0;
    }
    void live() {
        if (int const held = path_->held_frames_fd(); held >= 0) {
            pollfd frames{held, POLLIN, 0};
            if (poll(&frames, 1, 0) == 1) {
                path_->held_frames_came();
            }
        }
        lost_ = path_->look_after() || lost_;
    }
    // Once the other end sends, too, which a NIC's end of a VF always does: the kernel takes its time over a veth's.
    int open(VfMac const& mac = guests_mac) {
        int const result = until_done([&] { return path_->open(mac, 0, 1500); });
        if (result == 1) {
            EXPECT_TRUE(eventually([&] { return is_operational_at_home("vf0b"); }));
        }
        return result;
    }
    int begin() {
        return until_done([&] { return path_->begin(); });
    }

    Descriptor guest_socket() {
        Descriptor made = checked_descriptor(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(our_port);
        EXPECT_EQ(bind(made.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
        inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
        EXPECT_EQ(connect(made.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
        int const bytes = 16 << 20;
        setsockopt(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
        return made;
    }
    void send_to_vf(std::uint32_t number) {
        auto const frame = datagram(number);
        ASSERT_EQ(::send(wire_.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
    }
    std::optional<std::uint32_t> next_on_wire() {
        std::array<std::uint8_t, 2048> frame{};
        for (ssize_t bytes = 0; (bytes = recv(wire_.get(), frame.data(), frame.size(), 0)) > 0;) {
            if (auto const number = number_in(frame.data(), static_cast<std::size_t>(bytes))) {
                return number;
            }
        }
        return std::nullopt;
    }

    Descriptor home_;
    Descriptor wire_;  // the VF's other end
    NetlinkSocket elsewhere_;
    lvif_device ring_;
    RingEvents events_;
    std::optional<TapDevice> tap_;
    std::optional<FramePump> pump_;
    std::unique_ptr<VfInterface> vf_;
    std::unique_ptr<VfPath> path_;
    bool lost_ = false;
};

TEST_F(VfSwitching, LosesDoublesAndReordersNothing) {
    use("auto");
    Descriptor const guest = guest_socket();
    Traffic traffic(ring_, wire_.get(), guest.get());
    unsigned switches = 0;
    auto const end = VfPath::Clock::now() + 4 * patience;
    while (!traffic.done() && VfPath::Clock::now() < end) {
        traffic.allow(Traffic::total / 40);
        ASSERT_EQ(open(), 1);
        traffic.allow(Traffic::total / 40);
        traffic.steer(true);
        auto const steered_by = VfPath::Clock::now() + std::chrono::seconds(1);  // not when all has been sent
        while (!traffic.has_steered() && VfPath::Clock::now() < steered_by) {
            live();
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        std::this_thread::sleep_for(step);
        traffic.deliver_kept_back();
        if (switches % 2 == 0) {
            ring_.mark();
            std::this_thread::sleep_for(switches % 4 * step);
        }
        ASSERT_EQ(begin(), 1);
        std::this_thread::sleep_for(5 * step);
        path_->end();
        traffic.steer(false);
        path_->close();
        traffic.deliver_kept_back();
        ring_.mark(false);
        ++switches;
        std::this_thread::sleep_for(2 * step);
    }
    EXPECT_TRUE(traffic.done()) << traffic.outbound.next << " and " << traffic.inbound.next;
    EXPECT_GE(switches, 20u);
    RecordProperty("switches", static_cast<int>(switches));
    EXPECT_EQ(traffic.outbound.wrong, 0u) << "lost, doubled or out of order on their way out, over " << switches;
    EXPECT_EQ(traffic.inbound.wrong, 0u) << "on their way in";
}

TEST_F(VfSwitching, ReceivesAtLastWhenNobodyCommits) {
    use("auto");
    Descriptor const guest = guest_socket();
    ASSERT_EQ(open(), 1);
    send_to_vf(7);
    std::uint32_t number = 0;
    EXPECT_LT(recv(guest.get(), &number, sizeof number, MSG_DONTWAIT), 0) << "the rings' frames would come first";
    EXPECT_EQ(until_done([&] { return recv(guest.get(), &number, sizeof number, MSG_DONTWAIT) == sizeof number; }), 1);
    EXPECT_EQ(number, 7u);
}

TEST_F(VfSwitching, AMarkedRingLetsTheVfIn) {
    use("auto");
    Descriptor const guest = guest_socket();
    for (std::uint32_t round = 0; round < 2; ++round) {
        ASSERT_EQ(open(), 1);
        send_to_vf(2 * round + 1);
        std::uint32_t number = 0;
        EXPECT_LT(recv(guest.get(), &number, sizeof number, MSG_DONTWAIT), 0);
        ring_.deliver({{datagram(2 * round), {}}});
        ring_.mark();
        for (std::uint32_t wanted = 2 * round; wanted < 2 * round + 2; ++wanted) {
            ASSERT_TRUE(eventually([&] { return recv(guest.get(), &number, sizeof number, MSG_DONTWAIT) == 4; }));
            EXPECT_EQ(number, wanted);
        }
        EXPECT_EQ(path_->wake_at(), VfPath::Clock::time_point::max()) << "not since it waited for too long";
        path_->close();  // without COMMIT
        ring_.mark(false);
    }
}

TEST_F(VfSwitching, AVfIsLetInAfterTheLastRing) {
    Descriptor const wake = checked_descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
    VfLane lane(Descriptor(fcntl(wire_.get(), F_DUPFD_CLOEXEC, 3)), tap_->queue_fd(0), wake.get(), LVIF_MAX_QUEUES);
    eventfd_t woken = 0;
    for (std::uint16_t queue = 0; queue < LVIF_MAX_QUEUES; ++queue) {
        EXPECT_FALSE(lane.lets_in());
        lane.ring_is_in(queue);
        lane.ring_is_in(queue);
    }
    EXPECT_TRUE(lane.lets_in());
    EXPECT_EQ(eventfd_read(wake.get(), &woken), 0) << "whose thread it is may be asleep";
}

TEST_F(VfSwitching, SendsAtLastWhenTheServerTakesNothing) {
    use("auto");
    Descriptor const guest = guest_socket();
    std::uint32_t number = 1;
    ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
    ASSERT_TRUE(eventually([&] { return ring_.waiting() == 1; }));
    ASSERT_EQ(open(), 1);
    EXPECT_EQ(path_->begin(), 0) << "there is an older frame in the ring";
    number = 2;
    ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
    EXPECT_EQ(next_on_wire(), std::nullopt);
    EXPECT_EQ(begin(), 1);
    EXPECT_TRUE(eventually([&] { return next_on_wire() == 2; }));
}

TEST_F(VfSwitching, WaitsForNoDeadServer) {
    use("auto");
    Descriptor const guest = guest_socket();
    std::uint32_t number = 1;
    ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
    ASSERT_TRUE(eventually([&] { return ring_.waiting() == 1; }));
    ASSERT_EQ(open(), 1);
    ring_.die();
    EXPECT_EQ(path_->begin(), 1);
    send_to_vf(8);
    EXPECT_TRUE(
        eventually([&] { return recv(guest.get(), &number, sizeof number, MSG_DONTWAIT) == 4 && number == 8; }));
}

// More than a burst of them, and the thread that moves frames comes late.
TEST_F(VfSwitching, OnTheWayBackTheVfsFramesComeFirst) {
    use("auto");
    Descriptor const guest = guest_socket();
    ASSERT_EQ(open(), 1);
    ASSERT_EQ(begin(), 1);
    pump_->quiesce();
    path_->end();
    constexpr std::uint32_t frames = 500;
    for (std::uint32_t number = 0; number < frames; ++number) {
        send_to_vf(number);
    }
    std::vector<RingFrame> younger;
    for (std::uint32_t number = frames; number < 2 * frames; ++number) {
        younger.push_back({datagram(number), {}});
    }
    ring_.deliver(std::move(younger));
    std::this_thread::sleep_for(100 * step);  // the kernel has given all of them to the VF's socket
    pump_->connect(1);
    Account account;
    EXPECT_TRUE(eventually([&] {
        for (std::uint32_t number = 0; recv(guest.get(), &number, sizeof number, MSG_DONTWAIT) == 4;) {
            account.add(number);
        }
        return account.next == 2 * frames;
    }));
    EXPECT_EQ(account.wrong, 0u);
}

// The thread that moves frames looks on all the time, and sleeps no more.
TEST_F(VfSwitching, AVfIsGivenBackWhileFramesKeepComing) {
    pump_.emplace(&ring_, events_, *tap_, LVIF_POLL_MAX_US);
    pump_->connect(1);
    use("auto");
    ASSERT_EQ(open(), 1);
    ASSERT_EQ(begin(), 1);
    ASSERT_TRUE(eventually([&] { return ring_.asleep(); })) << "watches the VF";
    std::atomic<bool> given_back = false;
    std::thread feeder([&] {
        auto const end = VfPath::Clock::now() + patience;
        for (std::uint32_t number = 0; !given_back && VfPath::Clock::now() < end; ++number) {
            ring_.deliver({{datagram(number), {}}});
            std::this_thread::sleep_for(step);
        }
        EXPECT_TRUE(given_back) << "not before frames ceased to come";
    });
    EXPECT_TRUE(eventually([&] { return !ring_.asleep(); })) << "looks on";
    path_->end();
    path_->close();
    given_back = true;
    feeder.join();
}

TEST_F(VfSwitching, HalfABeginIsUndone) {
    use("auto");
    Descriptor const guest = guest_socket();
    std::uint32_t number = 1;
    ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
    ASSERT_TRUE(eventually([&] { return ring_.waiting() == 1; }));
    ASSERT_EQ(open(), 1);
    EXPECT_EQ(path_->begin(), 0);
    number = 2;
    ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
    path_->end();
    EXPECT_TRUE(eventually([&] { return ring_.waiting() == 2; }));
    path_->close();
    EXPECT_TRUE(at_home("vf0"));
}

TEST_F(VfSwitching, TakesOnlyWhatIsMeant) {
    use("auto");
    ASSERT_EQ(until_done([&] { return path_->open(peers_mac, 0, 1500); }), -ENODEV) << "vf0b is in use";
    path_->close();
    EXPECT_TRUE(at_home("vf0b"));
    EXPECT_EQ(path_->open(guests_mac, 5, 1500), LVIF_EOPNOTSUPP) << "no tags";
    path_->close();
    use("vf9");
    ASSERT_EQ(open(), -ENODEV);
    path_->close();
    ASSERT_TRUE(at_home("vf0"));
    use("vf0");
    ASSERT_EQ(open({2, 0, 0, 0, 0, 9}), 1);
    EXPECT_FALSE(at_home("vf0")) << "nobody else has it";
    EXPECT_FALSE(run("ip link show dev vf0")) << "not even the guest sees it";
    path_->close();
    EXPECT_TRUE(at_home("vf0"));
}

TEST_F(VfSwitching, AnUnpluggedVfIsNoticed) {
    for (bool const removed : {false, true}) {
        use("auto");
        Descriptor const guest = guest_socket();
        lost_ = false;
        ASSERT_EQ(open(), 1);
        ASSERT_EQ(begin(), 1);
        live();
        ASSERT_FALSE(lost_);
        if (removed) {
            rtnl_link* link = nullptr;
            ASSERT_EQ(rtnl_link_get_kernel(elsewhere_.get(), 0, "vf0b", &link), 0);
            ASSERT_EQ(rtnl_link_delete(elsewhere_.get(), link), 0);
            rtnl_link_put(link);
        } else {
            set_at_home("vf0b", false);
        }
        EXPECT_EQ(until_done([&] { return lost_ ? 1 : 0; }), 1);
        path_->end();
        path_->close();
        std::uint32_t const number = 3;
        ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
        ASSERT_TRUE(eventually([&] { return ring_.waiting() == 1; })) << "by the rings again";
        ring_.take();
        if (!removed) {
            EXPECT_TRUE(at_home("vf0"));
            set_at_home("vf0b", true);
        }
    }
}

// What the VF refuses is not lost: the link goes while the guest sends.
TEST_F(VfSwitching, WhatTheVfNoLongerTakesGoesByTheRings) {
    use("auto");
    Descriptor const guest = guest_socket();
    ASSERT_EQ(open(), 1);
    ASSERT_EQ(begin(), 1);
    vf_->put_back();  // behind the path's back: its socket has no interface now
    for (std::uint32_t number = 0; number < 100; ++number) {
        ASSERT_EQ(send(guest.get(), &number, sizeof number, 0), 4);
    }
    EXPECT_EQ(until_done([&] { return lost_ ? 1 : 0; }), 1);
    path_->end();
    for (std::uint32_t number = 0; number < 100; ++number) {
        RingFrame const frame = ring_.take();
        ASSERT_EQ(number_in(frame.bytes.data(), frame.bytes.size()), number);
    }
}

}  // namespace
}  // namespace librettos::guest
