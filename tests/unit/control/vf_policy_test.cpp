// SPDX-License-Identifier: BSD-2-Clause
// VfPolicy with scripted loads, second by second, on a pool that it empties and fills.
#include "daemon/engine/control/vf_policy.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <utility>

namespace librettos::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Place = VfPolicy::Place;

constexpr double mega = 1e6;

class VfPolicyTest : public testing::Test {
  protected:
    struct Actor {
        VfPolicy::Guest guest;
        std::function<double(int second)> load;  // Mb/s
        bool refuses = false;                    // never gets to a VF
    };

    Actor& add(std::uint16_t domain, std::function<double(int)> load, Place place = Place::server) {
        actors.push_back({{DomId{domain}, "guest" + std::to_string(domain), place, true}, std::move(load)});
        return actors.back();
    }
    Actor& add(std::uint16_t domain, double load, Place place = Place::server) {
        return add(
            domain, [load](int) { return load; }, place);
    }
    std::vector<VfPolicy::Guest> guests() const {
        std::vector<VfPolicy::Guest> list;
        for (auto const& actor : actors)
            list.push_back(actor.guest);
        return list;
    }
    std::size_t direct() const {
        std::size_t count = 0;
        for (auto const& actor : actors)
            count += actor.guest.place == Place::direct ? 1 : 0;
        return count;
    }
    std::size_t free_vfs() const { return pool > direct() ? pool - direct() : 0; }
    Place place(std::uint16_t domain) const {
        for (auto const& actor : actors) {
            if (actor.guest.domain.value == domain)
                return actor.guest.place;
        }
        return Place::moving;
    }
    // Each move takes no time.
    void run(int how_long) {
        for (int end = second + how_long; second < end; ++second) {
            now += seconds(1);
            for (auto const& actor : actors)
                policy.measure(actor.guest.domain, static_cast<std::uint64_t>(actor.load(second) * mega), now);
            while (auto const move = policy.next(guests(), free_vfs(), now)) {
                for (auto& actor : actors) {
                    if (actor.guest.domain != move->guest)
                        continue;
                    moves.emplace_back(actor.guest.domain.value, move->to_direct);
                    reasons.push_back(move->reason);
                    bool const reached = !move->to_direct || !actor.refuses;
                    actor.guest.place = move->to_direct && reached ? Place::direct : Place::server;
                    policy.moved(move->guest, move->to_direct, reached, now);
                }
                ASSERT_LT(moves.size(), 1000U);
                ASSERT_LE(direct(), pool);
            }
        }
    }

    VfPolicy::Rules const rules{};
    VfPolicy policy{rules};
    std::vector<Actor> actors;
    std::size_t pool = 1;
    VfPolicy::TimePoint now{std::chrono::hours(1)};
    int second = 0;
    std::vector<std::pair<std::uint16_t, bool>> moves;
    std::vector<std::string> reasons;
};

using Moves = std::vector<std::pair<std::uint16_t, bool>>;

TEST_F(VfPolicyTest, ASteadyLoadIsPromotedOnceAfterAWindow) {
    add(5, 300);
    run(10);
    EXPECT_EQ(moves, Moves{});
    EXPECT_NEAR(policy.bits_per_s(DomId{5}), 300 * mega, mega);
    run(600);
    EXPECT_EQ(moves, (Moves{{5, true}}));
    EXPECT_EQ(reasons.front(), "300 Mb/s, and a VF is free");
}

TEST_F(VfPolicyTest, BetweenTheThresholdsNobodyMoves) {
    pool = 2;
    add(5, 60);
    add(6, 60, Place::direct);
    run(600);
    EXPECT_EQ(moves, Moves{});
}

TEST_F(VfPolicyTest, WhoIsIdleGivesItsVfBackAfterTheDwellTime) {
    add(5, [](int s) { return s < 30 ? 500 : 0.5; });
    run(70);  // promoted at 11 s
    EXPECT_EQ(moves, (Moves{{5, true}}));
    run(30);
    EXPECT_EQ(moves, (Moves{{5, true}, {5, false}}));
    EXPECT_EQ(place(5), Place::server);
}

TEST_F(VfPolicyTest, AShortBurstIsNoReason) {
    add(5, [](int s) { return s % 60 == 40 ? 800.0 : 1.0; });
    run(600);
    EXPECT_EQ(moves, Moves{});
}

// On and off faster than the window: a mean load of 150 Mb/s, which is enough, all the time.
TEST_F(VfPolicyTest, AFlappingLoadIsAMean) {
    add(5, [](int s) { return s % 4 < 2 ? 300.0 : 0.0; });
    run(1200);
    EXPECT_EQ(moves, (Moves{{5, true}}));
}

// On and off as slowly as can be: no more than one move each dwell time.
TEST_F(VfPolicyTest, ASlowlyFlappingLoadIsBoundByTheDwellTime) {
    add(5, [](int s) { return s / 70 % 2 == 0 ? 300.0 : 0.0; });
    run(1400);
    EXPECT_LE(moves.size(), 1400U / 60 + 1);
    EXPECT_GE(moves.size(), 10U);
}

