// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/steering/route_netlink.hpp"

#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/sriov.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/link/vlan.h>
#include <netlink/route/neighbour.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>

#ifndef IFLA_BRPORT_LOCKED
#define IFLA_BRPORT_LOCKED 39  // Linux 5.16; Debian 12's headers have it
#endif

namespace librettos {
namespace {

constexpr std::uint8_t oper_up = 6;  // IF_OPER_UP of linux/if.h, which cannot be included beside net/if.h

template <typename Object, void (*put)(Object*)>
struct Put {
    void operator()(Object* object) const { put(object); }
};
using Link = std::unique_ptr<rtnl_link, Put<rtnl_link, rtnl_link_put>>;
using Veth = std::unique_ptr<rtnl_link, Put<rtnl_link, rtnl_link_veth_release>>;
using Links = std::unique_ptr<nl_cache, Put<nl_cache, nl_cache_free>>;
using Address = std::unique_ptr<nl_addr, Put<nl_addr, nl_addr_put>>;
using Neighbour = std::unique_ptr<rtnl_neigh, Put<rtnl_neigh, rtnl_neigh_put>>;
using Vf = std::unique_ptr<rtnl_link_vf, Put<rtnl_link_vf, rtnl_link_vf_put>>;
using Message = std::unique_ptr<nl_msg, Put<nl_msg, nlmsg_free>>;
using Callbacks = std::unique_ptr<nl_cb, Put<nl_cb, nl_cb_put>>;

int errno_of(int result) {
    switch (-result) {
        case NLE_NODEV:
        case NLE_OBJ_NOTFOUND:
            return ENODEV;
        case NLE_PERM:
        case NLE_NOACCESS:
            return EPERM;
        case NLE_EXIST:
            return EEXIST;
        case NLE_BUSY:
            return EBUSY;
        case NLE_OPNOTSUPP:
            return ENOTSUP;
        case NLE_NOMEM:
            return ENOMEM;
        default:
            return EIO;
    }
}

void require(int result, std::string const& tried) {
    if (result < 0)
        throw SteeringError(tried + ": " + nl_geterror(-result), errno_of(result));
}

template <typename Owner, typename Object>
Owner owned(Object* object) {
    if (object == nullptr)
        throw std::bad_alloc();
    return Owner(object);
}

Link link_with_index(int index) {
    auto link = owned<Link>(rtnl_link_alloc());
    rtnl_link_set_ifindex(link.get(), index);
    return link;
}

Address link_address(VfMac const& mac) {
    return owned<Address>(nl_addr_build(AF_LLC, mac.data(), mac.size()));
}

std::string interface(int index) {
    return "interface " + std::to_string(index);
}

nl_sock* open_route_socket() {
    auto* const netlink = nl_socket_alloc();
    if (netlink == nullptr)
        throw std::bad_alloc();
    if (int const result = nl_connect(netlink, NETLINK_ROUTE); result < 0) {
        nl_socket_free(netlink);
        require(result, "opening a route netlink socket");
    }
    return netlink;
}

Neighbour forwarding(int port, VfMac const& mac) {
    auto entry = owned<Neighbour>(rtnl_neigh_alloc());
    rtnl_neigh_set_family(entry.get(), AF_BRIDGE);
    rtnl_neigh_set_ifindex(entry.get(), port);
    rtnl_neigh_set_lladdr(entry.get(), link_address(mac).get());
    rtnl_neigh_set_state(entry.get(), NUD_NOARP);                // what bridge(8) calls static
    rtnl_neigh_set_flags(entry.get(), NTF_MASTER | NTF_STICKY);  // else a frame that comes to another port moves it
    return entry;
}

// A request with one answer, which `take` gets. Returns libnl's error, if any.
int ask(nl_sock* netlink, nl_msg* message, nl_recvmsg_msg_cb_t take, void* to) {
    if (int const result = nl_send_auto(netlink, message); result < 0)
        return result;
    auto const answers = owned<Callbacks>(nl_cb_alloc(NL_CB_DEFAULT));
    nl_cb_set(answers.get(), NL_CB_VALID, NL_CB_CUSTOM, take, to);
    int const result = nl_recvmsgs(netlink, answers.get());
    return result < 0 ? result : nl_wait_for_ack(netlink);
}

}  // namespace

RouteNetlink::RouteNetlink() : netlink_(open_route_socket()) {
}

RouteNetlink::~RouteNetlink() {
    nl_socket_free(netlink_);
}

std::optional<LinkFacts> RouteNetlink::find(std::string const& name) {
    rtnl_link* found = nullptr;
    int const result = rtnl_link_get_kernel(netlink_, 0, name.c_str(), &found);
    if (result == -NLE_OBJ_NOTFOUND || result == -NLE_NODEV)
        return std::nullopt;
    require(result, "looking at interface " + name);
    Link const link(found);
    LinkFacts facts;
    facts.index = rtnl_link_get_ifindex(link.get());
    facts.master = rtnl_link_get_master(link.get());
    int namespace_of_peer = -1;
    if (rtnl_link_get_link_netnsid(link.get(), &namespace_of_peer) < 0)
        facts.peer = rtnl_link_get_link(link.get());
    facts.up = (rtnl_link_get_flags(link.get()) & IFF_UP) != 0;
    facts.carrier = rtnl_link_get_carrier(link.get()) != 0;
    facts.operational = rtnl_link_get_operstate(link.get()) == oper_up;
    facts.received_frames = rtnl_link_get_stat(link.get(), RTNL_LINK_RX_PACKETS);
    facts.received_bytes = rtnl_link_get_stat(link.get(), RTNL_LINK_RX_BYTES);
    facts.sent_frames = rtnl_link_get_stat(link.get(), RTNL_LINK_TX_PACKETS);
    facts.sent_bytes = rtnl_link_get_stat(link.get(), RTNL_LINK_TX_BYTES);
    if (auto* const address = rtnl_link_get_addr(link.get());
        address != nullptr && nl_addr_get_len(address) == facts.mac.size())
        std::copy_n(static_cast<std::uint8_t const*>(nl_addr_get_binary_addr(address)), facts.mac.size(),
                    facts.mac.begin());
    return facts;
}

void RouteNetlink::add_veth(std::string const& name, std::string const& peer) {
    auto const link = owned<Veth>(rtnl_link_veth_alloc());
    rtnl_link_set_name(link.get(), name.c_str());
    auto const other = owned<Link>(rtnl_link_veth_get_peer(link.get()));
    rtnl_link_set_name(other.get(), peer.c_str());
    require(rtnl_link_add(netlink_, link.get(), NLM_F_CREATE | NLM_F_EXCL),
            "making the veth pair " + name + ", " + peer);
}

std::vector<VlanLink> RouteNetlink::vlans_of(int index) {
    nl_cache* found = nullptr;
    require(rtnl_link_alloc_cache(netlink_, AF_UNSPEC, &found), "listing the interfaces");
    Links const links(found);
    std::vector<VlanLink> vlans;
    for (auto* object = nl_cache_get_first(links.get()); object != nullptr; object = nl_cache_get_next(object)) {
        auto* const link = reinterpret_cast<rtnl_link*>(object);
        int namespace_of_lower = -1;
        if (rtnl_link_is_vlan(link) != 0 && rtnl_link_get_link(link) == index &&
            rtnl_link_get_link_netnsid(link, &namespace_of_lower) < 0)
            vlans.push_back({rtnl_link_get_ifindex(link), rtnl_link_get_name(link),
                             static_cast<std::uint16_t>(rtnl_link_vlan_get_id(link))});
    }
    return vlans;
}

void RouteNetlink::add_vlan(int index, std::uint16_t vlan, std::string const& name) {
    auto const link = owned<Link>(rtnl_link_vlan_alloc());
    rtnl_link_set_link(link.get(), index);
    rtnl_link_set_name(link.get(), name.c_str());
    require(rtnl_link_vlan_set_id(link.get(), vlan), "VLAN " + std::to_string(vlan));
    require(rtnl_link_add(netlink_, link.get(), NLM_F_CREATE | NLM_F_EXCL),
            "making an interface for VLAN " + std::to_string(vlan) + " of " + interface(index));
}

void RouteNetlink::remove(int index) {
    require(rtnl_link_delete(netlink_, link_with_index(index).get()), "removing " + interface(index));
}

void RouteNetlink::set_mac(int index, VfMac const& mac) {
    auto const changes = owned<Link>(rtnl_link_alloc());
    rtnl_link_set_addr(changes.get(), link_address(mac).get());
    require(rtnl_link_change(netlink_, link_with_index(index).get(), changes.get(), 0),
            "setting the MAC of " + interface(index));
}

void RouteNetlink::set_up(int index, bool up) {
    auto const changes = owned<Link>(rtnl_link_alloc());
    if (up)
        rtnl_link_set_flags(changes.get(), IFF_UP);
    else
        rtnl_link_unset_flags(changes.get(), IFF_UP);
    require(rtnl_link_change(netlink_, link_with_index(index).get(), changes.get(), 0),
            (up ? "bringing up " : "taking down ") + interface(index));
}

void RouteNetlink::set_master(int index, int master) {
    auto const changes = owned<Link>(rtnl_link_alloc());
    rtnl_link_set_master(changes.get(), master);
    require(rtnl_link_change(netlink_, link_with_index(index).get(), changes.get(), 0),
            "making " + interface(index) + " a port of the bridge");
}

void RouteNetlink::lock_bridge_port(int index) {
    auto message = owned<Message>(nlmsg_alloc_simple(RTM_SETLINK, 0));
    ifinfomsg info{};
    info.ifi_family = AF_BRIDGE;
    info.ifi_index = index;
    bool fits = nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO) == 0;
    nlattr* const port = nla_nest_start(message.get(), IFLA_PROTINFO | NLA_F_NESTED);
    fits = fits && port != nullptr && nla_put_u8(message.get(), IFLA_BRPORT_LEARNING, 0) == 0 &&
           nla_put_u8(message.get(), IFLA_BRPORT_UNICAST_FLOOD, 0) == 0 &&
           nla_put_u8(message.get(), IFLA_BRPORT_LOCKED, 1) == 0;
    if (!fits)
        throw std::bad_alloc();
    nla_nest_end(message.get(), port);
    require(nl_send_sync(netlink_, message.release()), "locking the bridge's port " + interface(index));
}

