// SPDX-License-Identifier: BSD-2-Clause
// A guest's address moves between the PF's pool and a VF's with DPDK's own calls, as the switch to a VF does it.
//
// DPDK's rte_eth_dev_mac_addr_add() can only add a pool to an address (MPSAR is or-ed), its removal takes the address
// out of all pools. So a move passes through "in no table", where a promiscuous PF has the address by its default pool.
#include <algorithm>
#include <array>
#include <atomic>

#include "tests/unit/nic82599/virtual_ports.hpp"

namespace nic82599 {
namespace {

constexpr std::uint16_t pf_port = 0, vf0_port = 1, vf1_port = 2;
constexpr std::uint32_t pf_pool = vfs, vf0_pool = 0;
constexpr Mac guest_mac{0x02, 0xCA, 0xFE, 0x00, 0x00, 0x01};

class Steering : public VirtualPorts {
  protected:
    void SetUp() override {
        ASSERT_NO_FATAL_FAILURE(VirtualPorts::SetUp());
        ASSERT_EQ(rte_eth_promiscuous_enable(pf_port), 0);
        trace.take();
    }
    static int move_to(std::uint32_t pool) {
        rte_ether_addr mac = address(guest_mac);
        int const removed = rte_eth_dev_mac_addr_remove(pf_port, &mac);
        return removed != 0 ? removed : rte_eth_dev_mac_addr_add(pf_port, &mac, pool);
    }
};

// Numbered frames from the wire in a thread of their own, at most `window` on their way, so that nothing is lost for
// want of room.
class Load {
  public:
    explicit Load(Nic& nic) : nic_(nic), thread_([this] { run(); }) {}
    ~Load() { stop(); }
    // How many were sent.
    std::uint32_t stop() {
        ending_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
        return sent_;
    }
    void took(std::size_t frames) { received_ += static_cast<std::uint32_t>(frames); }
    std::uint32_t refused() const { return refused_; }

  private:
    void run() {
        while (!ending_) {
            if (sent_ - received_ >= window) {
                std::this_thread::yield();
                continue;
            }
            refused_ += nic_.receive(numbered_frame(guest_mac, peer_mac, sent_)) ? 0 : 1;
            ++sent_;
        }
    }

