// SPDX-License-Identifier: BSD-2-Clause
// Pages sorted into machine-contiguous runs: nothing lost, nothing twice, contiguous where it has to be.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "drivers/nic/page_runs.hpp"

namespace librettos {
namespace {

// Pages 0, 1, .. at these machine frames.
std::vector<MachinePage> pages_at(std::vector<std::uint64_t> const& frames) {
    std::vector<MachinePage> pages;
    for (auto const frame : frames)
        pages.push_back({frame, static_cast<std::uint32_t>(pages.size())});
    return pages;
}

std::vector<std::uint64_t> machine_frames(std::vector<MachinePage> const& pages) {
    std::vector<std::uint64_t> frames;
    for (auto const& page : pages)
        frames.push_back(page.machine_frame);
    return frames;
}

std::vector<std::uint64_t> series(std::uint64_t first, std::size_t count) {
    std::vector<std::uint64_t> frames(count);
    std::generate(frames.begin(), frames.end(), [&] { return first++; });
    return frames;
}

TEST(PageRuns, LongestRun) {
    EXPECT_EQ(longest_run({}), 0U);
    EXPECT_EQ(longest_run(pages_at({7})), 1U);
    EXPECT_EQ(longest_run(pages_at({9, 5, 7, 6, 2, 3, 11})), 3U);
}

TEST(PageRuns, WithoutNeedTheLongestRunsComeFirst) {
    auto const layout = lay_out(pages_at({20, 3, 11, 10, 2, 12}), {});
    ASSERT_TRUE(layout);
    EXPECT_TRUE(layout->contiguous.empty());
    EXPECT_EQ(machine_frames(layout->rest), (std::vector<std::uint64_t>{10, 11, 12, 2, 3, 20}));
    EXPECT_EQ(layout->rest[0].page, 3U);
}

TEST(PageRuns, RegionsComeFromTheLongestRuns) {
    auto frames = series(100, 8);
    auto const more = series(200, 6);
    frames.insert(frames.end(), more.begin(), more.end());
    frames.push_back(300);
    auto const layout = lay_out(pages_at(frames), {10, 4});
    ASSERT_TRUE(layout);
    ASSERT_EQ(layout->contiguous.size(), 2U);
    EXPECT_EQ(machine_frames(layout->contiguous[0]), series(100, 8));
    EXPECT_EQ(machine_frames(layout->contiguous[1]), series(200, 4)) << "two would do, but a region has four at least";
    EXPECT_EQ(machine_frames(layout->rest), (std::vector<std::uint64_t>{204, 205, 300}));
}

TEST(PageRuns, OneLongRunServesRegionAndRest) {
    auto const layout = lay_out(pages_at(series(50, 100)), {16, 8});
    ASSERT_TRUE(layout);
    ASSERT_EQ(layout->contiguous.size(), 1U);
    EXPECT_EQ(layout->contiguous[0].size(), 16U);
    EXPECT_EQ(machine_frames(layout->rest), series(66, 84));
    EXPECT_EQ(mappings_of(*layout), 2U);
}

TEST(PageRuns, TooScatteredIsRefused) {
    EXPECT_FALSE(lay_out(pages_at({1, 2, 3, 5, 6, 7, 9, 10}), {4, 4})) << "no run of four";
    EXPECT_FALSE(lay_out(pages_at({1, 2, 3, 4, 6, 7, 8}), {8, 4})) << "one run of four is half of it";
    EXPECT_FALSE(lay_out({}, {1, 1}));
    EXPECT_TRUE(lay_out({}, {}));
}

TEST(PageRuns, MappingsFollowBothOrders) {
    // In the machine's order: pages 2, 1, 0; each a mapping of its own.
    EXPECT_EQ(mappings_of(*lay_out(pages_at({12, 11, 10}), {})), 3U);
    EXPECT_EQ(mappings_of(*lay_out(pages_at({10, 11, 12}), {})), 1U);
}

TEST(PageRuns, EveryPageIsInOnePlace) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::uint64_t> frames = series(1000, 400);
        std::shuffle(frames.begin(), frames.end(), random);
        frames.resize(50 + random() % 300);
        auto const pages = pages_at(frames);
        ContiguousNeed const need{random() % 12, 1 + random() % 4};
        auto const layout = lay_out(pages, need);
        if (!layout)
            continue;
        std::vector<MachinePage> all = layout->rest;
        std::size_t contiguous = 0;
        for (auto const& region : layout->contiguous) {
            EXPECT_GE(region.size(), need.run);
            EXPECT_EQ(machine_frames(region), series(region.front().machine_frame, region.size()));
            contiguous += region.size();
            all.insert(all.end(), region.begin(), region.end());
        }
        EXPECT_GE(contiguous, need.pages);
        auto const by_page = [](auto const& a, auto const& b) { return a.page < b.page; };
        std::sort(all.begin(), all.end(), by_page);
        EXPECT_EQ(all, pages);
    }
}

}  // namespace
}  // namespace librettos
