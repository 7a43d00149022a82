// SPDX-License-Identifier: BSD-2-Clause
// What every portmap authority has to do.
#include "tests/unit/portmap/conformance.hpp"

#include <cerrno>
#include <set>
#include <vector>

namespace librettos::test {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PortmapConformance);

TEST_P(PortmapConformance, TableStartsEmpty) {
    start();
    lvif_portmap const& table = authority_->table();
    EXPECT_EQ(table.magic, LVIF_PORTMAP_MAGIC);
    EXPECT_EQ(table.version, LVIF_PORTMAP_VERSION);
    EXPECT_EQ(table.ephemeral_first, 32768u);
    EXPECT_EQ(table.ephemeral_last, 60999u);
    for (std::uint32_t port = 0; port < LVIF_PORTS; port++)
        ASSERT_TRUE(table.tcp[port] == 0 && table.udp[port] == 0) << port;
}

TEST_P(PortmapConformance, BindClaimsOneProtocolOnly) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    EXPECT_EQ(bind(a, tcp, 80), 0);
    EXPECT_EQ(entry(tcp, 80).word(), lvif_port_entry(LVIF_PORT_BOUND, a.domain.value, 0));
    EXPECT_TRUE(is_free(udp, 80));
    EXPECT_EQ(bind(b, udp, 80), 0);
    EXPECT_TRUE(entry(udp, 80).bound_to(b.domain));
    EXPECT_TRUE(entry(tcp, 80).bound_to(a.domain));
}

TEST_P(PortmapConformance, BindOfAnothersPortIsInUse) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    EXPECT_EQ(bind(a, tcp, 443), 0);
    EXPECT_EQ(bind(b, tcp, 443), -EADDRINUSE);
    EXPECT_TRUE(entry(tcp, 443).bound_to(a.domain));
}

TEST_P(PortmapConformance, BindOfOwnPortSucceedsAgainAndCountsOnce) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(authority_->set_limit(a.domain, 1), 0);
    EXPECT_EQ(bind(a, tcp, 443), 0);
    EXPECT_EQ(bind(a, tcp, 443), 0);
    QueryAnswer answer;
    ASSERT_EQ(authority_->query(tcp, 443, answer), 0);
    EXPECT_EQ(answer.owner_ports, 1u);
}

TEST_P(PortmapConformance, FirstAndLastPort) {
    start();
    Guest const a = authority_->create_guest("a");
    for (std::uint8_t const protocol : {tcp, udp}) {
        EXPECT_EQ(bind(a, protocol, 1), 0);
        EXPECT_EQ(bind(a, protocol, 65535), 0);
        EXPECT_TRUE(entry(protocol, 1).bound_to(a.domain));
        EXPECT_TRUE(entry(protocol, 65535).bound_to(a.domain));
        EXPECT_EQ(authority_->release(a, protocol, 65535, 1), 0);
        EXPECT_EQ(authority_->release(a, protocol, 65535, 2), -EINVAL);
        EXPECT_TRUE(is_free(protocol, 65535));
        EXPECT_TRUE(is_free(protocol, 0));
    }
}

TEST_P(PortmapConformance, UnknownProtocolsAreInvalid) {
    start();
    Guest const a = authority_->create_guest("a");
    std::uint16_t port = 0;
    QueryAnswer answer;
    for (std::uint8_t const protocol : {1, 5, 7, 16, 18, 255}) {
        EXPECT_EQ(authority_->bind(a, protocol, 80, &port), -EINVAL);
        EXPECT_EQ(authority_->lease(a, protocol, 8, &port), -EINVAL);
        EXPECT_EQ(authority_->release(a, protocol, 80, 1), -EINVAL);
        EXPECT_EQ(authority_->reserve(protocol, 80, 1, true), -EINVAL);
        EXPECT_EQ(authority_->query(protocol, 80, answer), -EINVAL);
    }
    EXPECT_EQ(authority_->bind(a, both, 80, &port), -EINVAL);
    EXPECT_EQ(authority_->reserve(both, 80, 1, true), -EINVAL);
    EXPECT_TRUE(is_free(tcp, 80) && is_free(udp, 80));
}

