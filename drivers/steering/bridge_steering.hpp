// SPDX-License-Identifier: BSD-2-Clause
// Steering by a Linux bridge, where there is no NIC with VFs: the server's port is one port of the bridge, the wire
// another, and a VF is a veth pair, one end of which is a port, too. Frames are steered by the bridge's forwarding
// table.
//
//     wire ---- bridge ---- the server's port
//                 | `------ vf0b ==== vf0   (a guest takes this end into its namespace)
//                 `-------- vf1b ==== vf1
//
// A VF is in one VLAN of the bridge, untagged at its port; which VLANs the server's port and the wire are in is the
// operator's. A bridge that does not filter VLANs passes on what tags a VF's user puts: it has none to be kept in.
//
// VFs are made when they are missing, and left behind: they outlive the server, as those of a NIC do.
#pragma once

#include <string>
#include <vector>

#include "drivers/steering/route_netlink.hpp"
#include "drivers/steering/steering.hpp"

namespace librettos {

struct BridgeOptions {
    std::string bridge;       // interface, exists
    std::string server_port;  // interface, the bridge's port that leads to the server
    // The guests' ends, made when they are missing; the bridge's end has a "b" behind it: at most 14 characters.
    std::vector<std::string> vfs;
    std::uint16_t vlan = 0;  // of the server's frames on the wire; 0: untagged
};

class BridgeSteering final : public Steering {
  public:
    // SteeringError: there is no such bridge, or the port is not one of its, or there is a VLAN and the bridge filters
    // none.
    explicit BridgeSteering(BridgeOptions options);

    std::vector<VfState> vfs() override;
    int changes_fd() const override { return changes_.fd(); }
    void give(std::uint16_t vf, VfSettings const& settings) override;
    void steer_to_vf(std::uint16_t vf, VfMac const& mac) override;
    void steer_to_port(VfMac const& mac) override;
    void take(std::uint16_t vf, VfMac const& mac) override;

  private:
    std::string const& guest_end(std::uint16_t vf) const { return options_.vfs[vf]; }
    std::string bridge_end(std::uint16_t vf) const;
    LinkFacts require_port(std::uint16_t vf);
    void make(std::uint16_t vf);
    void require_filter(std::uint16_t vlan);

    BridgeOptions options_;
    RouteNetlink netlink_;
    LinkChanges changes_;
    int bridge_ = 0;
    int server_port_ = 0;
};

}  // namespace librettos
