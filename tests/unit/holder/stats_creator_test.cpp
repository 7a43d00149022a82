// SPDX-License-Identifier: BSD-2-Clause
// The statistics file as made by the holder, read by its reader.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "daemon/api/counters.hpp"
#include "daemon/api/stats_creator.hpp"
#include "daemon/api/stats_reader.hpp"

namespace librettos {
namespace {

class StatsCreator : public ::testing::Test {
  protected:
    void SetUp() override {
        std::filesystem::remove_all(directory);
        std::filesystem::create_directory(directory);
    }
    void TearDown() override { std::filesystem::remove_all(directory); }
    std::filesystem::path directory =
        std::filesystem::temp_directory_path() / ("librettos-stats-" + std::to_string(getpid()));
    std::string path = directory / "stats";
};

TEST_F(StatsCreator, IsWhatTheReaderExpects) {
    StatsFile const file(path, 3, 10);
    StatsHeader const& header = *file.header();
    EXPECT_EQ(header.file_bytes, std::filesystem::file_size(path));
    EXPECT_EQ(header.cells_offset % 64, 0U);
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0644U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1) << "nothing unfinished";
    StatsReader const reader(path);
    ASSERT_EQ(reader.counter_names().size(), counter_count);
    for (std::size_t i = 0; i < counter_count; ++i) {
        EXPECT_EQ(reader.counter_names()[i], counter_texts[i].name);
    }
}

TEST_F(StatsCreator, EndsWithItsName) {
    std::optional<StatsFile> first(std::in_place, path, 1, 2);
    {
        StatsFile const second(path, 1, 2);  // another server's, meanwhile
        first.reset();
        EXPECT_TRUE(std::filesystem::exists(path)) << "not the first one's any more";
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(StatsCreator, SaysWhatCannotBe) {
    try {
        StatsFile const file("/proc/nosuch/stats", 1, 2);
        FAIL();
    } catch (std::system_error const& error) {
        EXPECT_NE(std::string(error.what()).find("check paths.stats and its directory"), std::string::npos);
    }
}

TEST_F(StatsCreator, BytesMatchLayout) {
    EXPECT_EQ(stats_file_bytes(2, 8) - stats_file_bytes(1, 8), stats_thread_cells_bytes(8, counter_count));
    std::vector<std::uint64_t> memory(stats_file_bytes(1, 2) / 8 + 8);
    void* aligned = memory.data();
    std::size_t room = memory.size() * 8;
    ASSERT_NE(std::align(64, stats_file_bytes(1, 2), aligned, room), nullptr);
    initialise_stats(aligned, 1, 2);
    EXPECT_EQ(static_cast<StatsHeader*>(aligned)->magic, stats_magic);
}

}  // namespace
}  // namespace librettos