TEST_P(PortmapConformance, RangesThatDoNotFitAreInvalid) {
    start();
    Guest const a = authority_->create_guest("a");
    std::uint16_t port = 0;
    EXPECT_EQ(authority_->lease(a, tcp, 0, &port), -EINVAL);
    EXPECT_EQ(authority_->release(a, tcp, 80, 0), -EINVAL);
    EXPECT_EQ(authority_->release(a, tcp, 0, 1), -EINVAL);
    EXPECT_EQ(authority_->release(a, tcp, 65535, 65535), -EINVAL);
    EXPECT_EQ(authority_->reserve(tcp, 0, 1, true), -EINVAL);
    EXPECT_EQ(authority_->reserve(tcp, 65000, 1000, true), -EINVAL);
}

TEST_P(PortmapConformance, ChosenPortsAreEphemeralAndDistinct) {
    start();
    Guest const a = authority_->create_guest("a");
    std::set<std::uint16_t> chosen;
    for (int i = 0; i < 500; i++) {
        std::uint16_t port = 0;
        ASSERT_EQ(authority_->bind(a, tcp, 0, &port), 0);
        EXPECT_GE(port, authority_->table().ephemeral_first);
        EXPECT_LE(port, authority_->table().ephemeral_last);
        EXPECT_TRUE(entry(tcp, port).bound_to(a.domain));
        chosen.insert(port);
    }
    EXPECT_EQ(chosen.size(), 500u);
}

// A guess of the next port from the last ones (next, previous, same distance, the same again) must be as good as never
// right, and two runs must differ. Each guess hits by chance with less than 1 in 10,000.
TEST_P(PortmapConformance, ChosenPortsAreUnpredictable) {
    std::vector<std::vector<std::uint16_t>> runs;
    for (int run = 0; run < 2; run++) {
        start();
        Guest const a = authority_->create_guest("a");
        std::vector<std::uint16_t> ports(200);
        int guessed = 0;
        for (std::size_t i = 0; i < ports.size(); i++) {
            ASSERT_EQ(authority_->bind(a, udp, 0, &ports[i]), 0);
            if (i < 2)
                continue;
            int const step = ports[i] - ports[i - 1];
            guessed += step == 1 || step == -1 || step == ports[i - 1] - ports[i - 2];
        }
        EXPECT_LE(guessed, 3);
        runs.push_back(ports);
    }
    EXPECT_NE(runs[0], runs[1]);
}

TEST_P(PortmapConformance, EveryEphemeralPortCanBeChosenThenNone) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(authority_->set_limit(a.domain, 131072), 0);
    std::uint32_t const range = authority_->table().ephemeral_last - authority_->table().ephemeral_first + 1;
    std::uint16_t port = 0;
    for (std::uint32_t i = 0; i < range; i++)
        ASSERT_EQ(authority_->bind(a, tcp, 0, &port), 0) << i;
    EXPECT_EQ(authority_->bind(a, tcp, 0, &port), -EADDRINUSE);
    EXPECT_EQ(authority_->lease(a, tcp, 1, &port), -EADDRINUSE);
    EXPECT_EQ(authority_->lease(a, both, 1, &port), -EADDRINUSE);
    EXPECT_EQ(authority_->bind(a, udp, 0, &port), 0);
    ASSERT_EQ(authority_->release(a, tcp, 40000, 1), 0);
    EXPECT_EQ(authority_->bind(a, tcp, 0, &port), 0);
    EXPECT_EQ(port, 40000);
}

TEST_P(PortmapConformance, QuotaCountsBothProtocols) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    std::uint16_t port = 0;
    ASSERT_EQ(authority_->set_limit(a.domain, 2), 0);
    EXPECT_EQ(bind(a, tcp, 80), 0);
    EXPECT_EQ(bind(a, udp, 80), 0);
    EXPECT_EQ(bind(a, tcp, 81), -EDQUOT);
    EXPECT_EQ(authority_->bind(a, tcp, 0, &port), -EDQUOT);
    EXPECT_EQ(authority_->lease(a, udp, 1, &port), -EDQUOT);
    EXPECT_TRUE(is_free(tcp, 81));
    EXPECT_EQ(bind(b, tcp, 81), 0) << "another guest's limit";
    EXPECT_EQ(authority_->release(a, udp, 80, 1), 0);
    EXPECT_EQ(bind(a, tcp, 82), 0);
}