void RouteNetlink::add_forwarding(int port, VfMac const& mac) {
    require(rtnl_neigh_add(netlink_, forwarding(port, mac).get(), NLM_F_CREATE | NLM_F_REPLACE),
            "steering a MAC to " + interface(port));
}

void RouteNetlink::remove_forwarding(int port, VfMac const& mac) {
    int const result = rtnl_neigh_delete(netlink_, forwarding(port, mac).get(), 0);
    if (result != -NLE_OBJ_NOTFOUND && result != -NLE_NODEV)
        require(result, "no longer steering a MAC to " + interface(port));
}

namespace {

int take_place(nl_msg* message, void* to) {
    *static_cast<ndmsg*>(to) = *static_cast<ndmsg const*>(nlmsg_data(nlmsg_hdr(message)));
    return NL_OK;
}

}  // namespace

bool RouteNetlink::forwards_for_good(int port, VfMac const& mac) {
    auto message = owned<Message>(nlmsg_alloc_simple(RTM_GETNEIGH, 0));
    ndmsg place{};
    place.ndm_family = AF_BRIDGE;
    place.ndm_ifindex = port;
    place.ndm_flags = NTF_MASTER;
    if (nlmsg_append(message.get(), &place, sizeof place, NLMSG_ALIGNTO) != 0 ||
        nla_put(message.get(), NDA_LLADDR, mac.size(), mac.data()) != 0)
        throw std::bad_alloc();
    int const result = ask(netlink_, message.get(), take_place, &place);
    if (result == -NLE_OBJ_NOTFOUND)
        return false;
    require(result, "asking where a MAC is steered to");
    return place.ndm_ifindex == port && (place.ndm_flags & NTF_STICKY) != 0;
}

