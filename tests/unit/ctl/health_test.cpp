// SPDX-License-Identifier: BSD-2-Clause
// What diagnose() finds wrong, and what it leaves alone.
#include "daemon/ctl/health.hpp"

#include <algorithm>

#include "tests/unit/ctl/samples.hpp"

namespace librettos::ctl {
namespace {

using test::healthy_status;
using test::Json;

class Health : public ::testing::Test {
  protected:
    Health() {
        for (auto const& text : counter_texts)
            stats_.counter_names.emplace_back(text.name);
        stats_.before.taken_ns = 1'000'000'000;
        stats_.before.engine_generation = 1;
        stats_.before.threads = {{100, false, 5, 0, 0}};
        stats_.before.slots = {slot(0, 0, "wire"), slot(1, 2, "web")};
        stats_.after = stats_.before;
        stats_.after.taken_ns = 1'500'000'000;
        stats_.after.threads[0].turns = 200;
    }
    static SlotReading slot(std::uint32_t index, std::uint32_t generation, std::string name) {
        return {index, generation, 7, std::move(name), std::vector<std::uint64_t>(counter_count, 50)};
    }
    void grow(std::size_t slot, Counter counter, std::uint64_t frames) {
        stats_.after.slots[slot].counters[static_cast<std::size_t>(counter)] += frames;
    }
    std::vector<Finding> findings() const { return diagnose(status_, stats_); }

    nlohmann::json status_ = healthy_status();
    StatsPair stats_;
};

TEST_F(Health, NothingIsWrong) {
    EXPECT_TRUE(findings().empty());
}

TEST_F(Health, WhatIsInstalledAndDoesNotRun) {
    auto const engine = [&](Json const& installed, Json const& refused) {
        status_["engine"] = {{"version", "0.1.0"},
                             {"build", "abcdef0123"},
                             {"path", "/lib/engine.so"},
                             {"refused", refused},
                             {"installed", installed}};
        return findings();
    };
    Json installed{{"version", "0.2.0"}, {"build", "0123456789abcdef"}, {"runs", "now"}};
    EXPECT_TRUE(engine(installed, nullptr).empty());
    installed["runs"] = "after a reload";
    auto found = engine(installed, nullptr);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_FALSE(found[0].unhealthy);
    EXPECT_EQ(found[0].what, "another engine is installed: version 0.2.0, build 01234567");
    EXPECT_NE(found[0].action.find("systemctl reload librettos-netserver"), std::string::npos);
    installed["runs"] = "after a restart";
    EXPECT_NE(engine(installed, nullptr).at(0).action.find("systemctl restart librettos-netserver"), std::string::npos);
    installed["runs"] = "given up";
    found = engine(installed, "engine /lib/engine.so was killed");
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].what, "the installed engine was given up: engine /lib/engine.so was killed");
    EXPECT_EQ(engine(nullptr, nullptr).at(0).what, "/lib/engine.so is no engine");
}

TEST_F(Health, GrowingRingFullIsANoteWithRateAndAdvice) {
    grow(1, Counter::drop_ring_full, 600);
    auto const found = findings();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_FALSE(found[0].unhealthy);
    EXPECT_EQ(found[0].what, "web: drop_ring_full grows by 1.20 k/s");
    EXPECT_FALSE(found[0].action.empty());
}

TEST_F(Health, NoMemoryIsUnhealthy) {
    grow(0, Counter::drop_no_memory, 1);
    ASSERT_EQ(findings().size(), 1U);
    EXPECT_TRUE(findings()[0].unhealthy);
}

TEST_F(Health, WhatThePortLostIsNamedWithWhatToDo) {
    grow(0, Counter::drop_wire_missed, 500);
    grow(0, Counter::drop_wire_merged, 1);
    auto const found = findings();
    ASSERT_EQ(found.size(), 2U);
    EXPECT_TRUE(found[0].unhealthy);
    EXPECT_NE(found[0].action.find("gro_max_size 65536"), std::string::npos);
    EXPECT_FALSE(found[1].unhealthy);
    EXPECT_EQ(found[1].what, "wire: drop_wire_missed grows by 1.00 k/s");
    EXPECT_NE(found[1].action.find("port.descriptors"), std::string::npos);
}