TEST_P(PortmapConformance, LoweredLimitKeepsWhatIsOwned) {
    start();
    Guest const a = authority_->create_guest("a");
    EXPECT_EQ(bind(a, tcp, 80), 0);
    EXPECT_EQ(bind(a, tcp, 81), 0);
    ASSERT_EQ(authority_->set_limit(a.domain, 1), 0);
    EXPECT_TRUE(entry(tcp, 80).bound_to(a.domain) && entry(tcp, 81).bound_to(a.domain));
    EXPECT_EQ(bind(a, tcp, 80), 0);
    EXPECT_EQ(bind(a, tcp, 82), -EDQUOT);
    std::uint16_t port = 0;
    EXPECT_EQ(authority_->lease(a, tcp, 1, &port), -EDQUOT);
}

TEST_P(PortmapConformance, LimitOfUnknownDomain) {
    start();
    EXPECT_EQ(authority_->set_limit(DomId{0x7000}, 1), -ENOENT);
    EXPECT_EQ(authority_->set_limit(DomId{0}, 1), -ENOENT);
}

TEST_P(PortmapConformance, LeaseIsABlockWithItsFlag) {
    start();
    Guest const a = authority_->create_guest("a");
    std::uint16_t first = 0;
    ASSERT_EQ(authority_->lease(a, udp, 100, &first), 0);
    EXPECT_GE(first, authority_->table().ephemeral_first);
    EXPECT_LE(first + 99u, authority_->table().ephemeral_last);
    for (std::uint32_t port = first; port < first + 100u; port++) {
        auto const p = static_cast<std::uint16_t>(port);
        EXPECT_EQ(entry(udp, p).word(), lvif_port_entry(LVIF_PORT_BOUND, a.domain.value, LVIF_PORT_LEASED));
        EXPECT_TRUE(is_free(tcp, p));
    }
    EXPECT_EQ(bind(a, udp, first), 0) << "one's own leased port";
    EXPECT_TRUE(entry(udp, first).leased());
}

TEST_P(PortmapConformance, LeaseOfBothIsTheSameBlockAndCountsTwice) {
    start();
    Guest const a = authority_->create_guest("a");
    std::uint16_t first = 0;
    ASSERT_EQ(authority_->set_limit(a.domain, 199), 0);
    EXPECT_EQ(authority_->lease(a, both, 100, &first), -EDQUOT);
    ASSERT_EQ(authority_->set_limit(a.domain, 200), 0);
    ASSERT_EQ(authority_->lease(a, both, 100, &first), 0);
    for (std::uint32_t port = first; port < first + 100u; port++) {
        auto const p = static_cast<std::uint16_t>(port);
        EXPECT_TRUE(entry(tcp, p).bound_to(a.domain) && entry(tcp, p).leased());
        EXPECT_TRUE(entry(udp, p).bound_to(a.domain) && entry(udp, p).leased());
    }
    EXPECT_EQ(authority_->release(a, tcp, first, 1), 0);
    EXPECT_EQ(authority_->release(a, both, first, 100), -EPERM) << "one of them is not the caller's any more";
    EXPECT_TRUE(entry(udp, first).bound_to(a.domain));
    EXPECT_EQ(authority_->release(a, both, static_cast<std::uint16_t>(first + 1), 99), 0);
    EXPECT_EQ(authority_->release(a, udp, first, 1), 0);
    EXPECT_EQ(bind(a, tcp, 80), 0);
}

TEST_P(PortmapConformance, LeasesFillTheRangeWithoutGaps) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(authority_->set_limit(a.domain, 131072), 0);
    std::uint16_t first = 0;
    std::uint32_t const range = authority_->table().ephemeral_last - authority_->table().ephemeral_first + 1;
    for (std::uint32_t i = 0; i < range / 256; i++)
        ASSERT_EQ(authority_->lease(a, tcp, 256, &first), 0) << i;
    EXPECT_EQ(authority_->lease(a, tcp, 256, &first), -EADDRINUSE);
    EXPECT_EQ(authority_->lease(a, tcp, static_cast<std::uint16_t>(range % 256), &first), 0);
    EXPECT_EQ(authority_->lease(a, tcp, 1, &first), -EADDRINUSE);
}