    static constexpr std::uint32_t window = 64;
    Nic& nic_;
    std::atomic<bool> ending_ = false;
    std::atomic<std::uint32_t> sent_ = 0, received_ = 0, refused_ = 0;
    std::thread thread_;
};

TEST_F(Steering, NoFrameIsLostOrDoubledByMovesUnderLoad) {
    constexpr int moves = 200;
    constexpr std::size_t frames_between = 50;
    std::vector<unsigned> times_seen;
    std::size_t at_pf = 0, at_vf = 0;
    Load load(nic);
    auto const take = [&](std::uint16_t port, std::size_t& count) {
        Frames const frames = received(port);
        for (Frame const& frame : frames) {
            std::uint32_t const number = be32(frame, 14);
            times_seen.resize(std::max<std::size_t>(times_seen.size(), number + 1));
            ++times_seen[number];
            EXPECT_EQ(frame, numbered_frame(guest_mac, peer_mac, number));
        }
        count += frames.size();
        load.took(frames.size());
    };
    for (int move = 0; move < moves; ++move) {
        ASSERT_EQ(move_to(move % 2 == 0 ? vf0_pool : pf_pool), 0);
        std::size_t const before = at_pf + at_vf;
        ASSERT_TRUE(eventually([&] {
            take(pf_port, at_pf);
            take(vf0_port, at_vf);
            return at_pf + at_vf >= before + frames_between;
        }));
    }
    std::uint32_t const sent = load.stop();
    take(pf_port, at_pf);
    take(vf0_port, at_vf);
    EXPECT_EQ(load.refused(), 0u);
    EXPECT_EQ(times_seen, std::vector<unsigned>(sent, 1u));
    EXPECT_GT(at_pf, frames_between);
    EXPECT_GT(at_vf, frames_between);
    EXPECT_TRUE(received(vf1_port).empty());
}

// The order matters on silicon too: the address becomes valid with its last write, when its pool is known already.
TEST_F(Steering, DpdkNamesThePoolBeforeTheAddressIsValid) {
    rte_ether_addr mac = address(guest_mac);
    ASSERT_EQ(rte_eth_dev_mac_addr_add(pf_port, &mac, vf0_pool), 0);
    std::vector<reg::Offset> order;
    for (Access const& access : trace.take()) {
        if (access.kind == Access::Kind::write) {
            order.push_back(access.offset);
        }
    }
    unsigned entry = 0;
    while (entry < RegisterFile::receive_addresses && nic.peek(reg::RAL(entry)) != 0x00FECA02) {
        ++entry;
    }
    ASSERT_LT(entry, RegisterFile::receive_addresses);
    std::array const entry_registers{reg::RAL(entry), reg::RAH(entry), reg::MPSAR_LO(entry), reg::MPSAR_HI(entry)};
    auto const place = [&](reg::Offset offset) { return std::find(order.begin(), order.end(), offset); };
    ASSERT_NE(place(reg::MPSAR_LO(entry)), order.end());
    EXPECT_LT(place(reg::MPSAR_LO(entry)), place(reg::RAH(entry)));
    // Other registers' writes after it may be the interrupt thread's.
    EXPECT_EQ(
        std::find_first_of(place(reg::RAH(entry)) + 1, order.end(), entry_registers.begin(), entry_registers.end()),
        order.end());
}

TEST_F(Steering, FramesOfOtherVfsFollowTheAddress) {
    Frame const frame = numbered_frame(guest_mac, vf_macs[1], 1);
    ASSERT_EQ(move_to(pf_pool), 0);
    EXPECT_TRUE(laboratory.send(vf1_port, frame));
    EXPECT_EQ(received(pf_port), Frames{frame});
    ASSERT_EQ(move_to(vf0_pool), 0);
    EXPECT_TRUE(laboratory.send(vf1_port, frame));
    EXPECT_EQ(received(vf0_port), Frames{frame});
    EXPECT_TRUE(received(pf_port).empty());
    EXPECT_TRUE(laboratory.wire().empty());
}

// Why a move does not add first and remove later.
TEST_F(Steering, AnAddressInTwoPoolsReachesBoth) {
    rte_ether_addr mac = address(guest_mac);
    ASSERT_EQ(rte_eth_dev_mac_addr_add(pf_port, &mac, pf_pool), 0);
    ASSERT_EQ(rte_eth_dev_mac_addr_add(pf_port, &mac, vf0_pool), 0);
    Frame const frame = numbered_frame(guest_mac, peer_mac, 1);
    EXPECT_TRUE(nic.receive(frame));
    EXPECT_EQ(received(pf_port), Frames{frame});
    EXPECT_EQ(received(vf0_port), Frames{frame});
}

// Why a VF that will take over a guest's address has another one until then: what DPDK's PF gives a VF is in the VF's
// pool at once, before the VF has asked for it.
TEST_F(Steering, TheAddressGivenToAVfIsInItsPoolAtOnce) {
    ASSERT_EQ(move_to(pf_pool), 0);
    rte_ether_addr mac = address(guest_mac);
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_mac_addr(pf_port, 0, &mac), 0);
    Frame const frame = numbered_frame(guest_mac, peer_mac, 1);
    EXPECT_TRUE(nic.receive(frame));
    EXPECT_EQ(received(pf_port), Frames{frame});
    EXPECT_EQ(received(vf0_port), Frames{frame});
}

// With anti-spoofing on, the address serves as the source as soon as it is in the VF's pool, and no longer.
TEST_F(Steering, AVfSendsFromTheAddressWhileItHasIt) {
    ASSERT_EQ(rte_pmd_ixgbe_set_vf_mac_anti_spoof(pf_port, 0, 1), 0);
    Frame const frame = numbered_frame(peer_mac, guest_mac, 1);
    EXPECT_TRUE(laboratory.send(vf0_port, frame));
    EXPECT_TRUE(laboratory.wire().empty());
    ASSERT_EQ(move_to(vf0_pool), 0);
    EXPECT_TRUE(laboratory.send(vf0_port, frame));
    EXPECT_EQ(laboratory.wire(), Frames{frame});
    ASSERT_EQ(move_to(pf_pool), 0);
    EXPECT_TRUE(laboratory.send(vf0_port, frame));
    EXPECT_TRUE(laboratory.wire().empty());
    EXPECT_EQ(nic.events().spoofed, 2u);
}

}  // namespace
}  // namespace nic82599
