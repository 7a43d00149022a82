// SPDX-License-Identifier: BSD-2-Clause
// StatsReader against files as the holder writes them, and against damaged ones.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <system_error>

#include "daemon/api/stats_reader.hpp"
#include "tests/unit/ctl/run_program.hpp"
#include "tests/unit/ctl/stats_memory.hpp"

namespace librettos {
namespace {

constexpr auto to_guest = static_cast<std::size_t>(Counter::to_guest_frames);

class StatsFile : public ::testing::Test {
  protected:
    test::TemporaryFolder folder_;
    std::string path_ = folder_.file("stats");
};

TEST_F(StatsFile, SumsThreadsAndSkipsFreeSlots) {
    test::StatsMemory memory{path_, 3, 5};  // 5 slots: a thread's cells are padded
    memory.add_guest(2, 7, "web");
    for (std::uint32_t t = 0; t < 3; ++t)
        memory.count(t, 2, Counter::to_guest_frames, 10 + t);
    memory.count(2, 0, Counter::drop_wire_too_long, 9);
    memory.header().thread[1].turns = 77;
    auto const reading = StatsReader{path_}.read();
    ASSERT_EQ(reading.slots.size(), 2U);
    EXPECT_EQ(reading.slots[0].name, "wire");
    EXPECT_EQ(reading.slots[0].counters.back(), 9U);
    EXPECT_EQ(reading.slots[1].slot, 2U);
    EXPECT_EQ(reading.slots[1].name, "web");
    EXPECT_EQ(reading.slots[1].domain, 7U);
    EXPECT_EQ(reading.slots[1].counters[to_guest], 33U);
    ASSERT_EQ(reading.threads.size(), 3U);
    EXPECT_EQ(reading.threads[1].turns, 77U);
    EXPECT_TRUE(reading.threads[1].sleeping);
}

TEST_F(StatsFile, ReadsTheNamesInTheFile) {
    test::StatsMemory memory{path_};
    StatsReader reader{path_};
    ASSERT_EQ(reader.counter_names().size(), counter_count);
    EXPECT_EQ(reader.counter_names()[to_guest], "to_guest_frames");
}

TEST_F(StatsFile, ASlotLeftHalfChangedBelongsToNobody) {
    test::StatsMemory memory{path_};
    memory.add_guest(1, 3, "web");
    memory.slot(1).generation += 1;
    EXPECT_EQ(StatsReader{path_}.read().slots.size(), 1U);
}

TEST_F(StatsFile, FollowsAFileThatTookItsPlace) {
    test::StatsMemory old{path_};
    StatsReader reader{path_};
    EXPECT_EQ(reader.read().slots.size(), 1U);
    auto const next = folder_.file("next");
    test::StatsMemory memory{next};
    memory.add_guest(4, 9, "db");
    std::filesystem::rename(next, path_);
    EXPECT_EQ(reader.read().slots.size(), 2U);
}

TEST_F(StatsFile, KeepsReadingWhileTheFileIsAway) {
    test::StatsMemory memory{path_};
    StatsReader reader{path_};
    std::filesystem::remove(path_);
    memory.add_guest(1, 3, "web");
    EXPECT_EQ(reader.read().slots.size(), 2U);
}

TEST_F(StatsFile, MissingFileIsASystemError) {
    try {
        StatsReader reader{path_};
        FAIL();
    } catch (std::system_error const& error) {
        EXPECT_EQ(error.code().value(), ENOENT);
    }
}

TEST_F(StatsFile, RefusesWhatIsNoStatisticsFile) {
    std::ofstream{path_} << "short";
    EXPECT_THROW(StatsReader{path_}, std::runtime_error);
    std::ofstream{path_} << std::string(8192, 'x');
    EXPECT_THROW(StatsReader{path_}, std::runtime_error);
}

TEST_F(StatsFile, RefusesHeadersThatLie) {
    std::vector<std::function<void(StatsHeader&)>> const lies{
        [](auto& h) { h.magic ^= 1; },        [](auto& h) { h.version = 2; },
        [](auto& h) { h.header_bytes = 64; }, [](auto& h) { h.threads = 0; },
        [](auto& h) { h.threads = 17; },      [](auto& h) { h.threads = 2; },
        [](auto& h) { h.slots = 0; },         [](auto& h) { h.slots = 1U << 31U; },
        [](auto& h) { h.counters = 0; },      [](auto& h) { h.counters = 1000; },
        [](auto& h) { h.names_offset = 0; },  [](auto& h) { h.names_offset = UINT64_MAX - 7; },
        [](auto& h) { h.slots_offset += 2; }, [](auto& h) { h.slots_offset = 1U << 30U; },
        [](auto& h) { h.cells_offset += 8; }, [](auto& h) { h.cells_offset = UINT64_MAX & ~7ULL; },
    };
    for (std::size_t i = 0; i < lies.size(); ++i) {
        test::StatsMemory memory{path_};
        EXPECT_NO_THROW(StatsReader{path_});
        lies[i](memory.header());
        EXPECT_THROW(StatsReader{path_}, std::runtime_error) << "lie " << i;
    }
}

TEST_F(StatsFile, NamesWithoutAnEndAreCut) {
    test::StatsMemory memory{path_};
    memory.add_guest(1, 3, std::string(56, 'n'));
    EXPECT_EQ(StatsReader{path_}.read().slots.at(1).name, std::string(56, 'n'));
}

}  // namespace
}  // namespace librettos
