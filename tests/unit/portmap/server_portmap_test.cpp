// SPDX-License-Identifier: BSD-2-Clause
// What the server's own portmap keeps in the store, and what it does when that fails.
#include "drivers/hypervisor/xen/server_portmap.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "portmap/reader.hpp"
#include "tests/unit/errno_of.hpp"
#include "tests/unit/portmap/memory_store.hpp"

namespace librettos::test {
namespace {

constexpr std::uint8_t tcp = IPPROTO_TCP;
constexpr std::uint8_t udp = IPPROTO_UDP;
constexpr std::uint8_t both = LVIF_PORT_TCP_AND_UDP;
constexpr DomId web{5};
constexpr DomId cache{6};

}  // namespace

class ServerPortmapTest : public testing::Test {
  protected:
    using Time = ServerPortmap::Time;

    ServerPortmapTest() { start(); }

    // kill -9, and the next one.
    void start() {
        server_.reset();
        server_ = std::make_unique<ServerPortmap>(std::make_unique<MemoryStore>(store_), DomId{0},
                                                  ServerPortmap::default_settings(), [this] { return now_; });
    }
    void settle() {
        for (int i = 0; i < 1000 && server_->handle_time() == Time{1}; i++) {
        }
    }
    int bind(DomId domain, std::uint8_t protocol, std::uint16_t port) {
        return server_->bind(domain, protocol, port, port_);
    }
    PortEntry entry(std::uint8_t protocol, std::uint16_t port) { return read_port(server_->table(), protocol, port); }
    std::size_t values_below(std::string const& directory) {
        std::string const path = "/local/domain/0/data/librettos-ports/" + directory;
        return static_cast<std::size_t>(std::count_if(store_.values.begin(), store_.values.end(),
                                                      [&](auto const& each) { return each.first.starts_with(path); }));
    }

