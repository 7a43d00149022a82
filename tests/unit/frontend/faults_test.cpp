// SPDX-License-Identifier: BSD-2-Clause
// Chance against the state machine: failing environment, garbled store, toggling states, crashes. Whatever happened,
// once the world is sound again the device connects by itself and passes frames; and closed, it leaves nothing behind.
#include <gtest/gtest.h>

#include "guest.hpp"

namespace {

char const* const garbage[] = {"",         "7",    "-1", "04",         "4 ",   "four", "99999999999999999999",
                               "\x01\xff", "2\n2", "/",  "4294967295", "0x10", "1",    "2",
                               "3",        "6"};

class Chance {
  public:
    Chance(FakeWorld& world, FakeServer& server, Guest& guest, std::uint64_t seed)
        : world_(world), server_(server), guest_(guest), random_(seed) {}

    void step() {
        switch (random_() % 24) {
            case 0:
                if (server_.alive())
                    server_.crash();
                break;
            case 1:
            case 2:
                if (!server_.alive())
                    server_.restart();
                break;
            case 3:
                if (server_.connected())
                    server_.detach(pick(garbage));
                break;
            case 4:
                server_.set_state(static_cast<int>(random_() % 8));
                break;
            case 5:
                garble();
                break;
            case 6:
                world_.remove(random_() % 2 == 0 ? FakeServer::backend : FakeServer::frontend + "/backend");
                break;
            case 7:
                world_.fault_rate = random_() % 3 == 0 ? 0.5 : random_() % 2 == 0 ? 0.05 : 0;
                break;
            case 8:
                server_.keeps_mappings = random_() % 2 == 0;
                break;
            case 9:
                break_ring();
                break;
            case 10:
                guest_.poll();  // spurious
                break;
            default:
                for (std::uint64_t i = random_() % 12; i > 0; i--)
                    guest_.step();
                use_queue();
                break;
        }
    }

    // The world becomes sound: what was garbled is the server's to write anew.
    void heal() {
        world_.fault_rate = 0;
        server_.keeps_mappings = false;
        if (!server_.alive())
            server_.restart();
        world_.write(FakeServer::frontend + "/backend", FakeServer::backend);
        world_.write(FakeServer::frontend + "/backend-id", "3");
        for (auto const& [key, value] : server_.offer)
            world_.write(FakeServer::backend + "/" + key, value);
        world_.remove(FakeServer::backend + "/attach-serial");
        auto const state = server_.state();
        if (state.size() != 1 || state < "1" || state > "6")
            server_.detach("state was garbled");
        // A connection that only one side still has is the server's to end; so is one on pages of which the other side
        // has let go, where a garbled state made the server miss that.
        if (guest_.phase != LVIF_PHASE_CONNECTED || !server_.connected() || !lvif_server_alive(guest_.device))
            server_.detach("recovered");
    }

  private:
    template <std::size_t n>
    char const* pick(char const* const (&list)[n]) {
        return list[random_() % n];
    }
    void garble() {
        static char const* const keys[] = {"state",   "mac",           "mtu",          "ipv4",
                                           "version", "features",      "max-queues",   "max-ring-bytes",
                                           "mode",    "detach-reason", "attach-serial"};
        if (random_() % 5 == 0)
            world_.write(FakeServer::frontend + (random_() % 2 == 0 ? "/backend" : "/backend-id"), pick(garbage));
        else
            world_.write(FakeServer::backend + "/" + pick(keys), pick(garbage));
    }
    void break_ring() {
        if (!server_.connected())
            return;
        switch (random_() % 4) {
            case 0:
                server_.rx_header()->head = random_();
                break;
            case 1:
                server_.tx_header()->tail = random_();
                break;
            case 2:
                server_.to_guest()->head = static_cast<std::uint32_t>(random_());
                break;
            default:
                server_.to_server()->tail = static_cast<std::uint32_t>(random_());
                break;
        }
    }
    void use_queue() {
        std::uint8_t bytes[1500] = {};
        lvif_frame frame{};
        auto const queue = static_cast<std::uint16_t>(random_() % 3);
        for (int i = 0; i < 20; i++)
            (void)lvif_tx_frame(guest_.device, queue, bytes, sizeof bytes, nullptr);
        lvif_tx_publish(guest_.device, queue);
        while (lvif_rx_peek(guest_.device, queue, &frame) == 1)
            lvif_rx_release(guest_.device, queue);
        (void)lvif_rx_sleep(guest_.device, queue);
        lvif_rx_wake(guest_.device, queue);
    }

    FakeWorld& world_;
    FakeServer& server_;
    Guest& guest_;
    std::mt19937_64 random_;
};

void one_life(std::uint64_t seed, std::uint64_t& faults, std::uint64_t& connections) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FakeWorld world(seed);
    FakeServer server(world);
    Guest guest(world, server);
    Chance chance(world, server, guest, seed);
    lvif_options wanted = Guest::options(static_cast<std::uint16_t>(1 + seed % 4));
    wanted.ring_bytes = LVIF_RING_MIN_CAPACITY;
    world.fault_rate = seed % 2 == 0 ? 0.2 : 0;
    for (int tries = 0; guest.open(wanted) != 0; tries++) {
        ASSERT_LT(tries, 1000);
        ASSERT_FALSE(world.leaks()) << "after a failed open: " << world.held();
    }
    for (int i = 0; i < 150; i++)
        chance.step();
    faults += world.faults;
    chance.heal();
    ASSERT_TRUE(guest.connect()) << "phase " << guest.phase << " server " << server.state() << " "
                                 << lvif_detach_reason(guest.device);
    for (lvif_frame frame{}; lvif_rx_peek(guest.device, 0, &frame) == 1;)
        lvif_rx_release(guest.device, 0);
    connections += statistics(guest).connections;
    // A ring that was garbled just before may still be noticed now.
    guest.run_for(200000);
    ASSERT_TRUE(guest.connect());
    guest.run_for(200000);
    ASSERT_EQ(world.quarantined_pages(), 2U + 2U * lvif_queues(guest.device)) << world.held();
    world.on_yield = [&] { server.turn(); };
    lvif_close(guest.device);
    EXPECT_FALSE(world.leaks()) << world.held();
    for (auto const& violation : world.violations)
        ADD_FAILURE() << violation;
}

TEST(Faults, nothing_latches_and_nothing_leaks) {
    std::uint64_t const first = std::random_device{}();
    std::uint64_t faults = 0;
    std::uint64_t connections = 0;
    constexpr std::uint64_t lives = 400;
    for (std::uint64_t seed = first; seed < first + lives && !::testing::Test::HasFailure(); seed++)
        one_life(seed, faults, connections);
    EXPECT_GT(faults, lives);
    EXPECT_GT(connections, lives) << "some lives connected more than once";
}

}  // namespace
