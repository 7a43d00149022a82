// SPDX-License-Identifier: BSD-2-Clause
// The names of daemon/api: every counter has one, of its own, that fits the statistics file, and a text.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "daemon/api/counters.hpp"
#include "daemon/api/stats_file.hpp"

namespace librettos {
namespace {

TEST(ApiNames, CounterNamesAreUniqueAndFit) {
    std::set<std::string_view> seen;
    for (auto const& text : counter_texts) {
        EXPECT_TRUE(seen.insert(text.name).second) << text.name << " is there twice";
        EXPECT_LT(text.name.size(), stats_name_bytes) << text.name << " leaves no room for its NUL";
        EXPECT_FALSE(text.name.empty());
        EXPECT_EQ(text.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789"), std::string_view::npos)
            << text.name;
    }
    EXPECT_EQ(seen.size(), counter_count);
}

TEST(ApiNames, EveryCounterHasAText) {
    for (std::size_t i = 1; i < counter_count; ++i)
        EXPECT_FALSE(counter_texts[i].meaning.empty()) << counter_texts[i].name;
}

// The static assertion in counters.hpp sees the last one only; these would show a text that slipped by one.
TEST(ApiNames, TextsAreInTheOrderOfTheCounters) {
    auto const name = [](Counter counter) { return counter_texts[static_cast<std::size_t>(counter)].name; };
    EXPECT_EQ(name(Counter::none), "none");
    EXPECT_EQ(name(Counter::wire_tx_bytes), "wire_tx_bytes");
    EXPECT_EQ(name(Counter::coalesced_frames), "coalesced_frames");
    EXPECT_EQ(name(Counter::drop_wire_missed), "drop_wire_missed");
    EXPECT_EQ(name(Counter::drop_ring_full), "drop_ring_full");
    EXPECT_EQ(name(Counter::drop_no_listener), "drop_no_listener");
    EXPECT_EQ(name(Counter::drop_runt), "drop_runt");
    EXPECT_EQ(name(Counter::drop_wire_too_long), "drop_wire_too_long");
}

TEST(ApiNames, DropsStandTogetherAtTheEnd) {
    bool drops_began = false;
    for (auto const& text : counter_texts) {
        bool const is_drop = text.name.starts_with("drop_");
        EXPECT_TRUE(is_drop || !drops_began) << text.name << " stands among the drops";
        drops_began = drops_began || is_drop;
    }
    EXPECT_TRUE(drops_began);
}

}  // namespace
}  // namespace librettos
