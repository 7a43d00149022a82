// SPDX-License-Identifier: BSD-2-Clause
// Claims of a stack in the process: before and after there is an authority, against other guests', and given back.
#include "guest-frontend/process/stack_ports.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <future>

#include "tests/unit/eventually.hpp"
#include "tests/unit/linux/port_table.hpp"

namespace librettos::guest {
namespace {

constexpr auto patience = std::chrono::seconds(60);

class Ports : public testing::Test {
  protected:
    void start() {
        ports_.start(table_, false);
        ASSERT_TRUE(ports_.wait_until_started(patience));
    }
    PortTable table_;
    StackPorts ports_;
};

TEST_F(Ports, AClaimIsAskedForOnce) {
    start();
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), 0);
    EXPECT_TRUE(table_.ours(Protocol::tcp, 80));
    EXPECT_FALSE(table_.ours(Protocol::udp, 80));
    table_.give_to_stranger(Protocol::tcp, 80);  // would be refused if it were asked for again
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), 0);
}

TEST_F(Ports, AnothersPortIsRefused) {
    start();
    table_.give_to_stranger(Protocol::udp, 53);
    EXPECT_EQ(ports_.claim(Protocol::udp, 53), -EADDRINUSE);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 53), 0);
    EXPECT_FALSE(ports_.owns(Protocol::udp, 53));
}

TEST_F(Ports, TheLimitLooksLikeAPortInUse) {
    start();
    table_.limit(1);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 1), 0);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 2), -EADDRINUSE);
    std::uint16_t port = 0;
    EXPECT_EQ(ports_.claim_any(Protocol::tcp, port), -EADDRINUSE);
}

TEST_F(Ports, TheAuthorityChooses) {
    start();
    std::uint16_t port = 0;
    EXPECT_EQ(ports_.claim_any(Protocol::udp, port), 0);
    EXPECT_NE(port, 0);
    EXPECT_TRUE(table_.ours(Protocol::udp, port));
    EXPECT_TRUE(ports_.owns(Protocol::udp, port));
}

TEST_F(Ports, EarlyClaimsAreAskedForLater) {
    table_.give_to_stranger(Protocol::tcp, 81);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), 0);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 81), 0);
    EXPECT_EQ(table_.count(), 0u);
    start();
    EXPECT_TRUE(table_.ours(Protocol::tcp, 80));
    EXPECT_FALSE(ports_.owns(Protocol::tcp, 81));
}

TEST_F(Ports, WhatAFormerProgramLeftIsReleasedFirst) {
    table_.bind(Protocol::tcp, 80);
    ports_.start(table_, true);
    ASSERT_TRUE(ports_.wait_until_started(patience));
    EXPECT_FALSE(table_.ours(Protocol::tcp, 80));
}

TEST_F(Ports, GivenBackByAThread) {
    start();
    ports_.claim(Protocol::tcp, 80);
    ports_.claim(Protocol::tcp, 81);
    ports_.give_back(Protocol::tcp, 80);
    EXPECT_TRUE(eventually([&] { return !table_.ours(Protocol::tcp, 80); }));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 81));
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), 0);
    EXPECT_TRUE(table_.ours(Protocol::tcp, 80));
}

TEST_F(Ports, OnlyUnusedAndOldOnesAreGivenBack) {
    start();
    for (std::uint16_t port : {80, 81, 82}) {
        ports_.claim(Protocol::tcp, port);
    }
    auto const used = [](Protocol, std::uint16_t port) { return port == 81; };
    ports_.give_back_unused(patience, used);
    ports_.claim(Protocol::tcp, 90);
    ports_.give_back(Protocol::tcp, 90);  // the thread has taken its turn when this one is gone
    ASSERT_TRUE(eventually([&] { return !table_.ours(Protocol::tcp, 90); }));
    EXPECT_EQ(table_.count(), 3u);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ports_.give_back_unused(std::chrono::milliseconds(1), used);
    EXPECT_TRUE(eventually([&] { return table_.count() == 1; }));
    EXPECT_TRUE(table_.ours(Protocol::tcp, 81));
}

TEST_F(Ports, LeasedOnesAreOursAndStay) {
    start();
    auto const block = ports_.lease(512);
    ASSERT_TRUE(block);
    EXPECT_EQ(block->last - block->first, 511);
    EXPECT_EQ(ports_.claim(Protocol::udp, block->last), 0);
    EXPECT_EQ(table_.count(), 0u);
    ports_.give_back(Protocol::udp, block->last);
    EXPECT_TRUE(ports_.owns(Protocol::udp, block->last));
}

TEST_F(Ports, ADedicatedGuestAsksNobody) {
    ports_.own_all();
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), 0);
    std::uint16_t port = 1;
    EXPECT_EQ(ports_.claim_any(Protocol::tcp, port), 0);
    EXPECT_EQ(port, 0);
    EXPECT_FALSE(ports_.lease(512));
    EXPECT_EQ(table_.count(), 0u);
}

TEST_F(Ports, WithoutAHypervisorNothingIsGranted) {
    start();
    ports_.claim(Protocol::tcp, 80);
    ports_.fail();
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), -ENETDOWN);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 81), -ENETDOWN);
}

TEST_F(Ports, CloseGivesAllBackWhereTheDomainLivesOn) {
    start();
    ports_.claim(Protocol::tcp, 80);
    ports_.close(true);
    EXPECT_EQ(table_.releases_of_all(), 1u);
    EXPECT_EQ(ports_.claim(Protocol::tcp, 81), -ENETDOWN);
}

// Claimed again while it is being given back: whoever bound it keeps it.
TEST_F(Ports, AClaimOvertakesItsReturn) {
    start();
    for (int round = 0; round < 200; ++round) {
        ASSERT_EQ(ports_.claim(Protocol::tcp, 80), 0);
        ports_.give_back(Protocol::tcp, 80);
        ASSERT_EQ(ports_.claim(Protocol::tcp, 80), 0);
        ASSERT_TRUE(table_.ours(Protocol::tcp, 80));
    }
}

// One thread waits for a slow authority; others, whose ports are owned already, do not.
TEST_F(Ports, OwnedPortsNeedNoTurn) {
    start();
    ports_.claim(Protocol::tcp, 80);
    table_.close_gate();
    auto slow = std::async(std::launch::async, [this] { return ports_.claim(Protocol::tcp, 443); });
    table_.wait_for_a_bind();
    EXPECT_EQ(ports_.claim(Protocol::tcp, 80), 0);
    table_.open_gate();
    EXPECT_EQ(slow.get(), 0);
}

}  // namespace
}  // namespace librettos::guest
