// SPDX-License-Identifier: BSD-2-Clause
// The frontend library's environment on Xen, over a small fake of Linux' Xen devices and of xenstore that counts what
// it gave out.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include <librettos/grant_directory.h>

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/xen/xen_environment.h"
#include "tests/unit/linux/fake_xen.hpp"

namespace librettos::guest {
namespace {

class XenEnvironment : public testing::Test {
  protected:
    XenEnvironment() { xen = &fake_; }
    ~XenEnvironment() override {
        lvif_xen_close(guest_);
        expect_nothing_left();
    }
    void open() {
        char const* what = nullptr;
        ASSERT_EQ(lvif_xen_open(&calls, &guest_, &what), 0) << what;
        lvif_xen_environment(guest_, &environment_);
    }
    void expect_nothing_left() const {
        EXPECT_TRUE(fake_.mappings.empty());
        EXPECT_EQ(fake_.grants(), 0u);
        EXPECT_TRUE(fake_.channels.empty());
        EXPECT_EQ(fake_.stores, 0);
        EXPECT_EQ(fake_.pages, -1);
        EXPECT_TRUE(fake_.watches.empty());
    }
    // What the server finds behind a region: its pages, by the directory.
    std::vector<std::uint32_t> pages_of(std::uint32_t region, std::uint32_t count) {
        std::vector<std::uint32_t> grants;
        std::uint32_t next = region;
        for (std::uint32_t i = 0; i < lvif_directory_pages(count); ++i) {
            lvif_grant_directory directory{};
            EXPECT_EQ(pread(fake_.pages, &directory, sizeof directory, std::int64_t{next - first_grant} * page),
                      static_cast<ssize_t>(sizeof directory));
            EXPECT_EQ(directory.magic, LVIF_DIRECTORY_MAGIC);
            EXPECT_EQ(directory.version, LVIF_DIRECTORY_VERSION);
            EXPECT_EQ(directory.count, lvif_directory_count(count, i));
            grants.insert(grants.end(), directory.grant, directory.grant + directory.count);
            for (std::uint32_t rest = directory.count; rest < LVIF_GRANTS_PER_DIRECTORY; ++rest) {
                EXPECT_EQ(directory.grant[rest], 0u);
            }
            next = directory.next;
        }
        EXPECT_EQ(next, 0u);
        return grants;
    }

