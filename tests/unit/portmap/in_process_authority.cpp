// SPDX-License-Identifier: BSD-2-Clause
// PortmapAuthority itself under the conformance suite, with a clock of the test's, and what only it can be asked.
#include <cerrno>
#include <map>
#include <random>

#include "portmap/authority.hpp"
#include "tests/unit/portmap/authority_in_test.hpp"

namespace librettos::test {

namespace {

class InProcessAuthority final : public AuthorityInTest {
  public:
    explicit InProcessAuthority(std::chrono::seconds quarantine)
        : authority_{*table_, settings(quarantine), random()} {}

    Guest create_guest(std::string const& name) override {
        Guest const guest{0, DomId{++last_domain_}};
        authority_.add_domain(guest.domain, name);
        return guest;
    }
    void destroy_guest(Guest guest) override { authority_.remove_domain(guest.domain, now_); }
    int bind(Guest guest, std::uint8_t protocol, std::uint16_t port, std::uint16_t* bound) override {
        return authority_.bind(guest.domain, protocol, port, now_, bound);
    }
    int lease(Guest guest, std::uint8_t protocol, std::uint16_t count, std::uint16_t* first) override {
        return authority_.lease(guest.domain, protocol, count, now_, first);
    }
    int release(Guest guest, std::uint8_t protocol, std::uint16_t first, std::uint16_t count) override {
        return authority_.release(guest.domain, protocol, first, count, now_);
    }
    int set_limit(DomId domain, std::uint32_t ports) override { return authority_.set_limit(domain, ports); }
    int reserve(std::uint8_t protocol, std::uint16_t first, std::uint16_t count, bool on) override {
        return authority_.reserve(protocol, first, count, on, now_);
    }
    int query(std::uint8_t protocol, std::uint16_t port, QueryAnswer& answer) override {
        PortmapAuthority::Answer a;
        int const status = authority_.query(protocol, port, now_, a);
        answer = {a.entry, a.age_s, a.quarantine_left_s, a.owner_ports, a.owner_limit, a.owner_name};
        return status;
    }
    lvif_portmap const& table() override { return *table_; }
    void pass(std::chrono::milliseconds time) override { now_ += time; }

  private:
    static PortmapAuthority::Settings settings(std::chrono::seconds quarantine) {
        PortmapAuthority::Settings result;
        result.quarantine = quarantine;
        return result;
    }
    static PortmapAuthority::Random random() {
        return [device = std::make_shared<std::random_device>()] { return (*device)(); };
    }
    std::unique_ptr<lvif_portmap> table_ = std::make_unique<lvif_portmap>();
    PortmapAuthority authority_;
    PortmapAuthority::Time now_{1'000'000};
    std::uint16_t last_domain_ = 0;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(InProcess, PortmapConformance,
                         testing::Values(AuthorityFactory{[](std::chrono::seconds quarantine) {
                             return std::make_unique<InProcessAuthority>(quarantine);
                         }}));

class Authority : public testing::Test {
  protected:
    using Time = PortmapAuthority::Time;
    std::unique_ptr<lvif_portmap> table_ = std::make_unique<lvif_portmap>();
    std::mt19937 random_{1};
    PortmapAuthority authority_{*table_, {}, [this] { return static_cast<std::uint32_t>(random_()); }};
    std::uint16_t port_ = 0;
};

TEST_F(Authority, RemembersADomainAsLongAsItsPortsAreQuarantined) {
    authority_.add_domain(DomId{1}, "a");
    authority_.add_domain(DomId{2}, "b");
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 80, Time{0}, &port_), 0);
    authority_.remove_domain(DomId{1}, Time{1000});
    authority_.remove_domain(DomId{2}, Time{1000});
    EXPECT_TRUE(authority_.knows(DomId{1}));
    EXPECT_FALSE(authority_.knows(DomId{2})) << "it had none";
    EXPECT_EQ(authority_.next_expiry(), Time{61000});
    authority_.expire(Time{60999});
    EXPECT_TRUE(authority_.knows(DomId{1}));
    authority_.expire(Time{61000});
    EXPECT_FALSE(authority_.knows(DomId{1}));
    EXPECT_EQ(authority_.next_expiry(), std::nullopt);
    EXPECT_EQ(authority_.totals().quarantined, 0u);
    EXPECT_EQ(table_->tcp[80], 0u);
}

TEST_F(Authority, ForgetsADomainWhenItsLastPortIsClaimed) {
    authority_.add_domain(DomId{1}, "a");
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 80, Time{0}, &port_), 0);
    authority_.remove_domain(DomId{1}, Time{0});
    authority_.add_domain(DomId{2}, "a");
    ASSERT_EQ(authority_.bind(DomId{2}, IPPROTO_TCP, 80, Time{1}, &port_), 0);
    EXPECT_FALSE(authority_.knows(DomId{1}));
    // The same id again, quarantined later: the first quarantine's end is none of its business.
    authority_.add_domain(DomId{1}, "c");
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 81, Time{2}, &port_), 0);
    authority_.remove_domain(DomId{1}, Time{30000});
    authority_.expire(Time{60000});
    EXPECT_TRUE(authority_.knows(DomId{1}));
    EXPECT_EQ(PortEntry{table_->tcp[81]}.state(), LVIF_PORT_QUARANTINED);
    EXPECT_TRUE(PortEntry{table_->tcp[80]}.bound_to(DomId{2}));
    authority_.expire(Time{90000});
    EXPECT_EQ(table_->tcp[81], 0u);
}