namespace {

int take_bridge_vlans(nl_msg* message, void* to) {
    auto& vlans = *static_cast<BridgeVlans*>(to);
    auto* const about = nlmsg_find_attr(nlmsg_hdr(message), sizeof(ifinfomsg), IFLA_LINKINFO);
    auto* const of_bridge = about != nullptr
                                ? nla_find(static_cast<nlattr const*>(nla_data(about)), nla_len(about), IFLA_INFO_DATA)
                                : nullptr;
    auto const find = [&](int attribute) {
        return of_bridge != nullptr
                   ? nla_find(static_cast<nlattr const*>(nla_data(of_bridge)), nla_len(of_bridge), attribute)
                   : nullptr;
    };
    if (auto* const filtered = find(IFLA_BR_VLAN_FILTERING); filtered != nullptr)
        vlans.filtered = nla_get_u8(filtered) != 0;
    if (auto* const vlan = find(IFLA_BR_VLAN_DEFAULT_PVID); vlan != nullptr)
        vlans.default_vlan = nla_get_u16(vlan);
    return NL_OK;
}

// From the first VLAN to the last.
Message port_vlans_message(int type, int port, bridge_vlan_info first, std::uint16_t last) {
    auto message = owned<Message>(nlmsg_alloc_simple(type, 0));
    ifinfomsg info{};
    info.ifi_family = AF_BRIDGE;
    info.ifi_index = port;
    bool fits = nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO) == 0;
    nlattr* const list = nla_nest_start(message.get(), IFLA_AF_SPEC);
    bridge_vlan_info end = first;
    end.vid = last;
    if (first.vid != last) {
        first.flags |= BRIDGE_VLAN_INFO_RANGE_BEGIN;
        end.flags |= BRIDGE_VLAN_INFO_RANGE_END;
        fits = fits && nla_put(message.get(), IFLA_BRIDGE_VLAN_INFO, sizeof first, &first) == 0;
    }
    fits = fits && list != nullptr && nla_put(message.get(), IFLA_BRIDGE_VLAN_INFO, sizeof end, &end) == 0;
    if (!fits)
        throw std::bad_alloc();
    nla_nest_end(message.get(), list);
    return message;
}

}  // namespace

