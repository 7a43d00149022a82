// SPDX-License-Identifier: BSD-2-Clause
// What the conformance suite needs of a place with two VFs: numbered frames at the wire, at the server's port and at a
// VF.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "drivers/steering/steering.hpp"

namespace librettos {

using Numbers = std::vector<std::uint32_t>;

struct Seen {
    std::uint32_t number;
    std::uint16_t vlan;  // of the outer tag; 0: untagged
    bool operator==(Seen const&) const = default;
};
using Sightings = std::vector<Seen>;

constexpr VfMac peer{2, 0, 0, 0, 0, 1}, guest{2, 0, 0, 0, 0, 7}, other_guest{2, 0, 0, 0, 0, 8},
    server{2, 0, 0, 0, 0, 3}, everyone{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

class Endpoint {
  public:
    virtual ~Endpoint() = default;
    // With that tag, in the frame itself; 0: untagged.
    virtual void send(VfMac const& to, VfMac const& from, std::uint32_t number, std::uint16_t vlan = 0) = 0;
    // What has come since the last call, of all frames whose send() returned before this one: it waits for them.
    virtual Sightings seen() = 0;
    Numbers received() {
        Numbers numbers;
        for (auto const& [number, vlan] : seen())
            numbers.push_back(number);
        return numbers;
    }
};

class SteeringBench {
  public:
    virtual ~SteeringBench() = default;
    virtual Steering& steering() = 0;
    // send() of this, and of VFs, may be called by another thread.
    virtual Endpoint& wire() = 0;
    virtual Endpoint& port() = 0;
    // The wire and the server's port are in it, beside untagged frames. False: not here, and why.
    virtual bool has_vlan(std::uint16_t vlan, std::string& why_not) = 0;
    // What the VF's user does; the VF has been given.
    virtual std::unique_ptr<Endpoint> bring_up(std::uint16_t vf) = 0;
    virtual void bring_down(std::uint16_t vf) = 0;
    // It is killed, and the kernel cleans up after it.
    virtual void kill_user(std::uint16_t vf) = 0;
};

// Defined by each implementation's test. nullptr: not on this machine, and why.
std::unique_ptr<SteeringBench> make_steering_bench(std::string& why_not);

}  // namespace librettos
