// SPDX-License-Identifier: BSD-2-Clause
// The environment's functions by themselves.
#include <gtest/gtest.h>
#include <librettos/grant_directory.h>

#include <algorithm>
#include <vector>

#include "minios_double.hpp"

extern "C" {
#include "environment.h"
}

namespace {

constexpr std::size_t page = LVIF_PAGE_BYTES;

class Environment : public testing::Test {
  protected:
    Environment() {
        EXPECT_EQ(lvif_minios_open(&minios, &control), 0);
        lvif_minios_environment(&minios, &environment);
    }
    ~Environment() override {
        EXPECT_TRUE(os.violations.empty()) << os.violations.front();
        EXPECT_EQ(os.held(), "");
    }
    std::uint8_t* allocate(std::size_t pages) {
        return static_cast<std::uint8_t*>(environment.pages_allocate(&minios, pages * page));
    }
    void free(std::uint8_t* pages, std::size_t count) { environment.pages_free(&minios, pages, count * page); }

    MiniOs os;
    lvif_sleeper control{};
    lvif_minios minios{};
    lvif_environment environment{};
};

TEST_F(Environment, KnowsItsDomain) {
    EXPECT_EQ(environment.self, 7);
}

TEST_F(Environment, TakesAsManyPagesAsAskedFor) {
    for (std::size_t const pages : {1, 2, 3, 5, 64, 65, 257}) {
        std::uint8_t* const memory = allocate(pages);
        ASSERT_NE(memory, nullptr);
        EXPECT_EQ(os.pages_in_use(), pages);
        EXPECT_TRUE(std::all_of(memory, memory + pages * page, [](std::uint8_t byte) { return byte == 0; }));
        free(memory, pages);
    }
    EXPECT_EQ(environment.pages_allocate(&minios, 0), nullptr);
    EXPECT_EQ(environment.pages_allocate(&minios, LVIF_RING_MAX_CAPACITY + 2 * page), nullptr);
    os.pages_to_refuse = 1;
    EXPECT_EQ(allocate(1), nullptr);
}

// The double reads the directory when its name appears in the store.
TEST_F(Environment, NamesARegionByItsDirectory) {
    for (std::size_t const pages : {1, 65, 1100}) {
        std::uint8_t* const memory = allocate(pages);
        std::uint32_t region = 0;
        ASSERT_EQ(environment.share(&minios, memory, pages * page, FakeWorld::server, &region), 0);
        EXPECT_EQ(os.grants_in_use(), pages + (pages > 1020 ? 2 : 1));
        EXPECT_EQ(environment.store_write(&minios, (FakeServer::frontend + "/queue-0/tx-ring").c_str(),
                                          std::to_string(region).c_str()),
                  0);
        ASSERT_TRUE(os.world.regions().contains(region));
        EXPECT_EQ(os.world.regions()[region].pages, memory);
        EXPECT_EQ(os.readonly_grants(), lvif_directory_pages(static_cast<std::uint32_t>(pages)));
        EXPECT_TRUE(os.is_readonly(region));
        EXPECT_EQ(os.world.regions()[region].bytes, pages * page);
        EXPECT_EQ(environment.unshare(&minios, region), 0);
        EXPECT_EQ(environment.unshare(&minios, region), LVIF_ENOENT);
        free(memory, pages);
    }
}

// gnttab_grant_access() would wait for ever.
TEST_F(Environment, RefusesWhatTheGrantTableCannotHold) {
    std::uint8_t* const large = allocate(1000);
    std::uint8_t* const larger = allocate(1000);
    std::uint32_t region = 0;
    std::uint32_t none = 0;
    ASSERT_EQ(environment.share(&minios, large, 1000 * page, FakeWorld::server, &region), 0);
    EXPECT_EQ(environment.share(&minios, larger, 1000 * page, FakeWorld::server, &none), LVIF_ENOMEM);
    EXPECT_NE(os.console.find("smaller rings"), std::string::npos);
    EXPECT_EQ(environment.unshare(&minios, region), 0);
    EXPECT_EQ(environment.share(&minios, larger, 1000 * page, FakeWorld::server, &region), 0);
    EXPECT_EQ(environment.unshare(&minios, region), 0);
    free(large, 1000);
    free(larger, 1000);
}

TEST_F(Environment, KeepsWhatTheServerStillMaps) {
    std::uint8_t* const memory = allocate(3);
    std::uint32_t region = 0;
    ASSERT_EQ(environment.share(&minios, memory, 3 * page, FakeWorld::server, &region), 0);
    for (std::uint32_t busy = region + 3; busy >= region; --busy) {
        os.busy_grants = {busy};
        EXPECT_EQ(environment.unshare(&minios, region), LVIF_EBUSY);
        EXPECT_EQ(os.grants_in_use(), busy - region + 1);
    }
    // Its name is not given to another region meanwhile.
    std::uint8_t* const other = allocate(1);
    std::uint32_t name = 0;
    ASSERT_EQ(environment.share(&minios, other, page, FakeWorld::server, &name), 0);
    EXPECT_NE(name, region);
    os.busy_grants.clear();
    EXPECT_EQ(environment.unshare(&minios, region), 0);
    EXPECT_EQ(environment.unshare(&minios, name), 0);
    free(memory, 3);
    free(other, 1);
}

TEST_F(Environment, ReadsTheStore) {
    std::array<char, 8> value{};
    os.world.write("/a", "1234567");
    os.world.write("/b", "12345678");
    EXPECT_EQ(environment.store_read(&minios, "/a", value.data(), value.size()), 7);
    EXPECT_STREQ(value.data(), "1234567");
    EXPECT_EQ(environment.store_read(&minios, "/b", value.data(), value.size()), LVIF_EMSGSIZE);
    EXPECT_EQ(environment.store_read(&minios, "/c", value.data(), value.size()), LVIF_ENOENT);
    os.refuse_writes = true;
    EXPECT_EQ(environment.store_write(&minios, "/a", "2"), LVIF_ENOENT);
}

TEST_F(Environment, WakesTheControlThreadWhenAWatchFires) {
    ASSERT_EQ(environment.store_watch(&minios, "/there"), 0);
    os.run_for(2);
    lvif_minios_take_watches(&minios);
    control.fired = false;
    os.run_for(2);
    EXPECT_FALSE(control.fired);
    os.world.write("/there/below", "1");
    os.run_for(2);
    EXPECT_TRUE(control.fired);
    lvif_minios_take_watches(&minios);
    environment.store_unwatch(&minios, "/there");
}

TEST_F(Environment, HandsEventsToWhoeverTheyWake) {
    lvif_sleeper receiver{};
    std::uint32_t port = 0;
    ASSERT_EQ(environment.event_allocate(&minios, FakeWorld::server, &port), 0);
    os.fire(port);
    os.run_for(2);
    EXPECT_TRUE(control.fired);
    lvif_minios_event_wakes(&minios, port, &receiver);
    control.fired = false;
    os.fire(port);
    os.run_for(2);
    EXPECT_TRUE(receiver.fired);
    EXPECT_FALSE(control.fired);
    std::uint64_t const before = os.world.notifications;
    environment.event_notify(&minios, port);
    EXPECT_EQ(os.world.notifications, before + 1);
    environment.event_free(&minios, port);
    environment.event_free(&minios, port);
    os.refuse_events = true;
    EXPECT_EQ(environment.event_allocate(&minios, FakeWorld::server, &port), LVIF_EIO);
}

TEST_F(Environment, HasChannelsForTwoConnections) {
    std::vector<std::uint32_t> ports(LVIF_MINIOS_CHANNELS);
    for (std::uint32_t& port : ports) {
        ASSERT_EQ(environment.event_allocate(&minios, FakeWorld::server, &port), 0);
    }
    std::uint32_t none = 0;
    EXPECT_EQ(environment.event_allocate(&minios, FakeWorld::server, &none), LVIF_ENOMEM);
    for (std::uint32_t const port : ports) {
        environment.event_free(&minios, port);
    }
}

TEST_F(Environment, SleepsUntilWokenOrTheTimeHasCome) {
    std::uint64_t const start = lvif_minios_now_us();
    lvif_sleeper_sleep(&control, start + 50'000);
    EXPECT_GE(lvif_minios_now_us(), start + 50'000);
    lvif_sleeper_wake(&control);
    lvif_sleeper_sleep(&control, UINT64_MAX);  // was woken before
    EXPECT_LT(lvif_minios_now_us(), start + 100'000);
}

}  // namespace
