// SPDX-License-Identifier: BSD-2-Clause
// The server's seam over a real hypervisord, and the frontend library's environment.
#include "drivers/hypervisor/local/local_hypervisor.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include "drivers/hypervisor/server_ports.hpp"
#include "portmap/reader.hpp"
#include "tests/unit/errno_of.hpp"
#include "tests/unit/local/hypervisord_process.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // C functions named like their structs
#include <librettos/frontend.h>
#pragma GCC diagnostic pop

namespace librettos::test {

namespace {

bool is_readable(int fd) {
    pollfd readable{fd, POLLIN, 0};
    return ::poll(&readable, 1, 10'000) == 1;
}

}  // namespace

class LocalSeam : public testing::Test {
  protected:
    HypervisordProcess process_;
    LocalHypervisor hypervisor_{process_.socket()};
    Client guest_{process_, LVIF_HV_GUEST, "guest"};
    DomId domain_{lvif_hv_self(guest_)};
    std::string home_ = "/local/domain/" + std::to_string(domain_.value);
};

TEST_F(LocalSeam, SaysWhatItIs) {
    EXPECT_EQ(hypervisor_.self(), DomId{0});
    EXPECT_EQ(hypervisor_.name(), "local");
    EXPECT_EQ(hypervisor_.portmap_authority(), "hypervisor");
    EXPECT_EQ(errno_of([&] { LocalHypervisor{process_.socket()}; }), EBUSY);
    EXPECT_EQ(errno_of([&] { LocalHypervisor{process_.directory() + "/none"}; }), ENOENT);
}

// The server's own portmap, in the store of a real hypervisord that outlives the servers.
TEST(LocalServerPortmap, OutlivesTheServer) {
    HypervisordProcess process;
    Client guest{process, LVIF_HV_GUEST, "web"};
    DomId const domain{lvif_hv_self(guest)};
    std::uint16_t first = 0;
    {
        LocalHypervisor server{process.socket(), true};
        EXPECT_EQ(server.portmap_authority(), "server");
        auto& ports = *server.server_ports();
        ports.add_domain(domain, "web");
        server.set_port_limit(domain, 2000);
        std::uint16_t bound = 0;
        EXPECT_EQ(ports.bind(domain, IPPROTO_TCP, 80, bound), 0);
        EXPECT_EQ(ports.lease(domain, LVIF_PORT_TCP_AND_UDP, 512, first), 0);
        EXPECT_TRUE(read_port(server.portmap(), IPPROTO_TCP, 80).bound_to(domain));
    }
    LocalHypervisor server{process.socket(), true};
    EXPECT_TRUE(read_port(server.portmap(), IPPROTO_TCP, 80).bound_to(domain));
    EXPECT_TRUE(read_port(server.portmap(), IPPROTO_UDP, static_cast<std::uint16_t>(first + 511)).leased());
    EXPECT_EQ(server.query_port(IPPROTO_TCP, 80).owner_name, "web");
    EXPECT_EQ(server.query_port(IPPROTO_TCP, 80).owner_ports, 1025u);
    ASSERT_EQ(server.server_ports()->domains().size(), 1u);
    server.server_ports()->remove_domain(domain);
    EXPECT_EQ(read_port(server.portmap(), IPPROTO_TCP, 80).state(), LVIF_PORT_QUARANTINED);

    std::string const kept = "/local/domain/0/data/librettos-ports";
    EXPECT_FALSE(server.list(kept + "/tcp").empty());
    char value[LVIF_HV_VALUE_MAX + 1];
    EXPECT_EQ(lvif_hv_read(guest, (kept + "/tcp/0").c_str(), value, sizeof(value)), -EACCES) << "no guest's business";
    EXPECT_EQ(lvif_hv_write(guest, (kept + "/tcp/0").c_str(), "x"), -EACCES);
}

TEST_F(LocalSeam, Store) {
    EXPECT_EQ(hypervisor_.read(home_ + "/name"), "guest");
    EXPECT_EQ(hypervisor_.read(home_ + "/none"), std::nullopt);
    EXPECT_EQ(hypervisor_.list("/local/domain"), (std::vector<std::string>{"0", std::to_string(domain_.value)}));
    EXPECT_EQ(hypervisor_.list("/none"), std::vector<std::string>{});
    hypervisor_.write(home_ + "/device/lvif/0/backend-id", "0");
    EXPECT_EQ(hypervisor_.read(home_ + "/device/lvif/0/backend-id"), "0");
    hypervisor_.remove(home_ + "/device");
    hypervisor_.remove(home_ + "/device");
    EXPECT_EQ(errno_of([&] { hypervisor_.write("/local/domain/999/x", ""); }), ENOENT);
    EXPECT_TRUE(hypervisor_.domain_exists(domain_));
    EXPECT_TRUE(hypervisor_.domain_exists(DomId{0}));
    EXPECT_FALSE(hypervisor_.domain_exists(DomId{999}));
    for (int i = 0; i < 1000; i++)
        hypervisor_.write("/tool/with-a-longer-name-" + std::to_string(i), "");
    EXPECT_EQ(hypervisor_.list("/tool").size(), 1000u);
}

TEST_F(LocalSeam, PermittedDirectoryIsReadByTheGuest) {
    std::string const backend = "/local/domain/0/backend/lvif/" + std::to_string(domain_.value) + "/0";
    hypervisor_.permit(backend, DomId{0}, domain_);
    hypervisor_.write(backend + "/state", "2");
    char value[16];
    EXPECT_EQ(lvif_hv_read(guest_, (backend + "/state").c_str(), value, sizeof(value)), 1);
    EXPECT_STREQ(value, "2");
}

TEST_F(LocalSeam, WatchEvents) {
    hypervisor_.watch("/local/domain");
    ASSERT_TRUE(is_readable(hypervisor_.watch_fd()));
    auto const events = hypervisor_.take_watch_events();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].watched, "/local/domain");
    EXPECT_TRUE(hypervisor_.take_watch_events().empty());
    guest_.close();
    ASSERT_TRUE(is_readable(hypervisor_.watch_fd()));
    EXPECT_EQ(hypervisor_.take_watch_events().at(0).changed, home_);
    EXPECT_FALSE(hypervisor_.domain_exists(domain_));
    hypervisor_.unwatch("/local/domain");
    process_.stop(SIGKILL);
    ASSERT_TRUE(is_readable(hypervisor_.watch_fd()));
    EXPECT_EQ(errno_of([&] { (void)hypervisor_.take_watch_events(); }), ECONNRESET);
}

