// SPDX-License-Identifier: BSD-2-Clause
// What steering needs of rtnetlink, through libnl. Errors are SteeringErrors that say what was tried.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "drivers/steering/steering.hpp"

struct nl_sock;
struct rtnl_link;

namespace librettos {

struct LinkFacts {
    int index = 0;
    int master = 0;   // 0: none
    int peer = 0;     // of a veth whose other end is in this namespace; else 0
    bool up = false;  // IFF_UP
    bool carrier = false;
    bool operational = false;  // the kernel has taken the carrier into account: frames are sent
    VfMac mac{};
    std::uint64_t received_frames = 0, received_bytes = 0, sent_frames = 0, sent_bytes = 0;
};

struct BridgeVlans {
    bool filtered = false;           // else its ports forward every tag
    std::uint16_t default_vlan = 0;  // of a new port, untagged there; 0: none
};

struct VlanLink {
    int index = 0;
    std::string name;
    std::uint16_t vlan = 0;
};

// Of a NIC's VF, as its PF's driver says.
struct VfFacts {
    VfMac mac{};
    std::uint16_t vlan = 0;
    VfTraffic traffic;  // all 0 where the driver does not count
};

// `pf` as the kernel describes it, with its VFs. ENODEV: it has none of that number.
VfFacts facts_of_vf(rtnl_link* pf, std::string const& name, std::uint16_t vf);

class RouteNetlink {
  public:
    RouteNetlink();
    ~RouteNetlink();
    RouteNetlink(RouteNetlink const&) = delete;
    RouteNetlink& operator=(RouteNetlink const&) = delete;

    std::optional<LinkFacts> find(std::string const& name);
    void add_veth(std::string const& name, std::string const& peer);
    // Interfaces of this namespace that are a VLAN of that one.
    std::vector<VlanLink> vlans_of(int index);
    // Down. The kernel puts a number for %d in the name. EEXIST: some namespace has one of that VLAN.
    void add_vlan(int index, std::uint16_t vlan, std::string const& name);
    void remove(int index);
    void set_mac(int index, VfMac const& mac);
    void set_up(int index, bool up);
    void set_master(int index, int master);
    // Of a bridge's port: nothing is learned from what it sends, frames for unknown addresses do not go there, and only
    // frames from addresses that are steered to it are taken from it (Linux 5.16).
    void lock_bridge_port(int index);
    BridgeVlans bridge_vlans(int bridge);
    // A bridge's port is in this VLAN alone, untagged.
    void set_port_vlan(int port, std::uint16_t vlan);
    // Frames for this address go to that port of the bridge, in the VLANs that the port is in, for good, whatever port
    // frames from it come to. The kernel moves an entry first and makes it stay there then: if it was at another port,
    // and not for good, a frame that comes there in between moves it back.
    void add_forwarding(int port, VfMac const& mac);
    bool forwards_for_good(int port, VfMac const& mac);  // add_forwarding() has been done, and nothing since
    void remove_forwarding(int port, VfMac const& mac);  // no error when there is none
    // Of a NIC's VFs, as their PF's driver counts them. ENODEV: it has none of that number.
    VfFacts vf(std::string const& pf, std::uint16_t vf);
    // Its user may not choose another address, nor send from one.
    void set_vf_mac(int pf, std::uint16_t vf, VfMac const& mac);
    // Of its frames on the wire; 0: none.
    void set_vf_vlan(int pf, std::uint16_t vf, std::uint16_t vlan);

  private:
    struct VfSetting {
        int attribute;  // IFLA_VF_
        void const* value;
        int bytes;
    };
    void change_vf(int pf, std::string const& tried, std::initializer_list<VfSetting> settings);

    nl_sock* netlink_;
};

// The kernel's word that some interface has changed.
class LinkChanges {
  public:
    LinkChanges();
    ~LinkChanges();
    LinkChanges(LinkChanges const&) = delete;
    LinkChanges& operator=(LinkChanges const&) = delete;

    int fd() const;
    void take();  // until fd() is not readable any more

  private:
    nl_sock* netlink_;
};

}  // namespace librettos
