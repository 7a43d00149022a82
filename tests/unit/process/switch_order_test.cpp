// SPDX-License-Identifier: BSD-2-Clause
// The order of a switch, over a VF and frames that remember what was done with them; what goes wrong goes wrong at
// every step.
#include "guest-frontend/process/switch_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace librettos::guest {
namespace {

using std::chrono::milliseconds;
using Clock = SwitchOrder::Clock;
using Log = std::vector<std::string>;

constexpr VfMac mac{2, 0, 0, 0, 0, 2};

class VfDouble final : public SwitchedVf {
  public:
    explicit VfDouble(Log& log) : log_(log) {}
    int up(VfMac const&, std::uint16_t, std::uint16_t) override {
        half_up = true;
        return result;
    }
    bool gone() override { return is_gone; }
    void down() override {
        half_up = false;
        is_gone = false;
        log_.emplace_back("down");
    }
    std::string name() const override { return "vf0"; }

    int result = 1;
    bool is_gone = false;
    bool half_up = false;

  private:
    Log& log_;
};

class FramesDouble final : public SwitchedFrames {
  public:
    FramesDouble(VfDouble const& vf, Log& log) : vf_(vf), log_(log) {}
    void use_vf() override {
        EXPECT_TRUE(vf_.half_up);
        EXPECT_FALSE(uses);
        uses = true;
        is_in = waits_for_rings = false;
        log_.emplace_back("use_vf");
    }
    void let_in() override {
        EXPECT_TRUE(uses);
        is_in = true;
        log_.emplace_back("let_in");
    }
    void take_last(milliseconds, milliseconds) override {
        EXPECT_TRUE(uses && is_in);
        log_.emplace_back("take_last");
    }
    void leave_vf() override {
        EXPECT_TRUE(uses && vf_.half_up);
        EXPECT_NE(way, SendBy::vf);
        uses = false;
        log_.emplace_back("leave_vf");
    }
    void send_by(SendBy now) override {
        EXPECT_TRUE(now != SendBy::vf || (uses && way == SendBy::nothing)) << "older frames were not waited for";
        way = now;
        log_.emplace_back(now == SendBy::vf      ? "send_by vf"
                          : now == SendBy::rings ? "send_by rings"
                                                 : "send_by nothing");
    }
    bool vf_sent_all() override {
        EXPECT_TRUE(uses && way != SendBy::vf);
        ++asked_for_sent;
        return sent_all;
    }
    std::size_t take_back() override {
        EXPECT_TRUE(uses && way != SendBy::vf);
        if (unsent != 0)
            log_.emplace_back("take_back");
        return std::exchange(unsent, 0);
    }
    bool vf_works() override {
        EXPECT_TRUE(uses);
        return works;
    }
    void let_in_after_rings() override {
        EXPECT_TRUE(uses);
        log_.emplace_back("let_in_after_rings");
        waits_for_rings = true;
    }
    bool lets_in() override { return is_in || (is_in = waits_for_rings && emptied); }
    bool server_took_all() override {
        EXPECT_EQ(way, SendBy::nothing);
        return taken;
    }
    bool server_alive() override { return alive; }

    bool uses = false, is_in = false, waits_for_rings = false, sent_all = true, works = true, alive = true;
    bool emptied = true, taken = true;  // the rings
    SendBy way = SendBy::rings;
    unsigned asked_for_sent = 0;
    std::size_t unsent = 0;

  private:
    VfDouble const& vf_;
    Log& log_;
};

class Order : public testing::Test {
  protected:
    Order() : vf(log), frames(vf, log) { make(); }
    void make() {
        order.emplace(vf, frames, [this](SwitchOrder::Kind kind, std::string const&) {
            troubles += kind == SwitchOrder::Kind::trouble ? 1 : 0;
        });
    }
    int open() { return order->open(mac, 0, 1500); }
    int begin_until_done() {
        int result = 0;
        while ((result = order->begin()) == 0) {
        }
        return result;
    }
    void expect_rings() const {
        EXPECT_EQ(frames.way, SendBy::rings);
        EXPECT_FALSE(frames.uses);
        EXPECT_FALSE(vf.half_up);
        EXPECT_FALSE(order->is_open());
    }

