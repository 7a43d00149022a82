// SPDX-License-Identifier: BSD-2-Clause
// Operations on VFs in a thread of their own: in order, with their outcome, and what they do to VFs told before it.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/engine/boot.hpp"
#include "daemon/holder/steering_thread.hpp"

namespace librettos {
namespace {

// What the test and the thread share.
struct Nic {
    ~Nic() { close(changes); }
    int const changes = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    std::mutex mutex;
    std::vector<VfState> vfs{{"vf0", true, false, {}}, {"vf1", true, false, {}}};
    std::vector<std::string> done;
    std::mutex busy;   // held: operations take their time
    std::mutex looks;  // held: looks do
    std::atomic<bool> steering = false;
};

class SteeringInTest final : public Steering {
  public:
    explicit SteeringInTest(Nic& nic) : nic_(nic) {}

    std::vector<VfState> vfs() override {
        eventfd_t ignored = 0;
        eventfd_read(nic_.changes, &ignored);
        std::scoped_lock const lock(nic_.looks, nic_.mutex);
        return nic_.vfs;
    }
    int changes_fd() const override { return nic_.changes; }
    void give(std::uint16_t vf, VfSettings const& settings) override {
        note("give " + std::to_string(vf) + " " + std::to_string(settings.mac[5]));
        std::lock_guard const lock(nic_.mutex);
        nic_.vfs.at(vf).link_up = true;
    }
    void steer_to_vf(std::uint16_t vf, VfMac const&) override {
        if (vf == 0) {
            throw SteeringError("vf0 is gone", ENODEV);
        }
        nic_.steering = true;
        note("steer " + std::to_string(vf));
    }
    void steer_to_port(VfMac const& mac) override {
        if (mac[5] == 7) {
            throw SteeringError("vf0 is gone", ENODEV);
        }
    }
    void take(std::uint16_t vf, VfMac const& mac) override {
        note("take " + std::to_string(vf) + " of " + std::to_string(mac[5]));
    }