TEST_F(LocalSeam, MappingAndChannelLiveAsLongAsTheirObjects) {
    constexpr std::size_t size = 8192;
    auto* pages = static_cast<char*>(lvif_hv_pages_allocate(guest_, size));
    std::uint32_t region = 0;
    std::uint32_t port = 0;
    ASSERT_EQ(lvif_hv_share(guest_, pages, size, 0, &region), 0);
    ASSERT_EQ(lvif_hv_event_allocate(guest_, 0, &port), 0);
    EXPECT_EQ(errno_of([&] { (void)hypervisor_.map(domain_, RegionRef{region + 1}, size, std::nullopt); }), ENOENT);
    EXPECT_EQ(errno_of([&] { (void)hypervisor_.map(domain_, RegionRef{region}, size / 2, std::nullopt); }), EINVAL);
    EXPECT_EQ(errno_of([&] { (void)hypervisor_.bind_event(domain_, EventPort{port + 1}); }), ENOENT);
    {
        auto const channel = hypervisor_.bind_event(domain_, EventPort{port});
        auto const mapping = hypervisor_.map(domain_, RegionRef{region}, size, LifeSign{100, channel->local_port()});
        ASSERT_EQ(mapping->bytes().size(), size);
        mapping->bytes()[100] = std::byte{1};
        EXPECT_EQ(pages[100], 1);
        channel->notify();
        EXPECT_TRUE(is_readable(lvif_hv_event_fd(guest_, port)));
        lvif_hv_event_clear(guest_, port);
        lvif_hv_event_notify(guest_, port);
        EXPECT_TRUE(is_readable(channel->fd()));
        channel->clear();
        EXPECT_EQ(hypervisor_.totals().mappings, 1u);
        EXPECT_EQ(hypervisor_.totals().bound_channels, 1u);
    }
    EXPECT_EQ(pages[100], 0);
    EXPECT_TRUE(is_readable(lvif_hv_event_fd(guest_, port)));
    EXPECT_EQ(hypervisor_.totals().mappings, 0u);
    EXPECT_EQ(hypervisor_.totals().bound_channels, 0u);
    EXPECT_EQ(lvif_hv_unshare(guest_, region), 0);
}