BridgeVlans RouteNetlink::bridge_vlans(int bridge) {
    auto message = owned<Message>(nlmsg_alloc_simple(RTM_GETLINK, 0));
    ifinfomsg info{};
    info.ifi_index = bridge;
    if (nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO) != 0)
        throw std::bad_alloc();
    BridgeVlans vlans;
    require(ask(netlink_, message.get(), take_bridge_vlans, &vlans), "asking for the VLANs of " + interface(bridge));
    return vlans;
}

void RouteNetlink::set_port_vlan(int port, std::uint16_t vlan) {
    constexpr std::uint16_t last = 4094;
    auto const tried = "putting " + interface(port) + " into VLAN " + std::to_string(vlan) + " of its bridge";
    require(nl_send_sync(netlink_, port_vlans_message(RTM_SETLINK, port,
                                                      {BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, vlan}, vlan)
                                       .release()),
            tried);
    if (vlan > 1)
        require(
            nl_send_sync(netlink_,
                         port_vlans_message(RTM_DELLINK, port, {0, 1}, static_cast<std::uint16_t>(vlan - 1)).release()),
            tried);
    if (vlan < last)
        require(nl_send_sync(
                    netlink_,
                    port_vlans_message(RTM_DELLINK, port, {0, static_cast<std::uint16_t>(vlan + 1)}, last).release()),
                tried);
}