TEST_F(Health, TheWeatherOfANetworkIsNoFinding) {
    grow(0, Counter::drop_unowned_port, 1000);
    grow(0, Counter::drop_not_for_us, 1000);
    grow(0, Counter::wire_rx_frames, 1000);
    EXPECT_TRUE(findings().empty());
}

TEST_F(Health, ASlotGivenToAnotherGuestIsNotCompared) {
    stats_.after.slots[1].generation += 2;
    grow(1, Counter::drop_ring_full, 600);
    EXPECT_TRUE(findings().empty());
}

TEST_F(Health, AnAwakeThreadWithoutTurnsStandsStill) {
    stats_.after.threads[0].turns = stats_.before.threads[0].turns;
    ASSERT_EQ(findings().size(), 1U);
    EXPECT_TRUE(findings()[0].unhealthy);
    EXPECT_EQ(findings()[0].what, "data thread 0 stands still");
}

TEST_F(Health, AThreadThatSleptOrWasReplacedDoesNotStandStill) {
    stats_.after.threads[0].turns = stats_.before.threads[0].turns;
    stats_.after.threads[0].sleeping = true;
    EXPECT_TRUE(findings().empty());
    stats_.after.threads[0].sleeping = false;
    stats_.after.engine_generation = 2;
    EXPECT_TRUE(findings().empty());
}

TEST_F(Health, HypervisorOutOfReach) {
    status_["hypervisor_connected"] = true;
    EXPECT_TRUE(findings().empty());
    status_["hypervisor_connected"] = false;
    ASSERT_EQ(findings().size(), 1U);
    EXPECT_TRUE(findings()[0].unhealthy);
    status_["hypervisor"] = "local";
    EXPECT_TRUE(findings()[0].action.ends_with("guests ended with it")) << findings()[0].action;
    status_["hypervisor"] = "xen";
    EXPECT_TRUE(findings()[0].action.ends_with("guests stay attached, ports cannot change")) << findings()[0].action;
    stats_.after.threads[0].turns = stats_.before.threads[0].turns;
    EXPECT_EQ(findings().size(), 1U) << "data threads begin once it can be reached";
}

TEST_F(Health, Buffers) {
    status_["mbufs"] = {{"total", 1000}, {"in_use", 900}, {"lost", 3}};
    ASSERT_EQ(findings().size(), 1U);
    EXPECT_FALSE(findings()[0].unhealthy) << "a few lost ones";
    status_["mbufs"] = {{"total", 1000}, {"in_use", 901}, {"lost", 101}};
    ASSERT_EQ(findings().size(), 2U);
    EXPECT_TRUE(findings()[0].unhealthy);
    EXPECT_TRUE(findings()[1].unhealthy);
}

TEST_F(Health, AnEngineThatKeepsDyingIsUnhealthy) {
    status_["engine_generation"] = 4;
    EXPECT_FALSE(findings().at(0).unhealthy) << "three restarts, the last one two hours ago";
    status_["uptime_s"] = 20;
    EXPECT_TRUE(findings().at(0).unhealthy) << "three restarts, the last one just now";
    status_["engine_generation"] = 2;
    EXPECT_FALSE(findings().at(0).unhealthy) << "one restart";
}

TEST_F(Health, WorstFirst) {
    status_["guests"]["detached"] = 2;
    status_["engine_generation"] = 2;
    grow(0, Counter::drop_no_memory, 1);
    auto const found = findings();
    ASSERT_EQ(found.size(), 3U);
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end(),
                               [](Finding const& a, Finding const& b) { return a.unhealthy > b.unhealthy; }));
}

TEST_F(Health, LinkAsTextOrAsTruthValue) {
    EXPECT_TRUE(link_is_up({{"port", {{"link", "up"}}}}));
    EXPECT_TRUE(link_is_up({{"port", {{"link", true}}}}));
    EXPECT_FALSE(link_is_up({{"port", {{"link", "down"}}}}));
    EXPECT_FALSE(link_is_up({{"port", {{"link", false}}}}));
    EXPECT_FALSE(link_is_up(nlohmann::json::object()));
}

}  // namespace
}  // namespace librettos::ctl