TEST_F(LocalSeam, Portmap) {
    std::uint16_t port = 0;
    ASSERT_EQ(lvif_hv_port_bind(guest_, IPPROTO_TCP, 80, &port), 0);
    lvif_portmap const& portmap = hypervisor_.portmap();
    EXPECT_EQ(&portmap, &hypervisor_.portmap());
    EXPECT_TRUE(read_port(portmap, IPPROTO_TCP, 80).bound_to(domain_));
    EXPECT_EQ(hypervisor_.query_port(IPPROTO_TCP, 80).owner_name, "guest");
    hypervisor_.set_port_limit(domain_, 1);
    EXPECT_EQ(lvif_hv_port_bind(guest_, IPPROTO_TCP, 81, &port), -EDQUOT);
    hypervisor_.reserve_ports(IPPROTO_UDP, 53, 1, true);
    EXPECT_EQ(read_port(portmap, IPPROTO_UDP, 53).state(), LVIF_PORT_RESERVED);
    EXPECT_EQ(errno_of([&] { hypervisor_.reserve_ports(IPPROTO_TCP, 80, 1, true); }), EADDRINUSE);
    EXPECT_EQ(errno_of([&] { hypervisor_.set_port_limit(DomId{999}, 1); }), ENOENT);
}

TEST_F(LocalSeam, EnvironmentOfTheFrontendLibrary) {
    lvif_environment environment;
    lvif_hv_environment(guest_, &environment);
    void* const context = environment.context;
    EXPECT_EQ(environment.self, domain_.value);
    EXPECT_EQ(environment.quiesce, nullptr);
    auto* pages = static_cast<char*>(environment.pages_allocate(context, 5000));
    ASSERT_NE(pages, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages) % 4096, 0u);
    EXPECT_TRUE(std::all_of(pages, pages + 5000, [](char byte) { return byte == 0; }));
    std::uint32_t region = 0;
    std::uint32_t port = 0;
    ASSERT_EQ(environment.share(context, pages, 5000, 0, &region), 0);
    ASSERT_EQ(environment.event_allocate(context, 0, &port), 0);
    {
        auto const mapping = hypervisor_.map(domain_, RegionRef{region}, 8192, std::nullopt);
        EXPECT_EQ(environment.unshare(context, region), LVIF_EBUSY);
        auto const channel = hypervisor_.bind_event(domain_, EventPort{port});
        environment.event_notify(context, port);
        EXPECT_TRUE(is_readable(channel->fd()));
    }
    EXPECT_EQ(environment.unshare(context, region), 0);
    environment.event_free(context, port);
    environment.pages_free(context, pages, 5000);
    char value[8];
    EXPECT_EQ(environment.store_read(context, (home_ + "/x").c_str(), value, sizeof(value)), LVIF_ENOENT);
    EXPECT_EQ(environment.store_watch(context, home_.c_str()), 0);
    EXPECT_EQ(environment.store_write(context, (home_ + "/x").c_str(), "12345678"), 0);
    EXPECT_EQ(environment.store_read(context, (home_ + "/x").c_str(), value, sizeof(value)), LVIF_EMSGSIZE);
    EXPECT_TRUE(is_readable(lvif_hv_fd(guest_)));
    environment.store_unwatch(context, home_.c_str());
    std::uint64_t const start = environment.now_us(context);
    environment.yield(context);
    EXPECT_GT(environment.now_us(context), start);
}

}  // namespace librettos::test
