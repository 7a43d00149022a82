// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/interface.hpp"

#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/netlink_objects.hpp"
#include "guest-frontend/linux/sysctl.hpp"

namespace librettos::guest {

namespace {

using InterfaceAddress = std::unique_ptr<rtnl_addr, NetlinkPut<rtnl_addr, rtnl_addr_put>>;
using Route = std::unique_ptr<rtnl_route, NetlinkPut<rtnl_route, rtnl_route_put>>;

// Frames that wait for the pump: more than come while it holds them back during a switch.
constexpr unsigned queue_frames = 4000;

std::size_t address_bytes(int family) {
    return family == AF_INET ? 4 : 16;
}

bool is_set(void const* address, int family) {
    auto const* bytes = static_cast<std::uint8_t const*>(address);
    return std::any_of(bytes, bytes + address_bytes(family), [](std::uint8_t byte) { return byte != 0; });
}

NetlinkAddress netlink_address(int family, void const* address, unsigned prefix) {
    auto result = owned<NetlinkAddress>(nl_addr_build(family, address, address_bytes(family)));
    nl_addr_set_prefixlen(result.get(), static_cast<int>(prefix));
    return result;
}

bool is_inside(std::uint8_t const* address, std::uint8_t const* network, unsigned prefix) {
    for (unsigned bit = 0; bit < prefix; ++bit) {
        if (((address[bit / 8] ^ network[bit / 8]) >> (7 - bit % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace

Interface::Interface(std::string name) : name_(std::move(name)), netlink_(open_route_netlink()) {
    index_ = static_cast<int>(if_nametoindex(name_.c_str()));
    if (index_ == 0) {
        throw_errno(errno, "find interface " + name_);
    }
}

Interface::~Interface() = default;

void Interface::prepare(Offer const& offer, std::uint32_t longest_frame) {
    set_up(false);
    remove_addresses();
    auto const changes = owned<Link>(rtnl_link_alloc());
    auto const mac = owned<NetlinkAddress>(nl_addr_build(AF_LLC, offer.mac, sizeof offer.mac));
    rtnl_link_set_addr(changes.get(), mac.get());
    rtnl_link_set_mtu(changes.get(), offer.mtu);
    rtnl_link_set_txqlen(changes.get(), queue_frames);
    require_netlink(rtnl_link_change(netlink_.get(), link_with_index(index_).get(), changes.get(), 0),
                    "set MAC and MTU of " + name_);

    nl_msg* message = nlmsg_alloc_simple(RTM_NEWLINK, 0);  // libnl has no setter for the GSO limit
    if (message == nullptr) {
        throw std::bad_alloc();
    }
    ifinfomsg info{};
    info.ifi_index = index_;
    nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO);
    nla_put_u32(message, IFLA_GSO_MAX_SIZE, longest_frame);
    require_netlink(nl_send_sync(netlink_.get(), message), "limit the length of frames on " + name_);

    std::string const ipv6 = "net/ipv6/conf/" + name_;
    if (access(("/proc/sys/" + ipv6).c_str(), F_OK) == 0) {
        write_sysctl(ipv6 + "/accept_ra", "0\n");
        write_sysctl(ipv6 + "/autoconf", "0\n");
        write_sysctl(ipv6 + "/addr_gen_mode", "1\n");  // IN6_ADDR_GEN_MODE_NONE: no link-local address
    }
}

void Interface::bring_up(Offer const& offer) {
    set_up(true);
    if (is_set(offer.ipv4, AF_INET)) {
        add_address(AF_INET, offer.ipv4, offer.ipv4_prefix);
    }
    if (is_set(offer.ipv6, AF_INET6)) {
        add_address(AF_INET6, offer.ipv6, offer.ipv6_prefix);
    }
    if (is_set(offer.gateway4, AF_INET)) {
        add_default_route(AF_INET, offer.gateway4, !is_inside(offer.gateway4, offer.ipv4, offer.ipv4_prefix));
    }
    if (is_set(offer.gateway6, AF_INET6)) {
        add_default_route(AF_INET6, offer.gateway6, !is_inside(offer.gateway6, offer.ipv6, offer.ipv6_prefix));
    }
}

void Interface::take_down() {
    set_up(false);
}

void Interface::set_mtu(std::uint16_t mtu_bytes) {
    auto const changes = owned<Link>(rtnl_link_alloc());
    rtnl_link_set_mtu(changes.get(), mtu_bytes);
    require_netlink(rtnl_link_change(netlink_.get(), link_with_index(index_).get(), changes.get(), 0),
                    "set the MTU of " + name_);
}

void Interface::remove_addresses() {
    nl_cache* addresses = nullptr;
    require_netlink(rtnl_addr_alloc_cache(netlink_.get(), &addresses), "list the addresses of " + name_);
    int result = 0;
    for (nl_object* object = nl_cache_get_first(addresses); object != nullptr && result >= 0;) {
        nl_object* const next = nl_cache_get_next(object);
        auto* address = reinterpret_cast<rtnl_addr*>(object);
        if (rtnl_addr_get_ifindex(address) == index_) {
            result = rtnl_addr_delete(netlink_.get(), address, 0);
        }
        object = next;
    }
    nl_cache_free(addresses);
    require_netlink(result, "remove an address of " + name_);
}

void Interface::add_address(int family, void const* address, std::uint8_t prefix) {
    auto const entry = owned<InterfaceAddress>(rtnl_addr_alloc());
    rtnl_addr_set_ifindex(entry.get(), index_);
    auto const local = netlink_address(family, address, prefix);
    require_netlink(rtnl_addr_set_local(entry.get(), local.get()), "address of " + name_);
    if (family == AF_INET6) {
        rtnl_addr_set_flags(entry.get(), IFA_F_NODAD);
    } else if (prefix < 31) {
        std::array<std::uint8_t, 4> broadcast{};
        std::copy_n(static_cast<std::uint8_t const*>(address), broadcast.size(), broadcast.begin());
        for (unsigned bit = prefix; bit < 32; ++bit) {
            broadcast[bit / 8] = static_cast<std::uint8_t>(broadcast[bit / 8] | 0x80u >> bit % 8);
        }
        rtnl_addr_set_broadcast(entry.get(), netlink_address(family, broadcast.data(), 32).get());
    }
    require_netlink(rtnl_addr_add(netlink_.get(), entry.get(), NLM_F_REPLACE), "give " + name_ + " its address");
}

void Interface::add_default_route(int family, void const* gateway, bool onlink) {
    auto const route = owned<Route>(rtnl_route_alloc());
    std::array<std::uint8_t, 16> const any{};
    rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(family));
    rtnl_route_set_scope(route.get(), RT_SCOPE_UNIVERSE);
    rtnl_route_set_protocol(route.get(), RTPROT_STATIC);
    require_netlink(rtnl_route_set_dst(route.get(), netlink_address(family, any.data(), 0).get()), "default route");
    rtnl_nexthop* const hop = rtnl_route_nh_alloc();
    if (hop == nullptr) {
        throw std::bad_alloc();
    }
    rtnl_route_nh_set_ifindex(hop, index_);
    rtnl_route_nh_set_gateway(hop,
                              netlink_address(family, gateway, static_cast<unsigned>(address_bytes(family) * 8)).get());
    if (onlink) {
        rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
    }
    rtnl_route_add_nexthop(route.get(), hop);
    require_netlink(rtnl_route_add(netlink_.get(), route.get(), NLM_F_CREATE | NLM_F_REPLACE),
                    "set the default route through " + name_);
}

void Interface::set_up(bool up) {
    require_netlink(rtnl_link_change(netlink_.get(), link_with_index(index_).get(), link_with_up(up).get(), 0),
                    std::string("take ") + name_ + (up ? " up" : " down"));
}

void bring_up_loopback() {
    Interface("lo").bring_up(Offer{});
}

}  // namespace librettos::guest
