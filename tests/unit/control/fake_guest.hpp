// SPDX-License-Identifier: BSD-2-Clause
// A guest's side of the handshake, honest by default; tests make it lie.
#pragma once

#include <librettos/control_ring.h>
#include <librettos/frame_ring.h>
#include <librettos/handshake.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/control/world.hpp"

namespace librettos::test {

class FakeGuest {
  public:
    FakeGuest(World& world, std::string const& name);

    void open(std::string const& mode = "shared");
    // Shares rings and writes the keys, without the state.
    void prepare(unsigned queues = 1, std::uint32_t ring_bytes = LVIF_RING_MIN_CAPACITY);
    void set_state(int state);
    void set(std::string const& key, std::string const& value) { world_.write(frontend() + "/" + key, value); }
    std::string key(std::string const& at) const { return world_.read(frontend() + "/" + at); }
    std::string offered(std::string const& at) const { return world_.read(backend() + "/" + at); }
    int server_state() const;
    void die() { world_.destroy_domain(domain); }

    lvif_ring_header& ring(unsigned queue, bool tx);
    lvif_control_ring& to_server();
    lvif_control_ring& to_guest();
    void send(lvif_message const& message);
    void ring_control();
    std::optional<lvif_message> receive();
    std::uint64_t notifications() const;

    std::string frontend() const;
    std::string backend() const;

    DomId const domain;
    std::string const name;

  private:
    Region& region(std::string const& key_name) const;
    World& world_;
};

lvif_message request_of(std::uint16_t type, std::uint32_t id);

}  // namespace librettos::test
