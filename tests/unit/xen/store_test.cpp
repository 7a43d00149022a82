// SPDX-License-Identifier: BSD-2-Clause
// The connection to xenstored.
#include "drivers/hypervisor/xen/xen_store.hpp"

#include "tests/unit/xen/on_xen.hpp"

namespace librettos::test {

namespace {

class Store : public OnXen {};

TEST_F(Store, ReadsWritesListsRemoves) {
    XenStore store;
    EXPECT_EQ(store.read("domid"), "0");
    EXPECT_EQ(store.read("/tool/none"), std::nullopt);
    store.write("/tool/a/b", "1");
    store.write("/tool/a/c", std::string("x\0y", 3));
    EXPECT_EQ(store.list("/tool/a"), (std::vector<std::string>{"b", "c"}));
    EXPECT_EQ(store.read("/tool/a/c"), std::string("x\0y", 3)) << "a NUL does not shorten a value";
    EXPECT_TRUE(store.list("/tool/none").empty());
    store.remove("/tool/a");
    store.remove("/tool/a");
    EXPECT_FALSE(xen.has("/tool/a/b"));
}

TEST_F(Store, PermitsAsXlDoes) {
    XenStore store;
    store.permit("/local/domain/0/backend/lvif/7/0", DomId{0}, DomId{7});
    store.write("/local/domain/0/backend/lvif/7/0/state", "1");
    EXPECT_TRUE(xen.may_read(7, "/local/domain/0/backend/lvif/7/0/state"));
    EXPECT_FALSE(xen.may_write(7, "/local/domain/0/backend/lvif/7/0/state"));
    EXPECT_FALSE(xen.may_read(8, "/local/domain/0/backend/lvif/7/0/state"));
    EXPECT_FALSE(xen.may_read(7, "/local/domain/0/backend/lvif"));
}

TEST_F(Store, WhatIsHiddenIsNotThere) {
    xen.reset(3);
    auto const guest = xen.create_domain("web");
    XenStore store;
    EXPECT_EQ(store.read("domid"), "3");
    EXPECT_EQ(store.read("/local/domain/" + std::to_string(guest) + "/name"), std::nullopt);
    EXPECT_TRUE(store.list("/local/domain").empty());
    EXPECT_EQ(errno_of([&] { store.write("/local/domain/0/name", "me"); }), EACCES);
}

TEST_F(Store, TransactionIsTriedAgainUntilNobodyDisturbsIt) {
    XenStore store;
    xen.disturbed_transactions = 5;
    int runs = 0;
    store.atomically([&] {
        ++runs;
        store.write("/tool/a", "1");
        EXPECT_FALSE(xen.has("/tool/a")) << "not before it ends";
        EXPECT_EQ(store.read("/tool/a"), "1");
    });
    EXPECT_EQ(runs, 6);
    EXPECT_EQ(xen.value("/tool/a"), "1");
    xen.disturbed_transactions = 1000;
    EXPECT_EQ(errno_of([&] { store.atomically([&] { store.write("/tool/a", "2"); }); }), EAGAIN);
    EXPECT_EQ(xen.value("/tool/a"), "1");
}

TEST_F(Store, TransactionThatThrowsLeavesNothing) {
    XenStore store;
    EXPECT_EQ(errno_of([&] {
                  store.atomically([&] {
                      store.write("/tool/a", "1");
                      throw std::system_error(EPERM, std::generic_category());
                  });
              }),
              EPERM);
    EXPECT_FALSE(xen.has("/tool/a"));
    EXPECT_EQ(xen.open_transactions, 0);
    store.write("/tool/b", "outside");
    EXPECT_EQ(xen.value("/tool/b"), "outside");
}

TEST_F(Store, WatchFiresAtOnceAndForAllBelow) {
    XenStore store;
    store.watch("/tool", "token");
    auto event = store.next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->path, "/tool");
    EXPECT_EQ(event->token, "token");
    EXPECT_EQ(store.next_event(), std::nullopt);
    xen.set_node("/tool/a/b", "1");
    bool seen = false;
    while ((event = store.next_event()))
        seen = seen || event->path == "/tool/a/b";
    EXPECT_TRUE(seen);
    xen.set_node("/tool/a/b", "2");
    store.unwatch("/tool", "token");
    EXPECT_EQ(store.next_event(), std::nullopt);
    EXPECT_EQ(xen.open_watches, 0);
}

TEST_F(Store, LostXenstoredIsSaidAsSuch) {
    XenStore store;
    xen.lost = true;
    EXPECT_EQ(errno_of([&] { (void)store.read("domid"); }), ECONNRESET);
    EXPECT_EQ(errno_of([&] { (void)store.list("/"); }), ECONNRESET);
    EXPECT_EQ(errno_of([&] { store.write("/a", "b"); }), ECONNRESET);
    EXPECT_EQ(errno_of([&] { (void)store.is_introduced(DomId{1}); }), ECONNRESET);
    EXPECT_EQ(errno_of([&] { (void)store.next_event(); }), ECONNRESET);
    EXPECT_EQ(errno_of([&] { XenStore(); }), EBADF);
}

TEST_F(Store, KnowsWhichDomainsLive) {
    auto const guest = xen.create_domain("web");
    XenStore store;
    EXPECT_TRUE(store.is_introduced(DomId{guest}));
    xen.destroy_domain(guest);
    EXPECT_FALSE(store.is_introduced(DomId{guest}));
}

}  // namespace

}  // namespace librettos::test