TEST_F(Authority, DomainsItDoesNotKnowGetNothing) {
    EXPECT_EQ(authority_.bind(DomId{9}, IPPROTO_TCP, 80, Time{0}, &port_), -ENOENT);
    EXPECT_EQ(authority_.lease(DomId{9}, IPPROTO_TCP, 8, Time{0}, &port_), -ENOENT);
    EXPECT_EQ(authority_.release(DomId{9}, IPPROTO_TCP, 80, 1, Time{0}), -ENOENT);
}

// One who makes guests of ever new names, each with all the ports it may have, keeps no more than the budget.
TEST_F(Authority, QuarantineOfOneAccountIsBoundedOldestFirst) {
    authority_.add_domain(DomId{1}, "victim", 1);
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 80, Time{0}, &port_), 0);
    authority_.remove_domain(DomId{1}, Time{0});
    for (std::uint16_t id = 2; id < 34; id++) {
        authority_.add_domain(DomId{id}, "name" + std::to_string(id), 2);
        for (int block = 0; block < 16; block++)
            ASSERT_EQ(authority_.lease(DomId{id}, LVIF_PORT_TCP_AND_UDP, 128, Time{id}, &port_), 0) << id;
        authority_.remove_domain(DomId{id}, Time{id});
        EXPECT_LE(authority_.totals().quarantined, 16384u + 1u);
    }
    EXPECT_EQ(authority_.totals().quarantined, 16384u + 1u);
    EXPECT_TRUE(authority_.knows(DomId{1})) << "another account's";
    EXPECT_FALSE(authority_.knows(DomId{2})) << "the oldest";
    EXPECT_TRUE(authority_.knows(DomId{33})) << "the newest";
    authority_.expire(Time{60033});
    EXPECT_EQ(authority_.totals().quarantined, 0u);
    EXPECT_EQ(authority_.next_expiry(), std::nullopt);
}

// ... nor many names with one port each: they keep domain ids in use.
TEST_F(Authority, QuarantinedDomainsOfOneAccountAreBounded) {
    for (std::uint16_t id = 1; id <= 2000; id++) {
        authority_.add_domain(DomId{id}, "name" + std::to_string(id), 7);
        ASSERT_EQ(authority_.bind(DomId{id}, IPPROTO_TCP, 0, Time{0}, &port_), 0) << id;
        authority_.remove_domain(DomId{id}, Time{0});
    }
    EXPECT_EQ(authority_.totals().quarantined, 1024u);
    EXPECT_FALSE(authority_.knows(DomId{976}));
    EXPECT_TRUE(authority_.knows(DomId{977}));
    authority_.expire(Time{60000});
    EXPECT_EQ(authority_.totals().quarantined, 0u);
    for (std::uint16_t id = 1; id <= 1024; id++) {  // the accounts started anew
        authority_.add_domain(DomId{id}, "again" + std::to_string(id), 7);
        ASSERT_EQ(authority_.bind(DomId{id}, IPPROTO_TCP, 0, Time{60000}, &port_), 0) << id;
        authority_.remove_domain(DomId{id}, Time{60000});
    }
    EXPECT_EQ(authority_.totals().quarantined, 1024u);
}

