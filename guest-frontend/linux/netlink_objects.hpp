// SPDX-License-Identifier: BSD-2-Clause
// libnl's objects with one owner.
#pragma once

#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include <memory>
#include <new>
#include <string>

#include "guest-frontend/linux/netlink_error.hpp"

namespace librettos::guest {

template <typename Object, void (*put)(Object*)>
struct NetlinkPut {
    void operator()(Object* object) const { put(object); }
};
using NetlinkSocket = std::unique_ptr<nl_sock, NetlinkPut<nl_sock, nl_socket_free>>;
using NetlinkCache = std::unique_ptr<nl_cache, NetlinkPut<nl_cache, nl_cache_free>>;
using NetlinkAddress = std::unique_ptr<nl_addr, NetlinkPut<nl_addr, nl_addr_put>>;
using Link = std::unique_ptr<rtnl_link, NetlinkPut<rtnl_link, rtnl_link_put>>;

template <typename Owner, typename Object>
Owner owned(Object* object) {
    if (object == nullptr) {
        throw std::bad_alloc();
    }
    return Owner(object);
}

inline void require_netlink(int result, std::string const& tried) {
    if (result < 0) {
        throw_netlink(result, tried);
    }
}

// In the calling thread's network namespace, where it stays.
inline NetlinkSocket open_route_netlink() {
    auto netlink = owned<NetlinkSocket>(nl_socket_alloc());
    require_netlink(nl_connect(netlink.get(), NETLINK_ROUTE), "open a route netlink socket");
    return netlink;
}

inline Link link_with_index(int index) {
    auto link = owned<Link>(rtnl_link_alloc());
    rtnl_link_set_ifindex(link.get(), index);
    return link;
}

inline Link link_with_up(bool up) {
    auto link = owned<Link>(rtnl_link_alloc());
    if (up) {
        rtnl_link_set_flags(link.get(), IFF_UP);
    } else {
        rtnl_link_unset_flags(link.get(), IFF_UP);
    }
    return link;
}

}  // namespace librettos::guest