    Log log;
    VfDouble vf;
    FramesDouble frames;
    std::optional<SwitchOrder> order;
    int troubles = 0;
};

TEST_F(Order, ThereAndBack) {
    EXPECT_EQ(open(), 1);
    EXPECT_EQ(order->begin(), 1);
    order->end();
    order->close();
    EXPECT_EQ(log, (Log{"use_vf", "let_in_after_rings", "send_by nothing", "send_by vf", "send_by nothing",
                        "send_by rings", "take_last", "leave_vf", "down"}));
    expect_rings();
    EXPECT_EQ(troubles, 0);
}

TEST_F(Order, AVfThatIsNotUpYetIsAskedAgain) {
    vf.result = 0;
    EXPECT_EQ(open(), 0);
    EXPECT_EQ(open(), 0);
    EXPECT_EQ(order->begin(), -ENODEV);
    EXPECT_TRUE(log.empty());
    vf.result = 1;
    EXPECT_EQ(open(), 1);
    EXPECT_EQ(open(), 1) << "reached already";
    EXPECT_EQ(log, Log{"use_vf"});
}

TEST_F(Order, AVfThatFailsIsPutDown) {
    vf.result = -EIO;
    EXPECT_EQ(open(), -EIO);
    order->close();
    EXPECT_EQ(log, Log{"down"});
    expect_rings();
}

TEST_F(Order, FramesWaitForTheRings) {
    open();
    frames.emptied = false;
    EXPECT_EQ(order->begin(), 0);
    EXPECT_EQ(frames.way, SendBy::nothing);
    EXPECT_FALSE(frames.is_in);
    frames.emptied = true;
    EXPECT_EQ(order->begin(), 1);
    EXPECT_TRUE(frames.is_in);
    EXPECT_EQ(frames.way, SendBy::vf);
    EXPECT_EQ(troubles, 0);
}

TEST_F(Order, WhatComesDoesNotWaitForWhatIsSent) {
    open();
    frames.taken = false;
    EXPECT_EQ(order->begin(), 0);
    EXPECT_TRUE(frames.is_in);
    EXPECT_EQ(frames.way, SendBy::nothing);
    frames.taken = true;
    EXPECT_EQ(order->begin(), 1);
    EXPECT_EQ(frames.way, SendBy::vf);
}

TEST_F(Order, NotForLong) {
    open();
    frames.emptied = frames.taken = false;
    auto const began = Clock::now();
    EXPECT_EQ(begin_until_done(), 1);
    EXPECT_GE(Clock::now() - began, SwitchOrder::patience);
    EXPECT_EQ(troubles, 1);
}

TEST_F(Order, NotForADeadServer) {
    open();
    frames.emptied = frames.taken = frames.alive = false;
    EXPECT_EQ(order->begin(), 1);
    EXPECT_EQ(frames.way, SendBy::vf);
}

TEST_F(Order, WhatIsInTheVfLeavesFirst) {
    open();
    order->begin();
    frames.sent_all = false;
    auto const began = Clock::now();
    order->end();
    EXPECT_GE(Clock::now() - began, SwitchOrder::patience) << "and is given up at last";
    EXPECT_GT(frames.asked_for_sent, 1u);
    EXPECT_EQ(frames.way, SendBy::rings);
    unsigned const asked = frames.asked_for_sent;
    order->close();
    EXPECT_GT(frames.asked_for_sent, asked) << "the frames are not, before the VF is";
    expect_rings();
}

TEST_F(Order, WhatALostVfDidNotSendGoesByTheRingsFirst) {
    open();
    order->begin();
    frames.unsent = 3;
    vf.is_gone = true;
    EXPECT_TRUE(order->look_after());
    log.clear();
    order->end();
    EXPECT_EQ(log, (Log{"send_by nothing", "take_back", "send_by rings"}));
    EXPECT_EQ(troubles, 2) << "and is told";
    order->close();
    expect_rings();
}

TEST_F(Order, WhatAVfDidNotSendInTimeIsTakenBackBeforeItIsLeft) {
    open();
    order->begin();
    frames.sent_all = false;
    frames.unsent = 3;
    order->end();
    EXPECT_EQ(troubles, 0) << "it may yet send them";
    log.clear();
    order->close();
    EXPECT_EQ(log, (Log{"take_last", "take_back", "leave_vf", "down"}));
    EXPECT_EQ(troubles, 1);
    expect_rings();
}

TEST_F(Order, HalfABeginIsUndone) {
    open();
    frames.taken = false;
    EXPECT_EQ(order->begin(), 0);
    order->end();
    EXPECT_EQ(frames.way, SendBy::rings);
    EXPECT_EQ(frames.asked_for_sent, 0u) << "nothing was sent through it";
    order->close();
    expect_rings();
}

TEST_F(Order, HeldFramesAreLetInAtLast) {
    open();
    ASSERT_TRUE(order->may_hold_frames());
    order->held_frames_came();
    EXPECT_FALSE(order->may_hold_frames());
    auto const due = order->wake_at();
    ASSERT_NE(due, Clock::time_point::max());
    while (!frames.is_in) {
        EXPECT_FALSE(order->look_after());
    }
    EXPECT_GE(Clock::now(), due);
    EXPECT_EQ(order->wake_at(), Clock::time_point::max());
    EXPECT_EQ(order->begin(), 1);
}

TEST_F(Order, HeldFramesAreLetInWhenTheServerDies) {
    open();
    order->held_frames_came();
    frames.alive = false;
    order->look_after();
    EXPECT_TRUE(frames.is_in);
}

TEST_F(Order, ItsEndEndsTheSwitch) {
    open();
    order->begin();
    order.reset();
    EXPECT_EQ(frames.way, SendBy::rings);
    EXPECT_FALSE(frames.uses);
    EXPECT_FALSE(vf.half_up);
}

enum class Step { opening, prepared, beginning, direct, ending };
enum class Fault { vf_gone, vf_does_not_work };

class Faults : public Order, public testing::WithParamInterface<std::tuple<Step, Fault>> {
  protected:
    void go_to(Step step) {
        vf.result = step == Step::opening ? 0 : 1;
        open();
        if (step == Step::beginning) {
            frames.taken = false;
        }
        if (step >= Step::beginning) {
            order->begin();
        }
        if (step == Step::ending) {
            order->end();
        }
    }
};

TEST_P(Faults, EndAtTheRings) {
    auto const [step, fault] = GetParam();
    go_to(step);
    ASSERT_FALSE(order->look_after());
    (fault == Fault::vf_gone ? vf.is_gone : frames.works) = fault == Fault::vf_gone;
    frames.sent_all = false;
    if (step == Step::opening && fault == Fault::vf_does_not_work) {
        EXPECT_FALSE(order->look_after()) << "nobody has tried yet";
        return;
    }
    EXPECT_TRUE(order->look_after());
    EXPECT_TRUE(order->look_after()) << "until it is acted upon";
    EXPECT_EQ(open(), -ENODEV);
    EXPECT_EQ(order->begin(), -ENODEV);
    auto const began = Clock::now();
    unsigned const asked = frames.asked_for_sent;
    order->end();
    order->close();
    EXPECT_LT(Clock::now() - began, milliseconds(10'000));
    EXPECT_EQ(frames.asked_for_sent, asked) << "nothing leaves it any more";
    EXPECT_EQ(std::count(log.begin(), log.end(), "take_last"), 0) << "nothing comes any more";
    expect_rings();
    EXPECT_EQ(troubles, 1);
    frames.works = frames.sent_all = frames.taken = true;
    vf.result = 1;
    EXPECT_EQ(open(), 1) << "once it is back";
    EXPECT_EQ(order->begin(), 1);
    EXPECT_FALSE(order->look_after());
}

INSTANTIATE_TEST_SUITE_P(AtEveryStep, Faults,
                         testing::Combine(testing::Values(Step::opening, Step::prepared, Step::beginning, Step::direct,
                                                          Step::ending),
                                          testing::Values(Fault::vf_gone, Fault::vf_does_not_work)));

// As liblvif calls it: end() before close(), and both at any time. The doubles look at the order.
TEST_F(Order, RandomFaultsNeverConfuseIt) {
    auto const seed = std::random_device()();
    std::mt19937 random(seed);
    SCOPED_TRACE(seed);
    for (int i = 0; i < 20'000; ++i) {
        auto const one_in = [&random](unsigned n) { return random() % n == 0; };
        vf.result = one_in(4) ? 0 : one_in(20) ? -EIO : 1;
        frames.emptied = !one_in(10);
        frames.taken = !one_in(10);
        frames.alive = (frames.emptied && frames.taken) || one_in(2);
        frames.works = !one_in(20);
        switch (random() % 5) {
            case 0:
                if (open() < 0) {
                    order->end();
                    order->close();
                }
                break;
            case 1:
                order->begin();
                break;
            case 2:
                order->end();
                break;
            case 3:
                order->end();
                order->close();
                expect_rings();
                break;
            default:
                vf.is_gone = one_in(10);
                if (order->look_after()) {
                    order->end();
                    order->close();
                    expect_rings();
                }
        }
    }
}

}  // namespace
}  // namespace librettos::guest
