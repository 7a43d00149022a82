// SPDX-License-Identifier: BSD-2-Clause
// A server's control side in a small world.
#include "tests/unit/control/scene.hpp"

namespace librettos::test {

Config small_config() {
    Config config;
    config.network.ipv4 = Subnet{"192.0.2.2", 24};
    config.network.ipv6 = Subnet{"2001:db8::2", 64};
    config.network.gateway4 = "192.0.2.1";
    config.dedicated.ipv4 = {"192.0.2.10", "192.0.2.11", "192.0.2.12"};
    config.dedicated.ipv6 = {"2001:db8::10"};
    config.attach.dedicated = {"own-*"};
    return config;
}

PortDescription small_port() {
    PortDescription port;
    port.device = "net_fake0";
    port.mac = {2, 0, 0, 0, 0, 1};
    return port;
}

Server::Server(World& world, Config const& server_config, TimePoint now, int holder_fd)
    : config(server_config), hypervisor(world), holder(holder_fd) {
    boot.config = &config;
    boot.wake_up_ns = 25'000;
    boot.port = small_port();
    data_plane = std::make_unique<DataPlane>(boot, network_identity(config, boot.port), hypervisor.portmap());
    guests = std::make_unique<Guests>(hypervisor, *data_plane, holder, config, boot.port);
    guests->start(now);
}

Server::~Server() {
    data_plane.reset();
    guests.reset();
}

Scene::Scene() {
    plane() = {};
    plane().world = &world;
}

Scene::~Scene() {
    server.reset();
    EXPECT_EQ(world.mappings, 0);
    EXPECT_EQ(world.bound_channels, 0);
    EXPECT_TRUE(world.watches.empty());
    EXPECT_EQ(world.unmapped_in_use, 0) << "memory was taken from under the data plane";
    plane().world = nullptr;
}

void Scene::start() {
    server = std::make_unique<Server>(world, config, now, holder_fd);
    settle();
}

void Scene::settle() {
    for (int n = 0; n < 10000; ++n) {
        ++turns;
        server->guests->handle_store_events(now);
        server->guests->handle_data_events(now);
        server->guests->handle_channels(now);
        server->guests->handle_time(now);
        if (world.events.empty() && server->guests->next_wake() > now)
            return;
    }
    FAIL() << "the control thread never comes to rest";
}

void Scene::advance(Clock::duration time, std::function<void()> const& rest) {
    auto const end = now + time;
    rest();
    while (server->guests->next_wake() <= end) {
        now = std::max(now, server->guests->next_wake());
        rest();
    }
    now = end;
    rest();
}

void Scene::connect(FakeGuest& guest, std::string const& mode, unsigned queues) {
    guest.open(mode);
    settle();
    ASSERT_EQ(guest.server_state(), LVIF_STATE_INIT_WAIT) << guest.offered(LVIF_KEY_DETACH_REASON);
    guest.prepare(queues);
    guest.set_state(LVIF_STATE_INITIALISED);
    settle();
    ASSERT_EQ(guest.server_state(), LVIF_STATE_CONNECTED) << guest.offered(LVIF_KEY_DETACH_REASON);
    guest.set_state(LVIF_STATE_CONNECTED);
    settle();
}

Guest const* Scene::guest_of(FakeGuest const& guest) const {
    auto const found = server->guests->all().find(guest.domain);
    return found == server->guests->all().end() ? nullptr : found->second.get();
}

void Scene::expect_no_trace(FakeGuest const& guest) {
    EXPECT_EQ(guest_of(guest), nullptr);
    auto const directory = guest.backend().substr(0, guest.backend().size() - 2);
    EXPECT_FALSE(world.has(directory)) << world.store.lower_bound(directory)->first;
    for (auto const& [slot, attached] : plane().guests)
        EXPECT_NE(attached.identity.domain, guest.domain);
}

}  // namespace librettos::test