  private:
    void note(std::string const& what) {
        std::lock_guard const wait(nic_.busy);
        std::lock_guard const lock(nic_.mutex);
        nic_.done.push_back(what);
    }
    Nic& nic_;
};

class SteeringThreadTest : public testing::Test {
  protected:
    HolderMessage request(VfOperation operation, std::uint16_t vf, std::uint32_t id) {
        HolderMessage message{.type = HolderMessageType::operate_vf, .id = id};
        message.operation = operation;
        message.vf = vf;
        message.guest = 9;
        message.mac = {2, 0, 0, 0, 0, 7};
        return message;
    }
    // Waits for so many.
    std::vector<SteeringThread::News> news(std::size_t count) {
        std::vector<SteeringThread::News> all;
        while (all.size() < count) {
            pollfd wait{thread.fd(), POLLIN, 0};
            if (poll(&wait, 1, 30'000) != 1) {
                ADD_FAILURE() << "waited for news in vain, after " << all.size();
                break;
            }
            for (auto& each : thread.take()) {
                all.push_back(std::move(each));
            }
        }
        return all;
    }

    Nic nic;
    std::array<std::atomic<std::uint64_t>, 2> steered{};
    SteeringThread thread{std::make_unique<SteeringInTest>(nic), steered};
};

TEST_F(SteeringThreadTest, BeginsWithAllVfs) {
    auto const states = news(2);
    ASSERT_EQ(states.size(), 2U);
    EXPECT_EQ(states[0].message.type, HolderMessageType::vf);
    EXPECT_STREQ(states[1].message.name.data(), "vf1");
    EXPECT_EQ(states[1].message.vf, 1);
    EXPECT_EQ(states[1].message.present, 1);
    EXPECT_EQ(states[1].message.up, 0U);
    EXPECT_EQ(states[1].engine, 0U);
}

TEST_F(SteeringThreadTest, AnswersInOrderAndChangesComeBefore) {
    news(2);
    ASSERT_TRUE(thread.ask(5, request(VfOperation::give, 1, 10)));
    ASSERT_TRUE(thread.ask(5, request(VfOperation::steer_to_vf, 1, 11)));
    ASSERT_TRUE(thread.ask(6, request(VfOperation::steer_to_port, 1, 12)));
    ASSERT_TRUE(thread.ask(6, request(VfOperation::none, 1, 13)));
    auto const all = news(5);
    ASSERT_EQ(all.size(), 5U);
    EXPECT_EQ(all[0].message.type, HolderMessageType::vf);
    EXPECT_EQ(all[0].message.up, 1U);
    EXPECT_EQ(all[1].message.type, HolderMessageType::done);
    EXPECT_EQ(all[1].message.id, 10U);
    EXPECT_EQ(all[1].message.status, 0);
    EXPECT_EQ(all[1].message.guest, 9);
    EXPECT_EQ(all[1].engine, 5U);
    EXPECT_EQ(all[2].message.id, 11U);
    EXPECT_EQ(all[3].message.status, -ENODEV);
    EXPECT_EQ(all[3].failure, "vf0 is gone");
    EXPECT_EQ(all[3].engine, 6U);
    EXPECT_EQ(all[4].message.status, -EINVAL);
    std::lock_guard const lock(nic.mutex);
    EXPECT_EQ(nic.done, (std::vector<std::string>{"give 1 7", "steer 1"}));
}

// For whoever looks there, before the answer.
TEST_F(SteeringThreadTest, WhatIsSteeredIsWrittenDown) {
    news(2);
    ASSERT_TRUE(thread.ask(5, request(VfOperation::give, 1, 10)));
    ASSERT_TRUE(thread.ask(5, request(VfOperation::steer_to_vf, 0, 11)));
    auto all = news(3);
    EXPECT_EQ(all.back().message.status, -ENODEV);
    EXPECT_EQ(steered[0], 0U);
    EXPECT_EQ(steered[1], 0U);
    ASSERT_TRUE(thread.ask(5, request(VfOperation::steer_to_vf, 1, 12)));
    all = news(1);
    EXPECT_EQ(all.back().message.status, 0);
    EXPECT_EQ(steered[1], steering_word(5, 12));
    EXPECT_NE(steering_word(5, 12), steering_word(6, 12)) << "the next engine counts its requests anew";
    ASSERT_TRUE(thread.ask(6, request(VfOperation::steer_to_port, 1, 13)));
    news(1);
    EXPECT_EQ(steered[1], steering_word(5, 12)) << "it failed";
    auto back = request(VfOperation::steer_to_port, 1, 14);
    back.mac[5] = 8;
    ASSERT_TRUE(thread.ask(6, back));
    back.vf = 2;  // of an earlier server with more of them
    ASSERT_TRUE(thread.ask(6, back));
    news(2);
    EXPECT_EQ(steered[1], steering_word(6, 14));
}

TEST_F(SteeringThreadTest, WhileFramesWaitForTheAnswerNothingIsLookedAt) {
    news(2);
    std::unique_lock slow(nic.busy);
    {
        std::lock_guard const lock(nic.mutex);
        nic.vfs[1].link_up = true;  // and the steering has not heard of it
    }
    ASSERT_TRUE(thread.ask(5, request(VfOperation::steer_to_vf, 1, 10)));
    while (!nic.steering) {
        std::this_thread::yield();
    }
    std::lock_guard const no_looks(nic.looks);
    slow.unlock();
    auto const all = news(2);
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].message.up, 1U) << "that was done before";
    EXPECT_EQ(all[1].message.id, 10U);
}

TEST_F(SteeringThreadTest, ChangesAreToldAsTheyCome) {
    news(2);
    {
        std::lock_guard const lock(nic.mutex);
        nic.vfs[0].present = false;
    }
    eventfd_write(nic.changes, 1);
    auto const changed = news(1);
    ASSERT_EQ(changed.size(), 1U);
    EXPECT_EQ(changed[0].message.vf, 0);
    EXPECT_EQ(changed[0].message.present, 0);
}

TEST_F(SteeringThreadTest, LooksWhenAsked) {
    news(2);
    {
        std::lock_guard const lock(nic.mutex);
        nic.vfs[1].link_up = true;  // and the steering has not heard of it
    }
    thread.look();
    auto const changed = news(1);
    ASSERT_EQ(changed.size(), 1U);
    EXPECT_EQ(changed[0].message.vf, 1);
    EXPECT_EQ(changed[0].message.up, 1);
}

TEST_F(SteeringThreadTest, WhatIsInUseIsLookedAtAgainAndAgain) {
    news(2);
    ASSERT_TRUE(thread.ask(1, request(VfOperation::give, 1, 10)));
    EXPECT_EQ(news(2).at(0).message.counted, 0);
    for (std::uint64_t const bytes : {100U, 200U}) {
        {
            std::lock_guard const lock(nic.mutex);
            nic.vfs[1].traffic = VfTraffic{1, 2, 3, bytes};
        }
        auto const counted = news(1);
        ASSERT_EQ(counted.size(), 1U);
        EXPECT_EQ(counted[0].message.vf, 1);
        EXPECT_EQ(counted[0].message.counted, 1);
        EXPECT_EQ(counted[0].message.traffic, (VfTraffic{1, 2, 3, bytes}));
    }
    {
        std::lock_guard const lock(nic.mutex);
        nic.vfs[1].present = false;  // and nobody says so
    }
    EXPECT_EQ(news(1).at(0).message.present, 0);
}

TEST_F(SteeringThreadTest, TooManyAreRefusedAndNobodyWaits) {
    news(2);
    std::size_t taken = 0;
    {
        std::lock_guard const slow(nic.busy);
        while (thread.ask(1, request(VfOperation::take, 0, static_cast<std::uint32_t>(taken)))) {
            ++taken;
            ASSERT_LE(taken, SteeringThread::most_waiting + 1);
        }
    }
    EXPECT_GE(taken, SteeringThread::most_waiting);
    EXPECT_EQ(news(taken).size(), taken);
}

}  // namespace
}  // namespace librettos