TEST_F(VfPolicyTest, TheBusiestGetTheVfs) {
    pool = 2;
    add(5, 150);
    add(6, 900);
    add(7, 400);
    run(300);
    EXPECT_EQ(moves, (Moves{{6, true}, {7, true}}));
}

TEST_F(VfPolicyTest, EqualsStayWhereTheyAre) {
    add(5, 500);
    add(6, 500);
    run(1200);
    EXPECT_EQ(moves, (Moves{{5, true}}));
}

TEST_F(VfPolicyTest, OnlyWhoIsClearlyBusierTakesAVf) {
    add(5, 300);
    add(6, [](int s) { return s < 200 ? 500.0 : 900.0; });
    actors[0].guest.place = Place::direct;
    run(200);
    EXPECT_EQ(moves, Moves{}) << "not twice as busy";
    run(60);
    EXPECT_EQ(moves, (Moves{{5, false}, {6, true}}));
    EXPECT_NE(reasons.front().find("guest6 is busier: "), std::string::npos) << reasons.front();
    run(600);
    EXPECT_EQ(moves.size(), 2U);
}

TEST_F(VfPolicyTest, TheLoadMovesAndTheVfFollows) {
    add(5, [](int s) { return s < 120 ? 500.0 : 0.0; });
    add(6, [](int s) { return s < 120 ? 0.0 : 500.0; });
    run(120);
    EXPECT_EQ(moves, (Moves{{5, true}}));
    run(60);
    EXPECT_EQ(moves, (Moves{{5, true}, {5, false}, {6, true}}));
}

TEST_F(VfPolicyTest, WithoutVfsNothingHappens) {
    pool = 0;
    add(5, 5000);
    run(300);
    EXPECT_EQ(moves, Moves{});
    EXPECT_NE(policy.explain(guests()[0], 0, now).find("no VF is free"), std::string::npos);
}

TEST_F(VfPolicyTest, WhatTheOperatorChoseStays) {
    add(5, 1, Place::direct).guest.allowed = false;
    add(6, 900);
    add(7, 2000).guest.allowed = false;
    run(300);
    EXPECT_EQ(moves, Moves{}) << "the VF is the operator's to give";
    pool = 2;
    run(10);
    EXPECT_EQ(moves, (Moves{{6, true}}));
}

TEST_F(VfPolicyTest, OneThatFailsIsTriedLessAndLess) {
    add(5, 900).refuses = true;
    run(3600);
    EXPECT_GE(moves.size(), 5U);
    EXPECT_LE(moves.size(), 8U) << "60, 120, 240, .. s apart";
    EXPECT_NE(policy.explain(guests()[0], 1, now).find("tried again in"), std::string::npos);
}

// The others do not wait for it.
TEST_F(VfPolicyTest, OneThatFailsHoldsUpNobody) {
    add(5, 900).refuses = true;
    add(6, 200);
    run(30);
    EXPECT_EQ(place(6), Place::direct);
}

TEST_F(VfPolicyTest, FailuresAreForgottenOnceItStayed) {
    add(5, 900).refuses = true;
    run(200);
    actors[0].refuses = false;
    run(600);
    ASSERT_EQ(place(5), Place::direct);
    actors[0].guest.place = Place::server;
    policy.moved(DomId{5}, false, false, now);  // it lost its VF
    run(62);
    EXPECT_EQ(place(5), Place::direct) << "after the first back-off, not a longer one";
}

TEST_F(VfPolicyTest, AGuestThatLeavesIsForgotten) {
    add(5, 900);
    run(20);
    actors.clear();
    policy.forget(DomId{5});
    EXPECT_EQ(policy.bits_per_s(DomId{5}), 0);
    add(5, 10);  // another one, with its number
    run(5);
    EXPECT_NEAR(policy.bits_per_s(DomId{5}), 10 * mega, mega);
    EXPECT_EQ(policy.explain(guests()[0], 1, now), "is being measured");
}

TEST_F(VfPolicyTest, NobodyElseMovesWhileOneDoes) {
    pool = 2;
    add(5, 900).guest.place = Place::moving;
    add(6, 900);
    run(60);
    EXPECT_EQ(moves, Moves{});
    actors[0].guest.place = Place::direct;
    run(1);
    EXPECT_EQ(moves, (Moves{{6, true}}));
}

TEST_F(VfPolicyTest, MeasurementsAtOneTimeAndAfterLongDoNoHarm) {
    policy.measure(DomId{5}, 1, now);
    policy.measure(DomId{5}, 1'000'000'000, now);
    EXPECT_EQ(policy.bits_per_s(DomId{5}), 0);
    policy.measure(DomId{5}, 3'600'000'000, now + std::chrono::hours(1));
    EXPECT_NEAR(policy.bits_per_s(DomId{5}), mega, 1);
    policy.moved(DomId{99}, true, true, now);
    EXPECT_EQ(policy.bits_per_s(DomId{99}), 0);
}

TEST(BitsOnTheWire, CountWhatGoesAroundAFrame) {
    EXPECT_EQ(bits_on_the_wire(1, 60), 84 * 8U);  // the smallest frame takes 84 bytes' time
    EXPECT_EQ(megabits_text(1.5e6), "1.5 Mb/s");
    EXPECT_EQ(megabits_text(1.5e9), "1500 Mb/s");
}

}  // namespace
}  // namespace librettos::control
