// SPDX-License-Identifier: BSD-2-Clause
// The store's tree and the watches of a connection, without sockets.
#include "drivers/hypervisor/local/store.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "drivers/hypervisor/local/watches.hpp"

namespace librettos {

TEST(StorePath, Grammar) {
    for (char const* path : {"/", "/a", "/a/b", "/local/domain/1/device/lvif/0/queue-0/tx-ring", "/A.b_c@d:e+f-g/..."})
        EXPECT_TRUE(is_store_path(path)) << path;
    for (char const* path :
         {"", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a b", "/a*", "/\x01", "/\xc3\xa4", "a/b"})
        EXPECT_FALSE(is_store_path(path)) << path;
    EXPECT_TRUE(is_store_path("/" + std::string(254, 'a')));
    EXPECT_FALSE(is_store_path("/" + std::string(255, 'a')));
}

TEST(StorePath, AtOrBelow) {
    EXPECT_TRUE(is_at_or_below("/a/b", "/a"));
    EXPECT_TRUE(is_at_or_below("/a", "/a"));
    EXPECT_TRUE(is_at_or_below("/a", "/"));
    EXPECT_FALSE(is_at_or_below("/ab", "/a"));
    EXPECT_FALSE(is_at_or_below("/a", "/a/b"));
}

TEST(Store, RightsAreThoseOfTheNearestNodeAbove) {
    Store store;
    DomId const guest{5};
    DomId const other{6};
    store.permit("/local/domain/5", {guest, guest});
    store.permit("/local/domain/5/name", {DomId{0}, guest});
    store.permit("/backend/5", {DomId{0}, guest});
    EXPECT_TRUE(store.may_write(guest, "/local/domain/5/a/b/c"));
    EXPECT_TRUE(store.may_read(guest, "/local/domain/5/name"));
    EXPECT_FALSE(store.may_write(guest, "/local/domain/5/name"));
    EXPECT_FALSE(store.may_write(guest, "/local/domain/55"));
    EXPECT_TRUE(store.may_read(guest, "/backend/5/state"));
    EXPECT_FALSE(store.may_write(guest, "/backend/5/state"));
    EXPECT_FALSE(store.may_read(guest, "/backend"));
    EXPECT_FALSE(store.may_read(other, "/local/domain/5/a"));
    EXPECT_TRUE(store.may_write(DomId{0}, "/local/domain/5/name"));
}

TEST(Store, CountsWhatADomainOwnsAndRefusesMore) {
    Store store;
    DomId const guest{5};
    store.permit("/home", {guest, guest});
    std::uint64_t const before = store.nodes();
    std::uint32_t made = 0;
    while (store.write(guest, "/home/n" + std::to_string(made), "x") == 0)
        made++;
    EXPECT_LE(made, Store::nodes_per_domain_max);
    EXPECT_GT(made, Store::nodes_per_domain_max - 3);
    EXPECT_EQ(store.nodes_of(guest), made);
    EXPECT_EQ(store.write(guest, "/home/n0", "changed"), 0) << "no new node";
    EXPECT_EQ(store.write(guest, "/home/deep/a/b", "x"), -EDQUOT);
    EXPECT_FALSE(store.exists("/home/deep")) << "nothing half done";
    EXPECT_EQ(store.write(DomId{0}, "/home/by-the-server", "x"), 0) << "a guest cannot lock the server out";
    EXPECT_TRUE(store.remove("/home"));
    EXPECT_EQ(store.nodes_of(guest), 0u);
    EXPECT_EQ(store.nodes(), before - 1);
    EXPECT_FALSE(store.remove("/home"));
}

TEST(Store, ListsInOrderFromAnywhere) {
    Store store;
    for (char const* name : {"/d/b", "/d/a", "/d/c/x"})
        ASSERT_EQ(store.write(DomId{0}, name, ""), 0);
    std::string names;
    auto const collect = [&](std::string_view name) {
        names += std::string{name} + " ";
        return true;
    };
    EXPECT_TRUE(store.each_child("/d", "", collect));
    EXPECT_EQ(names, "a b c ");
    names.clear();
    EXPECT_TRUE(store.each_child("/d", "a", collect));
    EXPECT_EQ(names, "b c ");
    EXPECT_FALSE(store.each_child("/none", "", collect));
}

TEST(Watches, FireOnceAtOnceAndAreUnique) {
    Watches watches{2};
    EXPECT_EQ(watches.add("/a"), 0);
    EXPECT_EQ(watches.add("/a"), -EEXIST);
    ASSERT_NE(watches.front(), nullptr);
    EXPECT_EQ(watches.front()->watched, "/a");
    EXPECT_EQ(watches.front()->changed, "/a");
    watches.pop();
    EXPECT_EQ(watches.front(), nullptr);
    EXPECT_EQ(watches.add("/b"), 0);
    EXPECT_EQ(watches.add("/c"), -ENOSPC);
    EXPECT_EQ(watches.remove("/b"), 0);
    EXPECT_EQ(watches.front(), nullptr) << "events of a removed watch go with it";
    EXPECT_EQ(watches.remove("/b"), -ENOENT);
}

TEST(Watches, EqualEventsAreOne) {
    Watches watches{2};
    ASSERT_EQ(watches.add("/a"), 0);
    watches.pop();
    for (int i = 0; i < 1000; i++)
        watches.fire("/a", "/a/x");
    EXPECT_EQ(watches.events(), 1u);
    watches.pop();
    watches.fire("/a", "/a/x");
    EXPECT_EQ(watches.events(), 1u) << "after it was taken it is news again";
}

TEST(Watches, ManyEventsBecomeOneForAllBelow) {
    Watches watches{2};
    ASSERT_EQ(watches.add("/a"), 0);
    ASSERT_EQ(watches.add("/b"), 0);
    watches.pop();
    watches.pop();
    watches.fire("/b", "/b/1");
    for (int i = 0; i < 100'000; i++) {
        watches.fire("/a", "/a/" + std::to_string(i));
        ASSERT_LE(watches.events(), Watches::events_per_watch_max + 2);
    }
    std::set<std::string> seen;
    for (; watches.front() != nullptr; watches.pop())
        seen.insert(watches.front()->changed);
    EXPECT_TRUE(seen.contains("/a")) << "which says that anything below may have changed";
    EXPECT_TRUE(seen.contains("/b/1")) << "others are not concerned";
}

}  // namespace librettos