TEST_P(PortmapConformance, LeaseGoesBetweenWhatIsTaken) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    ASSERT_EQ(authority_->set_limit(a.domain, 131072), 0);
    // Every 100th port is another's but for one gap of 199.
    for (std::uint32_t port = 32768; port <= 60999; port += 100)
        if (port != 45068) {
            ASSERT_EQ(bind(b, tcp, static_cast<std::uint16_t>(port)), 0);
        }
    std::uint16_t first = 0;
    EXPECT_EQ(authority_->lease(a, tcp, 200, &first), -EADDRINUSE);
    ASSERT_EQ(authority_->lease(a, tcp, 199, &first), 0);
    EXPECT_EQ(first, 44969);
}

TEST_P(PortmapConformance, LeaseLargerThanTheRange) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(authority_->set_limit(a.domain, 131072), 0);
    std::uint16_t first = 0;
    EXPECT_EQ(authority_->lease(a, tcp, 28233, &first), -EADDRINUSE);
    EXPECT_EQ(authority_->lease(a, tcp, 28232, &first), 0);
    EXPECT_EQ(first, 32768);
}

TEST_P(PortmapConformance, ReleaseIsAllOrNothing) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    for (std::uint16_t port = 100; port < 110; port++)
        ASSERT_EQ(bind(port == 105 ? b : a, tcp, port), 0);
    EXPECT_EQ(authority_->release(a, tcp, 100, 10), -EPERM);
    EXPECT_EQ(authority_->release(a, tcp, 105, 1), -EPERM);
    EXPECT_EQ(authority_->release(a, tcp, 109, 2), -EPERM) << "110 is nobody's";
    for (std::uint16_t port = 100; port < 110; port++)
        EXPECT_TRUE(entry(tcp, port).bound_to(port == 105 ? b.domain : a.domain)) << port;
    EXPECT_EQ(authority_->release(a, tcp, 100, 5), 0);
    EXPECT_TRUE(is_free(tcp, 100) && is_free(tcp, 104));
    EXPECT_EQ(authority_->release(a, tcp, 100, 1), -EPERM) << "free by now";
    EXPECT_EQ(bind(b, tcp, 100), 0) << "released ports have no quarantine";
}

TEST_P(PortmapConformance, ReleaseOfEverything) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    std::uint16_t first = 0;
    EXPECT_EQ(authority_->release(a, both, 0, 0), 0) << "it has none";
    ASSERT_EQ(bind(a, tcp, 80), 0);
    ASSERT_EQ(bind(a, udp, 65535), 0);
    ASSERT_EQ(bind(b, tcp, 81), 0);
    ASSERT_EQ(authority_->lease(a, both, 300, &first), 0);
    EXPECT_EQ(authority_->release(a, tcp, 0, 0), -EINVAL) << "of both protocols or not at all";
    EXPECT_EQ(authority_->release(a, both, 0, 1), -EINVAL);
    EXPECT_EQ(authority_->release(a, both, 1, 0), -EINVAL);
    EXPECT_TRUE(entry(tcp, 80).bound_to(a.domain));
    EXPECT_EQ(authority_->release(a, both, 0, 0), 0);
    EXPECT_TRUE(is_free(tcp, 80) && is_free(udp, 65535) && is_free(tcp, first) && is_free(udp, first));
    EXPECT_TRUE(entry(tcp, 81).bound_to(b.domain));
    EXPECT_EQ(bind(b, tcp, 80), 0) << "released ports have no quarantine";
}

TEST_P(PortmapConformance, ReservedPortsAreTheHosts) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(authority_->reserve(tcp, 22, 1, true), 0);
    EXPECT_EQ(entry(tcp, 22).word(), lvif_port_entry(LVIF_PORT_RESERVED, 0, 0));
    EXPECT_EQ(bind(a, tcp, 22), -EADDRINUSE);
    EXPECT_EQ(bind(a, udp, 22), 0);
    EXPECT_EQ(authority_->release(a, tcp, 22, 1), -EPERM);
    ASSERT_EQ(authority_->reserve(tcp, 22, 1, true), 0) << "again";
    ASSERT_EQ(authority_->reserve(tcp, 20, 10, false), 0) << "others in the range stay as they are";
    EXPECT_EQ(bind(a, tcp, 22), 0);
    EXPECT_EQ(authority_->reserve(tcp, 20, 10, true), -EADDRINUSE);
    EXPECT_TRUE(is_free(tcp, 20)) << "nothing was reserved";
}

