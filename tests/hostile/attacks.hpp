// SPDX-License-Identifier: BSD-2-Clause
// The attacks, by name. Each is run by a domain of its own; what it saw goes to the test as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/hostile/rogue.hpp"

namespace librettos::hostile {

struct Setting {
    std::string socket;
    std::string name;
    Milliseconds time;  // how long an attack without an end of its own goes on
};

struct Attack {
    char const* name;
    bool connected;  // begins with a connected device; else with nothing but the domain
    nlohmann::json (*run)(Rogue&, Setting const&);
};

std::vector<Attack> ring_attacks();
std::vector<Attack> memory_attacks();
std::vector<Attack> handshake_attacks();
std::vector<Attack> frame_attacks();
std::vector<Attack> port_attacks();
std::vector<Attack> hypervisor_attacks();  // of the one that is there: local mode's, or Xen's (tests/xen/hostile)

// {"detached": reason} or {"connected": true}
nlohmann::json outcome(Rogue& rogue, Milliseconds patience = Milliseconds(20'000));
// Expects to stay connected.
nlohmann::json still_there(Rogue& rogue);

}  // namespace librettos::hostile
