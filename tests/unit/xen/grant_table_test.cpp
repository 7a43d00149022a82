// SPDX-License-Identifier: BSD-2-Clause
// Granted memory: honest regions, hostile directories, the life sign, faults.
#include "drivers/hypervisor/xen/grant_table.hpp"

#include <cstring>
#include <functional>

#include "drivers/hypervisor/xen/xen_event_channel.hpp"
#include "tests/unit/xen/on_xen.hpp"

namespace librettos::test {

namespace {

class Grants : public OnXen {
  protected:
    int map_errno(SharedRegion const& region, std::size_t bytes) {
        return errno_of([&] { grants.map(guest.domain, {region.reference}, bytes, std::nullopt); });
    }

    XenGuest guest{"web"};
    GrantTable grants;
};

constexpr std::size_t page = LVIF_PAGE_BYTES;

TEST_F(Grants, MapsARegionInOrder) {
    for (std::size_t const pages : {1U, 2U, 65U, 1020U, 1021U, 4097U}) {
        auto const region = guest.share(pages * page);
        {
            auto const mapping = grants.map(guest.domain, {region.reference}, pages * page, std::nullopt);
            auto const bytes = mapping->bytes();
            ASSERT_EQ(bytes.size(), pages * page);
            EXPECT_EQ(xen.mapped_pages, static_cast<int>(pages)) << "no directory stays mapped";
            EXPECT_EQ(xen.largest_batch, pages) << "one batch";
            for (std::size_t i = 0; i < pages; ++i) {
                *xen.page(region.pages[i]) = static_cast<std::byte>(i);
                ASSERT_EQ(bytes[i * page], static_cast<std::byte>(i));
                bytes[i * page + 1] = std::byte{0x5a};
                ASSERT_EQ(xen.page(region.pages[i])[1], std::byte{0x5a});
            }
        }
        EXPECT_EQ(xen.mapped_pages, 0);
    }
}

TEST_F(Grants, GuestOfDefaultSizeNeedsNoMoreThan160Grants) {
    auto const before = xen.grants.size();
    for (std::size_t const bytes : {page, page, page + LVIF_RING_DEFAULT_CAPACITY, page + LVIF_RING_DEFAULT_CAPACITY}) {
        auto const region = guest.share(bytes);
        grants.map(guest.domain, {region.reference}, bytes, std::nullopt);
    }
    EXPECT_EQ(xen.grants.size() - before, 136U);
}

TEST_F(Grants, DirectoryThatIsNoneIsRefused) {
    using Spoil = std::function<void(lvif_grant_directory&)>;
    std::pair<char const*, Spoil> const spoils[] = {
        {"magic", [](auto& d) { d.magic ^= 1; }},
        {"version", [](auto& d) { d.version = 2; }},
        {"no pages", [](auto& d) { d.count = 0; }},
        {"one page too few", [](auto& d) { --d.count; }},
        {"one page too many", [](auto& d) { ++d.count; }},
        {"more pages than fit", [](auto& d) { d.count = 0xffffffff; }},
        {"goes on", [&](auto& d) { d.next = d.grant[0]; }},
        {"a grant that does not exist", [](auto& d) { d.grant[2] = 4000000; }},
        {"the directory itself, which is read-only", [&](auto& d) { d.grant[1] = 0; }},
    };
    for (auto const& [what, spoil] : spoils) {
        SCOPED_TRACE(what);
        auto const region = guest.share(3 * page);
        spoil(guest.directory(region));
        EXPECT_EQ(map_errno(region, 3 * page), EINVAL);
        EXPECT_EQ(xen.mapped_pages, 0);
    }
}

TEST_F(Grants, ChainOfDirectoriesEndsWhereTheRegionEnds) {
    constexpr std::size_t bytes = 2100 * page;  // three directory pages
    auto region = guest.share(bytes);
    guest.directory(region, 2).next = region.reference;  // a circle
    EXPECT_EQ(map_errno(region, bytes), EINVAL);
    region = guest.share(bytes);
    guest.directory(region, 1).next = 0;
    EXPECT_EQ(map_errno(region, bytes), EINVAL);
    region = guest.share(bytes);
    guest.directory(region, 1).next = region.reference;  // the first one again: it counts wrong for the end
    EXPECT_EQ(map_errno(region, bytes), EINVAL);
    EXPECT_EQ(map_errno(guest.share(bytes), bytes), 0);
}

TEST_F(Grants, OtherSizeThanTheCallerWantsIsRefused) {
    auto const region = guest.share(2 * page);
    EXPECT_EQ(map_errno(region, page), EINVAL);
    EXPECT_EQ(map_errno(region, 3 * page), EINVAL);
    EXPECT_EQ(map_errno(region, 2 * page), 0);
}

TEST_F(Grants, GrantsForOthersAndReadOnlyOnesAreRefusedAsAWhole) {
    XenGuest const other("other");
    auto region = guest.share(10 * page);
    auto const reference = guest.directory(region).grant[9];
    xen.grants.at({guest.domain.value, reference}).to = 7;
    EXPECT_EQ(map_errno(region, 10 * page), EINVAL);
    xen.grants.at({guest.domain.value, reference}).to = 0;
    xen.grants.at({guest.domain.value, reference}).read_only = true;
    EXPECT_EQ(map_errno(region, 10 * page), EINVAL);
    EXPECT_EQ(xen.mapped_pages, 0);
    for (auto const& [at, grant] : xen.grants)
        EXPECT_EQ(grant.mapped, 0);
    EXPECT_EQ(errno_of([&] { grants.map(other.domain, {region.reference}, 10 * page, std::nullopt); }), EINVAL)
        << "another domain's number";
}

TEST_F(Grants, WhatTheGuestWritesAfterwardsChangesNothing) {
    auto const region = guest.share(2 * page);
    auto const mapping = grants.map(guest.domain, {region.reference}, 2 * page, std::nullopt);
    std::memset(xen.page(region.directories[0]), 0xff, page);
    *xen.page(region.pages[1]) = std::byte{9};
    EXPECT_EQ(mapping->bytes()[page], std::byte{9});
}

TEST_F(Grants, EndOfTheMappingClearsTheLifeSignAndNotifies) {
    auto const port = xen.allocate_event(guest.domain.value);
    XenEventChannel const channel(guest.domain, {port});
    auto const region = guest.share(3 * page);
    constexpr std::size_t offset = page + 12;
    {
        auto const mapping =
            grants.map(guest.domain, {region.reference}, 3 * page, LifeSign{offset, channel.local_port()});
        mapping->bytes()[offset] = std::byte{1};
        mapping->bytes()[offset - 1] = mapping->bytes()[offset + 1] = std::byte{1};
    }
    EXPECT_EQ(xen.page(region.pages[1])[12], std::byte{0});
    EXPECT_EQ(xen.page(region.pages[1])[11], std::byte{1});
    EXPECT_EQ(xen.page(region.pages[1])[13], std::byte{1});
    EXPECT_EQ(guest.notifications(), 1U);
}

TEST_F(Grants, LifeSignThatCannotBeSetLeavesNothingMapped) {
    auto const region = guest.share(page);
    EXPECT_EQ(errno_of([&] {
                  grants.map(guest.domain, {region.reference}, page, LifeSign{0, EventPort{999}});
              }),
              EINVAL);
    EXPECT_EQ(xen.mapped_pages, 0);
}

TEST_F(Grants, EachCallMayFail) {
    auto const port = xen.allocate_event(guest.domain.value);
    XenEventChannel const channel(guest.domain, {port});
    constexpr std::size_t bytes = 1500 * page;
    auto const region = guest.share(bytes);
    auto const map = [&] {
        return errno_of([&] {
            grants.map(guest.domain, {region.reference}, bytes, LifeSign{0, channel.local_port()});
        });
    };
    std::uint64_t n = 1;
    for (;; ++n) {
        xen.fail_call(n, ENOMEM);
        auto const faults = xen.faults;
        auto const error = map();
        EXPECT_EQ(xen.mapped_pages, 0);
        if (xen.faults == faults)
            break;
        EXPECT_EQ(error, ENOMEM) << "call " << n;
    }
    EXPECT_EQ(n, 6U) << "two directories, the batch, two calls for the life sign";
    xen.no_faults();
    EXPECT_EQ(map(), 0);
}

}  // namespace

}  // namespace librettos::test