VfFacts facts_of_vf(rtnl_link* pf, std::string const& name, std::uint16_t vf) {
    // Without the list libnl would follow a null pointer.
    Vf const described(rtnl_link_has_vf_list(pf) != 0 ? rtnl_link_vf_get(pf, vf) : nullptr);
    nl_addr* address = nullptr;
    VfFacts facts;
    if (!described || rtnl_link_vf_get_addr(described.get(), &address) < 0 ||
        nl_addr_get_len(address) < facts.mac.size())
        throw SteeringError(name + " has no VF " + std::to_string(vf), ENODEV);
    std::copy_n(static_cast<std::uint8_t const*>(nl_addr_get_binary_addr(address)), facts.mac.size(),
                facts.mac.begin());
    if (nl_vf_vlans_t* vlans = nullptr; rtnl_link_vf_get_vlans(described.get(), &vlans) == 0) {
        if (vlans->size > 0)
            facts.vlan = static_cast<std::uint16_t>(vlans->vlans[0].vf_vlan);
        rtnl_link_vf_vlan_put(vlans);
    }
    auto const count = [&](rtnl_link_vf_stats_t which, std::uint64_t& value) {
        if (rtnl_link_vf_get_stat(described.get(), which, &value) < 0)
            value = 0;
    };
    count(RTNL_LINK_VF_STATS_RX_PACKETS, facts.traffic.received_frames);
    count(RTNL_LINK_VF_STATS_RX_BYTES, facts.traffic.received_bytes);
    count(RTNL_LINK_VF_STATS_TX_PACKETS, facts.traffic.sent_frames);
    count(RTNL_LINK_VF_STATS_TX_BYTES, facts.traffic.sent_bytes);
    return facts;
}

VfFacts RouteNetlink::vf(std::string const& pf, std::uint16_t vf) {
    rtnl_link* found = nullptr;
    require(rtnl_link_get_kernel(netlink_, 0, pf.c_str(), &found), "looking at interface " + pf);
    Link const link(found);
    return facts_of_vf(link.get(), pf, vf);
}

void RouteNetlink::set_vf_mac(int pf, std::uint16_t vf, VfMac const& mac) {
    ifla_vf_mac address{};
    address.vf = vf;
    std::copy(mac.begin(), mac.end(), std::begin(address.mac));
    ifla_vf_spoofchk const check{.vf = vf, .setting = 1};
    change_vf(pf, "setting the address of VF " + std::to_string(vf),
              {{IFLA_VF_MAC, &address, sizeof address}, {IFLA_VF_SPOOFCHK, &check, sizeof check}});
}

void RouteNetlink::set_vf_vlan(int pf, std::uint16_t vf, std::uint16_t vlan) {
    ifla_vf_vlan const tag{.vf = vf, .vlan = vlan, .qos = 0};
    change_vf(pf, "putting VF " + std::to_string(vf) + " into VLAN " + std::to_string(vlan),
              {{IFLA_VF_VLAN, &tag, sizeof tag}});
}

void RouteNetlink::change_vf(int pf, std::string const& tried, std::initializer_list<VfSetting> settings) {
    auto message = owned<Message>(nlmsg_alloc_simple(RTM_SETLINK, 0));
    ifinfomsg info{};
    info.ifi_index = pf;
    bool fits = nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO) == 0;
    nlattr* const all = nla_nest_start(message.get(), IFLA_VFINFO_LIST);
    nlattr* const one = all != nullptr ? nla_nest_start(message.get(), IFLA_VF_INFO) : nullptr;
    fits = fits && one != nullptr;
    for (auto const& setting : settings)
        fits = fits && nla_put(message.get(), setting.attribute, setting.bytes, setting.value) == 0;
    if (!fits)
        throw std::bad_alloc();
    nla_nest_end(message.get(), one);
    nla_nest_end(message.get(), all);
    require(nl_send_sync(netlink_, message.release()), tried);
}

LinkChanges::LinkChanges() : netlink_(open_route_socket()) {
    if (int const result = nl_socket_add_membership(netlink_, RTNLGRP_LINK); result < 0) {
        nl_socket_free(netlink_);
        require(result, "listening to changes of interfaces");
    }
}

LinkChanges::~LinkChanges() {
    nl_socket_free(netlink_);
}

int LinkChanges::fd() const {
    return nl_socket_get_fd(netlink_);
}

void LinkChanges::take() {
    char byte;  // the rest of each message is dropped; ENOBUFS, some were lost, is one as well
    while (recv(fd(), &byte, sizeof byte, MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == EINTR || errno == ENOBUFS) {
    }
}

}  // namespace librettos