TEST_P(PortmapConformance, ReservedPortsAreNotChosen) {
    start();
    Guest const a = authority_->create_guest("a");
    std::uint16_t port = 0;
    ASSERT_EQ(authority_->reserve(tcp, 32768, 28231, true), 0);  // all but 60999
    EXPECT_EQ(authority_->lease(a, tcp, 2, &port), -EADDRINUSE);
    ASSERT_EQ(authority_->bind(a, tcp, 0, &port), 0);
    EXPECT_EQ(port, 60999);
    EXPECT_EQ(authority_->bind(a, tcp, 0, &port), -EADDRINUSE);
    ASSERT_EQ(authority_->reserve(tcp, 50000, 2, false), 0);
    ASSERT_EQ(authority_->lease(a, tcp, 2, &port), 0);
    EXPECT_EQ(port, 50000);
}

TEST_P(PortmapConformance, DestroyedGuestsPortsAreKeptForItsName) {
    start();
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    std::uint16_t first = 0;
    ASSERT_EQ(bind(a, tcp, 80), 0);
    ASSERT_EQ(bind(a, udp, 40000), 0);
    ASSERT_EQ(authority_->lease(a, tcp, 16, &first), 0);
    authority_->destroy_guest(a);
    std::uint32_t const quarantined = lvif_port_entry(LVIF_PORT_QUARANTINED, a.domain.value, 0);
    EXPECT_EQ(entry(tcp, 80).word(), quarantined);
    EXPECT_EQ(entry(udp, 40000).word(), quarantined);
    EXPECT_EQ(entry(tcp, first).word(), quarantined);
    EXPECT_EQ(bind(b, tcp, 80), -EADDRINUSE);
    EXPECT_EQ(authority_->release(b, tcp, 80, 1), -EPERM);

    Guest const again = authority_->create_guest("a");
    EXPECT_NE(again.domain, a.domain);
    EXPECT_EQ(bind(again, tcp, 80), 0);
    EXPECT_TRUE(entry(tcp, 80).bound_to(again.domain));
    EXPECT_EQ(entry(udp, 40000).word(), quarantined);
    ASSERT_EQ(authority_->release(again, tcp, 80, 1), 0);
    EXPECT_EQ(bind(b, tcp, 80), 0);
}

TEST_P(PortmapConformance, QuarantinedPortsAreNotChosen) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(authority_->set_limit(a.domain, 131072), 0);
    std::uint16_t port = 0;
    ASSERT_EQ(authority_->reserve(tcp, 32768, 20232, true), 0);  // so that one guest's quarantine can hold the rest
    ASSERT_EQ(authority_->lease(a, tcp, 8000, &port), 0);
    authority_->destroy_guest(a);
    Guest const b = authority_->create_guest("b");
    EXPECT_EQ(authority_->bind(b, tcp, 0, &port), -EADDRINUSE);
    EXPECT_EQ(authority_->lease(b, tcp, 1, &port), -EADDRINUSE);
}

TEST_P(PortmapConformance, QuarantineEnds) {
    std::chrono::seconds const quarantine{3};
    start(quarantine);
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    ASSERT_EQ(bind(a, tcp, 80), 0);
    ASSERT_EQ(bind(a, udp, 50000), 0);
    auto const before = std::chrono::steady_clock::now();
    authority_->destroy_guest(a);
    int const refused = bind(b, tcp, 80);
    if (authority_->has_test_clock() || std::chrono::steady_clock::now() - before < quarantine) {
        EXPECT_EQ(refused, -EADDRINUSE);
    }
    authority_->pass(quarantine + std::chrono::milliseconds{1});
    EXPECT_EQ(bind(b, tcp, 80), 0);
    EXPECT_EQ(bind(b, udp, 50000), 0);
    if (!authority_->has_test_clock()) {
        EXPECT_GE(std::chrono::steady_clock::now() - before, quarantine);
    }
}

