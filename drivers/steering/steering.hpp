// SPDX-License-Identifier: BSD-2-Clause
// VFs and which of them, or the server's port, frames for a MAC address go to. One interface for NICs and for what
// stands in for one; tests/unit/steering says what all of them have to do.
//
// A VF is free, given (it has a guest's MAC, and can be brought up by whoever holds it) or steered to (frames for that
// MAC reach it and no longer the port). All functions may be repeated: a server that finds a switch half done does it
// again. They block for as long as the kernel takes, milliseconds; one thread.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "drivers/steering/vf_traffic.hpp"

namespace librettos {

using VfMac = std::array<std::uint8_t, 6>;

// What was refused or failed, and `error`, an errno.
class SteeringError : public std::runtime_error {
  public:
    SteeringError(std::string const& what, int number) : std::runtime_error(what), error(number) {}
    int const error;
};

// ENODEV, for a number that no VF of `count` has.
inline void require_vf(std::uint16_t vf, std::size_t count) {
    if (vf >= count)
        throw SteeringError("there is no VF " + std::to_string(vf) + ", only " + std::to_string(count), ENODEV);
}

struct VfState {
    std::string name;  // as an operator knows it: an interface or a PCI address
    bool present =
        false;  // false: gone with the guest that had it, or unplugged; take() brings back what can be brought back
    bool link_up = false;
    std::optional<VfTraffic> traffic = {};  // not set: it cannot be counted
    bool operator==(VfState const&) const = default;
};

struct VfSettings {
    VfMac mac{};
    // Of its frames on the wire, which the VF's user sends and receives untagged; the port is in that VLAN, too. 0: its
    // frames have no tag on the wire either. With another tag nothing leaves the VF, nor reaches it.
    std::uint16_t vlan = 0;
};

class Steering {
  public:
    virtual ~Steering() = default;

    virtual std::vector<VfState> vfs() = 0;  // number n is at index n
    // Readable when a VF may have come, gone, or its link changed since the last look at vfs(). Not everything that
    // happens to a VF is told: while one is used, vfs() is to be called every second.
    virtual int changes_fd() const = 0;
    // Only frames from `settings.mac` leave through the VF. ENODEV: it is not present; ENOTSUP: no VLANs here, and what
    // to do for some.
    virtual void give(std::uint16_t vf, VfSettings const& settings) = 0;
    // No frame is lost or seen twice by the change itself. ENODEV.
    virtual void steer_to_vf(std::uint16_t vf, VfMac const& mac) = 0;
    virtual void steer_to_port(VfMac const& mac) = 0;
    // Free, whoever holds it: who does not let go of it loses it. `mac` is that of the guest which had it, and whose
    // frames go to the port: what was set up for it goes, too.
    virtual void take(std::uint16_t vf, VfMac const& mac) = 0;
};

}  // namespace librettos