    FakeXen fake_;
    lvif_xen* guest_ = nullptr;
    lvif_environment environment_{};
};

TEST_F(XenEnvironment, TheToolstackSaysWhoTheGuestIs) {
    open();
    EXPECT_EQ(lvif_xen_self(guest_), 5);
    EXPECT_STREQ(lvif_xen_name(guest_), "web");
    EXPECT_EQ(environment_.self, 5);
    EXPECT_EQ(lvif_xen_device_ready(guest_, 0), -ENOENT);
    fake_.hidden.insert("/local/domain/5/device/lvif/0/state");
    EXPECT_EQ(lvif_xen_device_ready(guest_, 0), -ENOENT);
    fake_.values["/local/domain/5/device/lvif/0/state"] = "1";
    EXPECT_EQ(lvif_xen_device_ready(guest_, 0), 0);
}

TEST_F(XenEnvironment, SharedPagesKeepTheirContentAndAreTheServersToo) {
    open();
    std::size_t const bytes = 65 * page;
    auto* const memory = static_cast<std::uint8_t*>(environment_.pages_allocate(guest_, bytes));
    ASSERT_NE(memory, nullptr);
    for (std::size_t i = 0; i < bytes; ++i) {
        ASSERT_EQ(memory[i], 0);
    }
    memory[0] = 1;
    memory[bytes - 1] = 2;
    std::uint32_t region = 0;
    ASSERT_EQ(environment_.share(guest_, memory, bytes, 3, &region), 0);
    EXPECT_EQ(fake_.granted_to, 3);
    EXPECT_EQ(fake_.grants(), 66u);
    EXPECT_EQ(fake_.mappings.size(), 1u) << "the directory stays granted, not mapped";
    auto const grants = pages_of(region, 65);
    ASSERT_EQ(grants.size(), 65u);
    EXPECT_EQ(std::set(grants.begin(), grants.end()).size(), 65u);
    EXPECT_EQ(std::count(grants.begin(), grants.end(), region), 0);
    std::uint8_t byte = 0;
    ASSERT_EQ(pread(fake_.pages, &byte, 1, std::int64_t{grants[0] - first_grant} * page), 1);
    EXPECT_EQ(byte, 1);
    memory[page] = 3;
    ASSERT_EQ(pread(fake_.pages, &byte, 1, std::int64_t{grants[1] - first_grant} * page), 1);
    EXPECT_EQ(byte, 3);
    byte = 4;
    ASSERT_EQ(pwrite(fake_.pages, &byte, 1, std::int64_t{grants[64] - first_grant} * page + page - 1), 1);
    EXPECT_EQ(memory[bytes - 1], 4);
    EXPECT_EQ(environment_.share(guest_, memory, bytes, 3, &region), -EINVAL) << "once is enough";
    EXPECT_EQ(environment_.unshare(guest_, region), 0);
    EXPECT_EQ(environment_.unshare(guest_, region), -ENOENT);
    EXPECT_EQ(fake_.grants(), 0u);
    memory[5] = 6;  // still there
    environment_.pages_free(guest_, memory, bytes);
    EXPECT_TRUE(fake_.mappings.empty());
}

TEST_F(XenEnvironment, AGuestOfTheDefaultSizeNeeds136Grants) {
    open();
    std::uint32_t region = 0;
    for (std::size_t const bytes :
         {std::size_t{page}, std::size_t{page}, page + std::size_t{LVIF_RING_DEFAULT_CAPACITY},
          page + std::size_t{LVIF_RING_DEFAULT_CAPACITY}}) {
        ASSERT_EQ(environment_.share(guest_, environment_.pages_allocate(guest_, bytes), bytes, 0, &region), 0);
    }
    EXPECT_EQ(fake_.grants(), 136u);
}

TEST_F(XenEnvironment, TheLargestRingHasAChainOfDirectories) {
    open();
    fake_.limit = 10'000;
    std::size_t const bytes = page + std::size_t{LVIF_RING_MAX_CAPACITY};
    std::uint32_t region = 0;
    ASSERT_EQ(environment_.share(guest_, environment_.pages_allocate(guest_, bytes), bytes, 0, &region), 0);
    auto const grants = pages_of(region, 4097);
    EXPECT_EQ(std::set(grants.begin(), grants.end()).size(), 4097u);
    EXPECT_EQ(fake_.grants(), 4097u + 5u);
    EXPECT_EQ(environment_.pages_allocate(guest_, bytes + 1), nullptr);
}

TEST_F(XenEnvironment, TheLimitOfGntallocIsSaid) {
    open();
    std::size_t const bytes = 1020 * page;
    auto* const memory = environment_.pages_allocate(guest_, bytes);
    auto* const more = environment_.pages_allocate(guest_, bytes);
    std::uint32_t region = 0;
    ASSERT_EQ(environment_.share(guest_, memory, bytes, 0, &region), 0);
    EXPECT_STREQ(lvif_xen_error(guest_), "");
    EXPECT_EQ(environment_.share(guest_, more, bytes, 0, &region), -ENOSPC);
    std::string const error = lvif_xen_error(guest_);
    EXPECT_NE(error.find("/sys/module/xen_gntalloc/parameters/limit"), std::string::npos) << error;
    EXPECT_NE(error.find("1024"), std::string::npos) << error;
    EXPECT_EQ(fake_.grants(), 1021u);
}

TEST_F(XenEnvironment, EventsComeAndGo) {
    open();
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    ASSERT_EQ(environment_.event_allocate(guest_, 3, &a), 0);
    ASSERT_EQ(environment_.event_allocate(guest_, 3, &b), 0);
    EXPECT_NE(a, b);
    auto& channel = **std::find_if(fake_.channels.begin(), fake_.channels.end(),
                                   [&](Channel const* each) { return each->port == a; });
    EXPECT_EQ(channel.domain, 3u);
    EXPECT_EQ(lvif_xen_event_fd(guest_, a), channel.fd);
    environment_.event_notify(guest_, a);
    environment_.event_notify(guest_, 12345);
    EXPECT_EQ(channel.notified, 1u);
    ring(channel);
    ring(channel);
    lvif_xen_event_clear(guest_, a);
    EXPECT_FALSE(channel.masked);
    eventfd_t count = 0;
    EXPECT_NE(eventfd_read(channel.fd, &count), 0) << "nothing is left";
    ring(channel);
    EXPECT_EQ(eventfd_read(channel.fd, &count), 0);
    environment_.event_free(guest_, a);
    EXPECT_EQ(lvif_xen_event_fd(guest_, a), -ENOENT);
    EXPECT_GE(lvif_xen_event_fd(guest_, b), 0);
    for (int i = 0; i < 1000; ++i) {
        ASSERT_EQ(environment_.event_allocate(guest_, 3, &a), 0);
        environment_.event_free(guest_, a);
    }
    EXPECT_EQ(fake_.channels.size(), 1u);
}

TEST_F(XenEnvironment, Store) {
    open();
    char value[8];
    EXPECT_EQ(environment_.store_read(guest_, "/x", value, sizeof value), LVIF_ENOENT);
    fake_.hidden.insert("/x");
    EXPECT_EQ(environment_.store_read(guest_, "/x", value, sizeof value), LVIF_ENOENT) << "what one may not see";
    ASSERT_EQ(environment_.store_write(guest_, "/x", "1234567"), 0);
    EXPECT_EQ(environment_.store_read(guest_, "/x", value, sizeof value), 7);
    EXPECT_STREQ(value, "1234567");
    fake_.values["/x"] = "12345678";
    EXPECT_EQ(environment_.store_read(guest_, "/x", value, sizeof value), LVIF_EMSGSIZE);
    EXPECT_EQ(lvif_xen_watch_fd(guest_), -1) << "no thread before the first watch";
    ASSERT_EQ(environment_.store_watch(guest_, "/x"), 0);
    EXPECT_EQ(lvif_xen_watch_fd(guest_), 77);
    EXPECT_EQ(lvif_xen_take_events(guest_), 1);
    EXPECT_EQ(lvif_xen_take_events(guest_), 0);
    fake_.events = 1000;
    EXPECT_EQ(lvif_xen_take_events(guest_), 64) << "bounded";
    environment_.store_unwatch(guest_, "/x");
    EXPECT_TRUE(fake_.watches.empty());
    fake_.lost = true;
    EXPECT_EQ(lvif_xen_take_events(guest_), -ECONNRESET);
}

// All steps of a connection; each call in turn fails. Nothing may be left, whatever step it was.
TEST_F(XenEnvironment, NothingLeaksWhereverItFails) {
    int failures = 0;
    for (int at = 0; at < 100; ++at) {
        SCOPED_TRACE(at);
        fake_.fail_at = at;
        fake_.calls = 0;
        char const* what = nullptr;
        int status = lvif_xen_open(&calls, &guest_, &what);
        EXPECT_EQ(status == 0, *what == '\0') << "a failure is said";
        if (status == 0) {
            lvif_xen_environment(guest_, &environment_);
            std::uint32_t number = 0;
            for (std::size_t const bytes : {std::size_t{page}, std::size_t{65 * page}}) {
                void* const memory = environment_.pages_allocate(guest_, bytes);
                if (memory != nullptr) {
                    int const shared = environment_.share(guest_, memory, bytes, 3, &number);
                    if (shared == 0) {
                        EXPECT_EQ(environment_.unshare(guest_, number), 0);
                    } else {
                        EXPECT_STRNE(lvif_xen_error(guest_), "");
                    }
                    environment_.pages_free(guest_, memory, bytes);
                }
            }
            if (environment_.event_allocate(guest_, 3, &number) == 0) {
                environment_.event_free(guest_, number);
            }
            (void)environment_.store_watch(guest_, "/x");
            environment_.store_unwatch(guest_, "/x");
            EXPECT_TRUE(fake_.mappings.empty());
            EXPECT_EQ(fake_.grants(), 0u);
            EXPECT_TRUE(fake_.channels.empty());
            lvif_xen_close(guest_);
            guest_ = nullptr;
        }
        expect_nothing_left();
        failures += fake_.calls > at;
    }
    EXPECT_GT(failures, 12);
}

TEST_F(XenEnvironment, WhatIsStillHeldGoesWithTheEnvironment) {
    open();
    std::uint32_t number = 0;
    ASSERT_EQ(environment_.share(guest_, environment_.pages_allocate(guest_, 3 * page), 3 * page, 3, &number), 0);
    (void)environment_.pages_allocate(guest_, page);
    ASSERT_EQ(environment_.event_allocate(guest_, 3, &number), 0);
    ASSERT_EQ(environment_.store_watch(guest_, "/x"), 0);
}

}  // namespace
}  // namespace librettos::guest