TEST_F(Authority, RestoresWhatWasClaimedBefore) {
    authority_.add_domain(DomId{1}, "a");
    ASSERT_EQ(authority_.set_limit(DomId{1}, 1), 0);
    EXPECT_TRUE(authority_.restore(DomId{1}, IPPROTO_TCP, 80, false, Time{0}));
    EXPECT_TRUE(authority_.restore(DomId{1}, IPPROTO_UDP, 40000, true, Time{0})) << "beyond the limit";
    EXPECT_FALSE(authority_.restore(DomId{1}, IPPROTO_TCP, 80, false, Time{0})) << "twice";
    EXPECT_FALSE(authority_.restore(DomId{1}, IPPROTO_TCP, 0, false, Time{0}));
    EXPECT_FALSE(authority_.restore(DomId{2}, IPPROTO_TCP, 81, false, Time{0})) << "of nobody";
    EXPECT_EQ(table_->tcp[80], lvif_port_entry(LVIF_PORT_BOUND, 1, 0));
    EXPECT_EQ(table_->udp[40000], lvif_port_entry(LVIF_PORT_BOUND, 1, LVIF_PORT_LEASED));
    EXPECT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 81, Time{0}, &port_), -EDQUOT);
    EXPECT_EQ(authority_.release(DomId{1}, IPPROTO_UDP, 40000, 1, Time{0}), 0);
    EXPECT_EQ(authority_.totals().bound, 1u);
}

TEST_F(Authority, TellsWhichBlocksHaveChanged) {
    authority_.add_domain(DomId{1}, "a");
    EXPECT_TRUE(authority_.take_changed().none());
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 255, Time{0}, &port_), 0);
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_UDP, 256, Time{0}, &port_), 0);
    auto const claimed = authority_.take_changed();
    EXPECT_TRUE(claimed.test(0) && claimed.test(257));
    EXPECT_EQ(claimed.count(), 2u);
    ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 255, Time{0}, &port_), 0);
    EXPECT_TRUE(authority_.take_changed().none()) << "its own already";
    authority_.remove_domain(DomId{1}, Time{0});
    EXPECT_EQ(authority_.take_changed(), claimed);
    authority_.expire(Time{60000});
    EXPECT_EQ(authority_.take_changed(), claimed);
}

// Chi-squared over 64 buckets of the half that single ports come from: 63 degrees of freedom, p = 1e-9 at 153.
TEST_F(Authority, DrawsEachPortAlikeOften) {
    authority_.add_domain(DomId{1}, "a");
    std::array<double, 64> buckets{};
    int const draws = 64000;
    for (int i = 0; i < draws; i++) {
        ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_UDP, 0, Time{0}, &port_), 0);
        ASSERT_GE(port_, 32768 + 14116);
        buckets[static_cast<std::size_t>(port_ - 46884) * 64 / 14116]++;
        ASSERT_EQ(authority_.release(DomId{1}, IPPROTO_UDP, port_, 1, Time{0}), 0);
    }
    double chi_squared = 0;
    for (double const count : buckets)
        chi_squared += (count - draws / 64.0) * (count - draws / 64.0) / (draws / 64.0);
    EXPECT_LT(chi_squared, 153.0);
}

TEST_F(Authority, SinglePortsLeaveRoomForBlocks) {
    authority_.add_domain(DomId{1}, "a");
    authority_.add_domain(DomId{2}, "b");
    ASSERT_EQ(authority_.set_limit(DomId{1}, 131072), 0);
    ASSERT_EQ(authority_.set_limit(DomId{2}, 131072), 0);
    for (int i = 0; i < 5000; i++)
        ASSERT_EQ(authority_.bind(DomId{1}, IPPROTO_TCP, 0, Time{0}, &port_), 0);
    for (int i = 0; i < 50; i++)
        ASSERT_EQ(authority_.lease(DomId{2}, IPPROTO_TCP, 256, Time{0}, &port_), 0) << i;
}

}  // namespace librettos::test
