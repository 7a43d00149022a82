// SPDX-License-Identifier: BSD-2-Clause
// A server's control side in a small world, with a clock that the test moves.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "daemon/engine/control/guests.hpp"
#include "tests/unit/control/data_plane_double.hpp"
#include "tests/unit/control/fake_guest.hpp"
#include "tests/unit/control/world.hpp"

namespace librettos::test {

using namespace librettos::control;

Config small_config();
PortDescription small_port();

// One engine. Destroying it is a server's end: guests stay in the store.
class Server {
  public:
    // `holder_fd`: as for HolderLink; borrowed.
    Server(World& world, Config const& server_config, TimePoint now, int holder_fd = -1);
    ~Server();

    Config const config;
    FakeHypervisor hypervisor;
    HolderLink holder;
    EngineBoot boot;
    std::unique_ptr<DataPlane> data_plane;
    std::unique_ptr<Guests> guests;
};

class Scene : public testing::Test {
  protected:
    Scene();
    ~Scene() override;

    void start();
    void stop() { server.reset(); }
    // Handles events until nothing is left to do at this moment.
    void settle();
    void advance(Clock::duration time) {
        advance(time, [this] { settle(); });
    }
    // `rest` is what settle() is, for more than the server.
    void advance(Clock::duration time, std::function<void()> const& rest);
    // From open to Connected.
    void connect(FakeGuest& guest, std::string const& mode = "shared", unsigned queues = 1);
    Guest const* guest_of(FakeGuest const& guest) const;
    // Nothing of this guest is left in the server or the store.
    void expect_no_trace(FakeGuest const& guest);

    World world;
    Config config = small_config();
    TimePoint now{std::chrono::hours(1)};
    int holder_fd = -1;
    std::unique_ptr<Server> server;
    std::uint64_t turns = 0;
};

}  // namespace librettos::test