    StoreContent store_;
    Time now_{1'000'000};
    std::unique_ptr<ServerPortmap> server_;
    std::uint16_t port_ = 0;
};

TEST_F(ServerPortmapTest, SaysThatTheServerDecides) {
    EXPECT_EQ(server_->authority(), "server");
    EXPECT_EQ(server_->server_ports(), server_.get());
}

TEST_F(ServerPortmapTest, AnAnsweredClaimSurvivesTheServer) {
    server_->add_domain(web, "web");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    std::uint16_t first = 0;
    ASSERT_EQ(server_->lease(web, both, 512, first), 0);
    server_->reserve(tcp, 22, 1, true);
    start();
    EXPECT_EQ(entry(tcp, 80).word(), lvif_port_entry(LVIF_PORT_BOUND, 5, 0));
    EXPECT_EQ(entry(udp, 80).word(), 0u);
    EXPECT_EQ(entry(tcp, 22).state(), LVIF_PORT_RESERVED);
    for (std::uint32_t port = first; port < first + 512u; port++) {
        ASSERT_EQ(entry(tcp, static_cast<std::uint16_t>(port)).word(),
                  lvif_port_entry(LVIF_PORT_BOUND, 5, LVIF_PORT_LEASED));
        ASSERT_EQ(entry(udp, static_cast<std::uint16_t>(port)).word(),
                  lvif_port_entry(LVIF_PORT_BOUND, 5, LVIF_PORT_LEASED));
    }
    ASSERT_EQ(server_->domains().size(), 1u);
    EXPECT_EQ(server_->domains()[0].domain, web);
    EXPECT_EQ(server_->domains()[0].name, "web");
    EXPECT_EQ(server_->query(tcp, 80).owner_ports, 1025u);
}

TEST_F(ServerPortmapTest, ReleasedPortsDoNotComeBack) {
    server_->add_domain(web, "web");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    ASSERT_EQ(bind(web, tcp, 81), 0);
    ASSERT_EQ(bind(web, udp, 9000), 0);
    ASSERT_EQ(server_->release(web, tcp, 80, 1), 0);
    start();
    EXPECT_EQ(entry(tcp, 80).word(), 0u);
    EXPECT_TRUE(entry(tcp, 81).bound_to(web));
    ASSERT_EQ(server_->release(web, both, 0, 0), 0);
    settle();
    EXPECT_EQ(values_below("tcp/") + values_below("udp/"), 0u);
    start();
    EXPECT_EQ(entry(tcp, 81).word(), 0u);
    EXPECT_EQ(entry(udp, 9000).word(), 0u);
}

TEST_F(ServerPortmapTest, DomainsThatVanishedMeanwhileAreQuarantined) {
    server_->add_domain(web, "web");
    server_->add_domain(cache, "cache");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    ASSERT_EQ(bind(cache, tcp, 6379), 0);
    start();
    server_->remove_domain(web);  // what an engine does when it does not find the domain any more
    EXPECT_EQ(entry(tcp, 80).state(), LVIF_PORT_QUARANTINED);
    EXPECT_TRUE(entry(tcp, 6379).bound_to(cache));
    EXPECT_EQ(bind(cache, tcp, 80), -EADDRINUSE);
    DomId const again{7};
    server_->add_domain(again, "web");
    EXPECT_EQ(bind(again, tcp, 80), 0);
}

TEST_F(ServerPortmapTest, AQuarantineEndsInTimeWhateverServersDo) {
    server_->add_domain(web, "web");
    server_->add_domain(cache, "cache");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    ASSERT_EQ(bind(cache, tcp, 6379), 0);
    now_ = Time{2'000'000};
    server_->remove_domain(web);
    EXPECT_EQ(server_->handle_time(), Time{60'000});
    now_ += Time{20'000};
    server_->remove_domain(cache);
    settle();
    now_ += Time{20'000};
    start();
    EXPECT_EQ(server_->query(tcp, 80).quarantine_left_s, 20u);
    EXPECT_EQ(server_->query(tcp, 6379).quarantine_left_s, 40u);
    now_ += Time{20'000};
    EXPECT_EQ(server_->handle_time(), Time{20'000});
    EXPECT_EQ(entry(tcp, 80).word(), 0u);
    EXPECT_EQ(values_below("owner/5"), 0u);
    EXPECT_EQ(values_below("owner/6"), 1u);
    now_ += Time{60'000};
    start();
    EXPECT_EQ(entry(tcp, 6379).word(), 0u) << "over while no server was there";
    settle();
    EXPECT_EQ(store_.values.size(), 1u) << "the version alone";
    EXPECT_EQ(server_->handle_time(), Time::max());
}

TEST_F(ServerPortmapTest, ANumberIsNotGivenAnewBeforeItsQuarantineIsOver) {
    server_->add_domain(web, "web");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    EXPECT_EQ(errno_of([&] { server_->add_domain(web, "other"); }), EBUSY) << "the one before must have gone";
    EXPECT_EQ(entry(tcp, 80).state(), LVIF_PORT_QUARANTINED);
    EXPECT_EQ(errno_of([&] { server_->add_domain(web, "web"); }), EBUSY);
    now_ += Time{60'000};
    (void)server_->query(tcp, 1);  // ends it here, not yet in the store
    server_->add_domain(web, "other");
    start();
    EXPECT_EQ(entry(tcp, 80).word(), 0u) << "of its predecessor";
}

TEST_F(ServerPortmapTest, AClaimThatCannotBeWrittenIsTakenBack) {
    server_->add_domain(web, "web");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    store_.writes_left = 0;
    EXPECT_EQ(bind(web, tcp, 443), -EIO);
    EXPECT_EQ(bind(web, udp, 0), -EIO);
    EXPECT_EQ(entry(tcp, 443).word(), 0u);
    EXPECT_EQ(bind(web, tcp, 80), 0) << "its own already";
    EXPECT_EQ(server_->query(tcp, 80).owner_ports, 1u);
    for (std::size_t n = 0; n < 4; n++) {  // a lease of 512 of both protocols writes four blocks or more
        store_.writes_left = ~std::size_t{0};
        settle();  // or what an earlier one wrote may serve this one
        store_.writes_left = n;
        std::uint16_t first = 0;
        EXPECT_EQ(server_->lease(web, both, 512, first), -EIO) << n;
        EXPECT_EQ(server_->query(tcp, 80).owner_ports, 1u) << n;
    }
    store_.writes_left = 0;
    EXPECT_EQ(server_->handle_time(), std::chrono::seconds{1}) << "tries again";
    store_.writes_left = ~std::size_t{0};
    settle();
    start();
    EXPECT_EQ(server_->query(tcp, 80).owner_ports, 1u) << "what was taken back is not in the store either";
    EXPECT_EQ(bind(web, tcp, 443), 0);
}

TEST_F(ServerPortmapTest, AReleaseThatCannotBeWrittenStandsAndIsWrittenLater) {
    server_->add_domain(web, "web");
    server_->add_domain(cache, "cache");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    store_.writes_left = 0;
    EXPECT_EQ(server_->release(web, tcp, 80, 1), 0);
    EXPECT_EQ(entry(tcp, 80).word(), 0u);
    store_.writes_left = ~std::size_t{0};
    ASSERT_EQ(bind(cache, tcp, 80), 0);
    start();
    EXPECT_TRUE(entry(tcp, 80).bound_to(cache));
}

// Killed after every possible number of changes to the store: what was answered is there, nobody has another's
// port.
TEST_F(ServerPortmapTest, KilledAtAnyMoment) {
    for (std::size_t moment = 0; moment < 40; moment++) {
        SCOPED_TRACE(moment);
        store_ = {};
        start();
        server_->add_domain(web, "web");
        server_->add_domain(cache, "cache");
        ASSERT_EQ(bind(web, tcp, 80), 0);
        std::uint16_t first = 0;
        ASSERT_EQ(server_->lease(cache, both, 300, first), 0);
        store_.killed_after = moment;
        std::uint16_t second = 0;
        bool const leased = server_->lease(web, both, 1000, second) == 0 && store_.killed_after > 0;
        bool const bound = bind(web, tcp, 443) == 0 && store_.killed_after > 0;
        server_->remove_domain(cache);
        settle();
        store_.killed_after = ~std::size_t{0};
        start();
        EXPECT_TRUE(entry(tcp, 80).bound_to(web));
        for (std::uint32_t i = 0; i < 300; i++)
            ASSERT_NE(entry(udp, static_cast<std::uint16_t>(first + i)).state(), LVIF_PORT_FREE);
        for (std::uint32_t i = 0; leased && i < 1000; i++)
            ASSERT_TRUE(entry(udp, static_cast<std::uint16_t>(second + i)).bound_to(web));
        EXPECT_TRUE(!bound || entry(tcp, 443).bound_to(web));
        EXPECT_EQ(bind(web, tcp, 443), 0);
        server_->remove_domain(web);
        server_->remove_domain(cache);
        now_ += Time{60'000};
        settle();
        EXPECT_EQ(store_.values.size(), 1u);
    }
}

TEST_F(ServerPortmapTest, OneActionWritesLittle) {
    server_->add_domain(web, "web");
    server_->set_limit(web, 100'000);
    store_.writes = 0;
    ASSERT_EQ(bind(web, tcp, 80), 0);
    EXPECT_EQ(store_.writes, 2u) << "the owner and the block";
    ASSERT_EQ(bind(web, tcp, 81), 0);
    EXPECT_EQ(store_.writes, 3u);
    ASSERT_EQ(bind(web, tcp, 81), 0);
    EXPECT_EQ(store_.writes, 3u) << "its own already";
    store_.writes = 0;
    std::uint16_t first = 0;
    ASSERT_EQ(server_->lease(web, both, 4096, first), 0);
    EXPECT_LE(store_.writes, 2u * (4096 / 256 + 1));
    store_.writes = 0;
    ASSERT_EQ(server_->release(web, both, 0, 0), 0);
    EXPECT_EQ(store_.writes, 0u) << "left to handle_time()";
    (void)server_->handle_time();
    EXPECT_GT(store_.writes, 0u);
    EXPECT_LE(store_.writes, 64u);
}

// Every port of both protocols, each second one another guest's; then many guests of ever new names that are
// destroyed.
TEST_F(ServerPortmapTest, FitsTheStoreWhateverGuestsDo) {
    std::mt19937 random{1};
    for (std::uint16_t id = 1; id <= 256; id++) {
        server_->add_domain(DomId{id}, std::string(60, 'n') + std::to_string(id));
        server_->set_limit(DomId{id}, 131072);
    }
    for (std::uint32_t port = 1; port < LVIF_PORTS; port += 7)
        for (std::uint8_t const protocol : {tcp, udp})
            ASSERT_EQ(
                bind(DomId{static_cast<std::uint16_t>(1 + random() % 256)}, protocol, static_cast<std::uint16_t>(port)),
                0);
    EXPECT_LE(store_.values.size(), 1u + 512 + 256);
    for (std::uint16_t id = 257; id < 2000; id++) {
        server_->add_domain(DomId{id}, "name" + std::to_string(id));
        ASSERT_EQ(server_->bind(DomId{id}, tcp, 0, port_), 0);
        server_->remove_domain(DomId{id});
        settle();
    }
    EXPECT_LE(store_.values.size(), 1u + 512 + 256 + 192);  // MemoryStore throws beyond 1,000
    auto const before = store_.values;
    start();
    settle();
    EXPECT_EQ(store_.values, before) << "a restart alone changes nothing";
}

TEST_F(ServerPortmapTest, ContentOfAnotherMakeIsRefusedWithAWayOut) {
    server_->add_domain(web, "web");
    ASSERT_EQ(bind(web, tcp, 80), 0);
    std::string const root = "/local/domain/0/data/librettos-ports";
    auto const good = store_.values;
    std::string const block = good.at(root + "/tcp/0");
    std::string const other_character = "!" + block.substr(1);
    std::string const free_with_owner = "AAC" + block.substr(3);  // kind 0, owner 2
    std::pair<std::string, std::string> const spoilt[] = {
        {"/version", "2"},    {"/tcp/0", "AAA"},      {"/tcp/0", other_character}, {"/tcp/0", free_with_owner},
        {"/udp/256", block},  {"/udp/01", block},     {"/udp/-1", block},          {"/owner/5", "web"},
        {"/owner/5", "0 "},   {"/owner/5", "-1 web"}, {"/owner/0", "0 control"},   {"/owner/65536", "0 web"},
        {"/owner/5", "0web"}, {"/owner/ 5", "0 web"},
    };
    for (auto const& [path, value] : spoilt) {
        store_.values = good;
        store_.values[root + path] = value;
        try {
            start();
            ADD_FAILURE() << path << " = " << value << " was taken";
        } catch (std::system_error const& error) {
            EXPECT_EQ(error.code().value(), EINVAL);
            EXPECT_NE(std::string{error.what()}.find("without " + root), std::string::npos) << error.what();
        }
    }
    store_.values = good;
    start();
    EXPECT_TRUE(entry(tcp, 80).bound_to(web));
}

TEST_F(ServerPortmapTest, TextOfABlockIsReadAsItWasWritten) {
    std::mt19937 random{2};
    auto const table = std::make_unique<lvif_portmap>();
    for (auto* const ports : {table->tcp, table->udp})
        for (std::uint32_t port = 0; port < LVIF_PORTS; port++) {
            auto const owner = static_cast<std::uint16_t>(1 + random() % 65535);
            std::uint32_t const words[] = {0, lvif_port_entry(LVIF_PORT_RESERVED, 0, 0),
                                           lvif_port_entry(LVIF_PORT_BOUND, owner, 0),
                                           lvif_port_entry(LVIF_PORT_BOUND, owner, LVIF_PORT_LEASED),
                                           lvif_port_entry(LVIF_PORT_QUARANTINED, owner, 0)};
            ports[port] = words[random() % 5];
        }
    for (std::size_t block = 0; block < 512; block++) {
        auto const entries = read_block(*table, block);
        ASSERT_EQ(parse_block(block_text(entries)), entries) << block;
    }
    EXPECT_EQ(block_text(PortBlock{}), "");
}

}  // namespace librettos::test
