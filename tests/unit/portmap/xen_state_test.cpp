// SPDX-License-Identifier: BSD-2-Clause
// What only the hypervisor's authority can be asked: UUIDs, ids that come back at once, work in portions, its random
// numbers.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <set>

#include "portmap/reader.hpp"
#include "tests/unit/portmap/xen_state.hpp"

namespace librettos::test {

namespace {

constexpr Uuid uuid_of(std::uint8_t last) {
    Uuid uuid{};
    uuid.back() = last;
    return uuid;
}

class XenStateTest : public testing::Test {
  protected:
    XenStateTest() {
        xen_random = [random = std::make_shared<std::mt19937>(1)] { return static_cast<std::uint32_t>((*random)()); };
    }
    void add(std::uint16_t domain, Uuid const& uuid) {
        ASSERT_EQ(portmap_add_domain(state_.get(), domain, uuid.data()), 0);
    }
    int bind(std::uint16_t domain, std::uint16_t port, std::uint64_t now_ms = 0) {
        return portmap_bind(state_.get(), domain, IPPROTO_TCP, port, now_ms, &bound_);
    }
    PortEntry entry(std::uint16_t port) { return read_port(state_.table(), IPPROTO_TCP, port); }

    XenState state_;
    std::uint16_t bound_ = 0;
};

TEST_F(XenStateTest, QuarantinedPortsAreForTheSameUuid) {
    add(1, uuid_of(1));
    ASSERT_EQ(bind(1, 80), 0);
    state_.remove(DomId{1}, 0, 100);
    add(2, uuid_of(2));
    add(3, uuid_of(1));
    EXPECT_EQ(bind(2, 80), -EADDRINUSE);
    EXPECT_EQ(bind(3, 80), 0);
}

TEST_F(XenStateTest, AGuestWithoutUuidAndNameIsNobodyElse) {
    add(1, Uuid{});
    ASSERT_EQ(bind(1, 80), 0);
    state_.remove(DomId{1}, 0, 100);
    add(2, Uuid{});
    EXPECT_EQ(bind(2, 80), -EADDRINUSE);
}

TEST_F(XenStateTest, ADomainIdThatComesBackIsAnotherDomain) {
    add(1, uuid_of(1));
    ASSERT_EQ(bind(1, 80), 0);
    state_.remove(DomId{1}, 0, 100);
    add(1, uuid_of(2));
    EXPECT_EQ(bind(1, 80), -EADDRINUSE);
    EXPECT_EQ(portmap_release(state_.get(), 1, IPPROTO_TCP, 80, 1, 0), -EPERM);
    ASSERT_EQ(bind(1, 81), 0);
    state_.expire(60000, 1);
    EXPECT_EQ(entry(80).word(), 0u);
    EXPECT_TRUE(entry(81).bound_to(DomId{1}));
}

// The same guest may be back, and take some of its ports, while the domain before is still being torn down.
TEST_F(XenStateTest, PortsMayBeClaimedWhileTheRestGoesIntoQuarantine) {
    add(1, uuid_of(1));
    add(2, uuid_of(1));
    for (std::uint16_t port = 100; port < 110; port++)
        ASSERT_EQ(bind(1, port), 0);
    ASSERT_FALSE(portmap_remove_domain(state_.get(), 1, 0, 4));
    int claimed = 0;
    for (std::uint16_t port = 100; port < 110; port++)
        claimed += bind(2, port) == 0;
    EXPECT_EQ(claimed, 4) << "those that were quarantined already";
    EXPECT_EQ(bind(1, 200), -ENOENT) << "it is leaving";
    ASSERT_EQ(portmap_reserve(state_.get(), IPPROTO_TCP, 100, 10, true, 0), -EADDRINUSE);
    state_.remove(DomId{1}, 0, 1);
    for (std::uint16_t port = 100; port < 110; port++)
        claimed += entry(port).state() == LVIF_PORT_QUARANTINED;
    EXPECT_EQ(claimed, 10);
    EXPECT_EQ(state_.get()->quarantined, 6u);
    EXPECT_EQ(state_.get()->bound, 4u);
}

TEST_F(XenStateTest, AShorterQuarantineEndsWhatIsQuarantinedAlready) {
    add(1, uuid_of(1));
    ASSERT_EQ(bind(1, 80), 0);
    state_.remove(DomId{1}, 1000, 100);
    EXPECT_EQ(portmap_next_expiry(state_.get()), 61000u);
    state_.get()->settings.quarantine_ms = 500;
    EXPECT_EQ(portmap_next_expiry(state_.get()), 1500u);
    state_.expire(1500, 1);
    EXPECT_EQ(entry(80).word(), 0u);
    EXPECT_EQ(portmap_next_expiry(state_.get()), UINT64_MAX);
}

TEST_F(XenStateTest, OwnersAreBoundedAndTheDeadGiveWay) {
    for (std::uint16_t domain = 1; domain <= PORTMAP_OWNERS; domain++) {
        add(domain, uuid_of(0));
        ASSERT_EQ(bind(domain, domain), 0);
    }
    std::uint16_t const more = PORTMAP_OWNERS + 1;
    EXPECT_EQ(portmap_add_domain(state_.get(), more, uuid_of(1).data()), -ENOMEM);
    state_.remove(DomId{5}, 0, 100);
    state_.expire(0, 1);
    EXPECT_EQ(entry(5).word(), 0u) << "its quarantine ended, so that another domain has room";
    EXPECT_EQ(portmap_add_domain(state_.get(), more, uuid_of(1).data()), 0);
    EXPECT_EQ(bind(more, 5), 0);
}

TEST_F(XenStateTest, NamesThatDoNotEndAreInvalid) {
    add(1, uuid_of(1));
    char name[LVIF_PORTMAP_NAME_MAX + 1];
    std::fill(std::begin(name), std::end(name), 'a');
    EXPECT_EQ(portmap_set_name(state_.get(), 1, name), -EINVAL);
    name[LVIF_PORTMAP_NAME_MAX] = 0;
    EXPECT_EQ(portmap_set_name(state_.get(), 1, name), 0);
    EXPECT_EQ(portmap_set_name(state_.get(), 2, name), -ENOENT);
    name[3] = 0;
    EXPECT_EQ(portmap_set_name(state_.get(), 1, name), -EINVAL) << "something behind the end";
}

// RFC 8439, 2.3.2
TEST(XenRandom, BlockFunctionIsChaCha20) {
    std::uint32_t input[PORTMAP_CHACHA_WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (std::uint32_t i = 0; i < 8; i++)
        input[4 + i] = 0x03020100 + i * 0x04040404;
    input[12] = 1;
    input[13] = 0x09000000;
    input[14] = 0x4a000000;
    std::uint32_t output[PORTMAP_CHACHA_WORDS];
    portmap_chacha20_block(input, output);
    std::uint32_t const expected[] = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
                                      0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                      0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
    EXPECT_TRUE(std::equal(std::begin(output), std::end(output), std::begin(expected), std::end(expected)));
}

TEST(XenRandom, NeverTheSameAgainAndKeepsNothingOfThePast) {
    portmap_generator generator{};
    std::uint32_t const seed[PORTMAP_SEED_WORDS] = {1, 2, 3};
    portmap_generator_stir(&generator, seed);
    std::set<std::uint32_t> drawn;
    for (int i = 0; i < 10000; i++)
        drawn.insert(portmap_generator_draw(&generator));
    EXPECT_GT(drawn.size(), 9990u);
    portmap_generator const now = generator;
    for (std::uint32_t word : now.key)
        EXPECT_FALSE(drawn.contains(word));
    for (std::uint32_t i = now.left; i < PORTMAP_SEED_WORDS; i++)
        EXPECT_EQ(now.drawn[PORTMAP_SEED_WORDS + i], 0u) << "drawn already";
    portmap_generator other = now;
    std::uint32_t const more[PORTMAP_SEED_WORDS] = {4};
    portmap_generator_stir(&other, more);
    EXPECT_NE(portmap_generator_draw(&other), portmap_generator_draw(&generator));
}

}  // namespace

}  // namespace librettos::test