// No request is needed for the table to show it.
TEST_P(PortmapConformance, QuarantineEndsInTheTableByItself) {
    if (GetParam()(std::chrono::seconds{1})->has_test_clock())
        GTEST_SKIP() << "who uses this authority calls its expire() by a timer";
    start(std::chrono::seconds{1});
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(bind(a, tcp, 80), 0);
    authority_->destroy_guest(a);
    for (int i = 0; i < 300 && !is_free(tcp, 80); i++)
        authority_->pass(std::chrono::milliseconds{100});
    EXPECT_TRUE(is_free(tcp, 80));
}

TEST_P(PortmapConformance, ReserveTakesQuarantinedPorts) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(bind(a, tcp, 80), 0);
    authority_->destroy_guest(a);
    ASSERT_EQ(authority_->reserve(tcp, 80, 1, true), 0);
    Guest const again = authority_->create_guest("a");
    EXPECT_EQ(bind(again, tcp, 80), -EADDRINUSE);
}

TEST_P(PortmapConformance, QueryTellsTheOwner) {
    start();
    Guest const a = authority_->create_guest("alpha");
    ASSERT_EQ(authority_->set_limit(a.domain, 77), 0);
    ASSERT_EQ(bind(a, tcp, 80), 0);
    ASSERT_EQ(bind(a, udp, 53), 0);
    QueryAnswer answer;
    ASSERT_EQ(authority_->query(tcp, 80, answer), 0);
    EXPECT_EQ(answer.entry, entry(tcp, 80).word());
    EXPECT_EQ(answer.owner_name, "alpha");
    EXPECT_EQ(answer.owner_ports, 2u);
    EXPECT_EQ(answer.owner_limit, 77u);
    EXPECT_EQ(answer.quarantine_left_s, 0u);
    EXPECT_LT(answer.age_s, 60u);
    authority_->destroy_guest(a);
    ASSERT_EQ(authority_->query(tcp, 80, answer), 0);
    EXPECT_EQ(answer.entry, lvif_port_entry(LVIF_PORT_QUARANTINED, a.domain.value, 0));
    EXPECT_EQ(answer.owner_name, "alpha");
    EXPECT_GT(answer.quarantine_left_s, 3000u);
    EXPECT_LE(answer.quarantine_left_s, 3600u);
    ASSERT_EQ(authority_->query(tcp, 81, answer), 0);
    EXPECT_EQ(answer.entry, 0u);
    EXPECT_EQ(answer.owner_name, "");
    EXPECT_EQ(authority_->query(tcp, 0, answer), -EINVAL);
}

TEST_P(PortmapConformance, AgeGrows) {
    start();
    Guest const a = authority_->create_guest("a");
    ASSERT_EQ(bind(a, tcp, 80), 0);
    authority_->pass(std::chrono::milliseconds{2100});
    QueryAnswer answer;
    ASSERT_EQ(authority_->query(tcp, 80, answer), 0);
    EXPECT_GE(answer.age_s, 2u);
    EXPECT_EQ(bind(a, tcp, 80), 0) << "keeps its age";
    ASSERT_EQ(authority_->query(tcp, 80, answer), 0);
    EXPECT_GE(answer.age_s, 2u);
}

TEST_P(PortmapConformance, PrivilegedOperationsAreRefusedToGuests) {
    start();
    if (!authority_->checks_privileges())
        GTEST_SKIP() << "this authority leaves it to its caller to tell who asks";
    Guest const a = authority_->create_guest("a");
    Guest const b = authority_->create_guest("b");
    EXPECT_EQ(authority_->set_limit_as(a, a.domain, 100000), -EPERM);
    EXPECT_EQ(authority_->set_limit_as(a, b.domain, 0), -EPERM);
    EXPECT_EQ(authority_->reserve_as(a, tcp, 80, 1), -EPERM);
    EXPECT_EQ(authority_->query_as(a, tcp, 80), -EPERM);
    EXPECT_EQ(authority_->map_as(a), -EPERM);
    EXPECT_EQ(authority_->bind_as_control(tcp, 80), -EPERM) << "the host reserves, it does not bind";
    EXPECT_EQ(bind(b, tcp, 80), 0);
}

TEST_P(PortmapConformance, ServerCannotWriteTheTable) {
    start();
    if (!authority_->checks_privileges())
        GTEST_SKIP() << "the table is the caller's memory";
    EXPECT_FALSE(authority_->server_can_write());
}

}  // namespace librettos::test
