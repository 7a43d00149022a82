// SPDX-License-Identifier: BSD-2-Clause
// Steering by a NIC whose PF the kernel drives, as QEMU's igb: the server's port is the PF's interface, VFs are set up
// as `ip link set PF vf N mac` does.
//
// Theory of operation. A frame goes to the VF that has its destination for an address, beside that to the PF if it is
// one of the PF's, and to the PF, which is promiscuous, if nobody has it. So a VF has an address that is nobody's until
// frames are steered to it, and the guest's from then on; the guest's driver is told neither (it keeps what it read
// when it started), its frames carry the guest's address in any case. From any other address the NIC lets no frame of a
// VF pass. While a guest is not steered to its VF the PF has the guest's address, too: other VFs' frames reach it that
// way. In between frames reach the PF, as nobody's.
//
// The PF's addresses are memberships of a socket: they end with this process. Those of VFs stay.
//
// A VLAN of VFs is one that the PF has to receive, too, for guests that are not steered to theirs. The kernel tells a
// PF's driver of those only that have an interface, even one that is down. If nobody has made one this does, and
// removes it in the end; what a killed process leaves is the next one's. VFs are put into it after that and before
// they are given: igb admits the PF to a VLAN's broadcasts together with the first VF.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "drivers/steering/route_netlink.hpp"
#include "drivers/steering/steering.hpp"

namespace librettos {

struct KernelPfOptions {
    std::string pf;                // interface, the server's port
    std::vector<std::string> vfs;  // PCI addresses of those that guests may have
    std::uint16_t vlan = 0;        // that the PF receives beside frames without a tag; 0: none
    std::string interfaces = "/sys/class/net";
};

// The PF receives that VLAN (0: none) as long as this lives. SteeringError: there are no VLANs here, and what to do.
class PfVlan {
  public:
    PfVlan(RouteNetlink& netlink, std::string const& pf, std::uint16_t vlan);
    ~PfVlan();
    PfVlan(PfVlan const&) = delete;
    PfVlan& operator=(PfVlan const&) = delete;

  private:
    RouteNetlink& netlink_;
    int pf_;
    std::uint16_t vlan_;
};

class KernelPfSteering final : public Steering {
  public:
    // A VF with no address gets one that is nobody's: its user may not choose. SteeringError: no such PF, or VF of it,
    // or the PF cannot receive the VLAN.
    explicit KernelPfSteering(KernelPfOptions options);
    ~KernelPfSteering() override;
    KernelPfSteering(KernelPfSteering const&) = delete;
    KernelPfSteering& operator=(KernelPfSteering const&) = delete;

    // A VF's link is the PF's: that its user has brought it up the PF's driver does not tell. Where a driver does not
    // count what goes through VFs (igb) the kernel says 0; so VFs have counters once one of them is not 0.
    std::vector<VfState> vfs() override;
    int changes_fd() const override { return changes_.fd(); }
    void give(std::uint16_t vf, VfSettings const& settings) override;
    void steer_to_vf(std::uint16_t vf, VfMac const& mac) override;
    void steer_to_port(VfMac const& mac) override;
    void take(std::uint16_t vf, VfMac const& mac) override;

  private:
    std::uint16_t number_of(std::uint16_t vf) const;
    bool is_there(std::uint16_t number) const;
    void set_address(std::uint16_t number, VfMac const& mac);
    void set_vlan(std::uint16_t number, std::uint16_t vlan);
    void let_port_have(VfMac const& mac);
    void let_port_lose(VfMac const& mac);

    KernelPfOptions options_;
    RouteNetlink netlink_;
    PfVlan vlan_;
    LinkChanges changes_;
    std::vector<std::uint16_t> numbers_;  // of options_.vfs, as the PF's driver counts
    bool counted_ = false;                // by the PF's driver
    int addresses_ = -1;                  // socket whose memberships are the PF's addresses
    std::deque<VfMac> ports_;             // which, the oldest first
};

}  // namespace librettos
