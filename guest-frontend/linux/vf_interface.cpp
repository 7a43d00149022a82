// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/linux/vf_interface.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netlink/socket.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "guest-frontend/linux/sysctl.hpp"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23  // Linux 4.20
#endif

namespace librettos::guest {

namespace {

// For frames that are held back, or come while the machine is busy elsewhere.
constexpr int receive_buffer_bytes = 32 << 20;
// Fewer small frames than an interface's queue (1000) takes: it is waited for, and drops nothing.
constexpr int send_buffer_bytes = 256 << 10;

void enter(Descriptor const& name_space) {
    if (setns(name_space.get(), CLONE_NEWNET) < 0) {
        throw_errno(errno, "enter a network namespace");
    }
}

// What is made meanwhile belongs to that namespace.
class Inside {
  public:
    explicit Inside(Descriptor const& name_space) : back_(present_network_namespace()) { enter(name_space); }
    ~Inside() { setns(back_.get(), CLONE_NEWNET); }
    Inside(Inside const&) = delete;
    Inside& operator=(Inside const&) = delete;

  private:
    Descriptor back_;
};

Descriptor new_network_namespace() {
    Descriptor made;
    std::exception_ptr failure;
    std::thread([&] {
        try {
            if (unshare(CLONE_NEWNET) < 0) {
                throw_errno(errno, "make a network namespace for a VF (needs root)");
            }
            if (access("/proc/sys/net/ipv6", F_OK) == 0) {
                write_sysctl("net/ipv6/conf/default/disable_ipv6", "1\n");
            }
            made = present_network_namespace();
        } catch (...) {
            failure = std::current_exception();
        }
    }).join();
    if (failure) {
        std::rethrow_exception(failure);
    }
    return made;
}

NetlinkSocket route_netlink_in(Descriptor const& name_space) {
    Inside const inside(name_space);
    return open_route_netlink();
}

NetlinkSocket link_changes_in(Descriptor const& name_space) {
    NetlinkSocket changes = route_netlink_in(name_space);
    require_netlink(nl_socket_add_membership(changes.get(), RTNLGRP_LINK), "watch interfaces");
    require_netlink(nl_socket_set_nonblocking(changes.get()), "watch interfaces");
    return changes;
}

void set_option(Descriptor const& socket, int level, int option, int value, char const* tried) {
    if (setsockopt(socket.get(), level, option, &value, sizeof value) < 0) {
        throw_errno(errno, tried);
    }
}

bool has_mac(rtnl_link* link, VfMac const& mac) {
    nl_addr* const address = rtnl_link_get_addr(link);
    return address != nullptr && nl_addr_get_len(address) == mac.size() &&
           std::equal(mac.begin(), mac.end(), static_cast<std::uint8_t const*>(nl_addr_get_binary_addr(address)));
}

bool is_free(rtnl_link* link) {
    return (rtnl_link_get_flags(link) & IFF_UP) == 0 && rtnl_link_get_master(link) == 0;
}

}  // namespace

Descriptor present_network_namespace() {
    return checked_descriptor(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open the network namespace");
}

VfInterface::VfInterface(std::string wanted, std::string own, Descriptor home)
    : wanted_(std::move(wanted)), own_(std::move(own)) {
    guest_ = {present_network_namespace(), open_route_netlink()};
    home_.netlink = route_netlink_in(home);
    home_.name_space = std::move(home);
    hidden_.name_space = new_network_namespace();
    hidden_.netlink = route_netlink_in(hidden_.name_space);
    changes_ = link_changes_in(hidden_.name_space);
    Inside const inside(hidden_.name_space);
    checked_descriptor(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "open a packet socket (kernel option PACKET)");
}

VfInterface::~VfInterface() {
    put_back();
}

bool VfInterface::take(VfMac const& mac, std::uint16_t mtu_bytes) {
    if (found_in_ == nullptr) {
        bool const named = wanted_ != "auto";
        if (!look_in(guest_, false, mac) && !look_in(home_, !named, mac)) {
            return false;
        }
    }
    set_mac(mac);
    set_mtu(mtu_bytes);
    return true;
}

// Where the PF decides about addresses the VF keeps its own: our frames have the guest's, which is all that counts.
void VfInterface::set_mac(VfMac const& mac) const {
    auto const changes = owned<Link>(rtnl_link_alloc());
    auto const address = owned<NetlinkAddress>(nl_addr_build(AF_LLC, mac.data(), mac.size()));
    rtnl_link_set_addr(changes.get(), address.get());
    int const result = rtnl_link_change(hidden_.netlink.get(), require_ours().get(), changes.get(), 0);
    if (result == -NLE_NOADDR || result == -NLE_PERM) {
        spdlog::debug("the VF {} keeps its own MAC", name_);
        return;
    }
    require_netlink(result, "set the MAC of the VF " + name_);
}

// The first that is meant is moved to our namespace.
bool VfInterface::look_in(Place& place, bool only_idle, VfMac const& mac) {
    nl_cache* all = nullptr;
    require_netlink(rtnl_link_alloc_cache(place.netlink.get(), AF_UNSPEC, &all), "list interfaces");
    NetlinkCache const interfaces(all);
    for (nl_object* object = nl_cache_get_first(all); object != nullptr; object = nl_cache_get_next(object)) {
        auto* const link = reinterpret_cast<rtnl_link*>(object);
        std::string const name = rtnl_link_get_name(link);
        bool const meant = wanted_ == "auto" ? has_mac(link, mac) && (!only_idle || is_free(link)) : name == wanted_;
        if (!meant || (&place == &guest_ && name == own_)) {
            continue;
        }
        auto const here = link_with_index(rtnl_link_get_ifindex(link));
        require_netlink(rtnl_link_change(place.netlink.get(), here.get(), link_with_up(false).get(), 0),
                        "take " + name + " down");
        auto const there = owned<Link>(rtnl_link_alloc());
        rtnl_link_set_ns_fd(there.get(), hidden_.name_space.get());
        require_netlink(rtnl_link_change(place.netlink.get(), here.get(), there.get(), 0), "take the VF " + name);
        name_ = name;
        found_in_ = &place;
        return true;
    }
    return false;
}

Link VfInterface::find_ours() const {
    rtnl_link* link = nullptr;
    if (found_in_ == nullptr || rtnl_link_get_kernel(hidden_.netlink.get(), 0, name_.c_str(), &link) < 0) {
        return nullptr;
    }
    return Link(link);
}

// By its index only, as a change wants it.
Link VfInterface::require_ours() const {
    Link const ours = find_ours();
    if (!ours) {
        throw_errno(ENODEV, "find the VF " + name_);
    }
    return link_with_index(rtnl_link_get_ifindex(ours.get()));
}

void VfInterface::change(rtnl_link* changes, std::string const& tried) const {
    require_netlink(rtnl_link_change(hidden_.netlink.get(), require_ours().get(), changes, 0),
                    tried + " the VF " + name_);
}

Descriptor VfInterface::open_socket() const {
    Link const ours = require_ours();
    Inside const inside(hidden_.name_space);
    Descriptor packets = checked_descriptor(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                                            "open a packet socket (kernel option PACKET)");
    set_option(packets, SOL_PACKET, PACKET_VNET_HDR, 1, "set the headers of a packet socket");
    set_option(packets, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "leave out what is sent (needs Linux 4.20)");
    set_option(packets, SOL_PACKET, PACKET_AUXDATA, 1, "ask for VLAN tags");
    set_option(packets, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes, "enlarge a socket's buffer");
    set_option(packets, SOL_SOCKET, SO_SNDBUFFORCE, send_buffer_bytes, "set a socket's buffer");
    int const index = rtnl_link_get_ifindex(ours.get());
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = index;
    if (bind(packets.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) < 0) {
        throw_errno(errno, "listen on the VF " + name_);
    }
    int down_so_far = 0;
    socklen_t size = sizeof down_so_far;
    getsockopt(packets.get(), SOL_SOCKET, SO_ERROR, &down_so_far, &size);  // ENETDOWN, or the first recv gets it
    // Which of them are the guest's is the server's business elsewhere, and the kernel's here.
    packet_mreq groups{};
    groups.mr_ifindex = index;
    groups.mr_type = PACKET_MR_ALLMULTI;
    if (setsockopt(packets.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &groups, sizeof groups) < 0) {
        throw_errno(errno, "receive multicast frames on the VF " + name_);
    }
    return packets;
}

void VfInterface::bring_up() {
    change(link_with_up(true).get(), "bring up");
}

bool VfInterface::has_link() const {
    Link const ours = find_ours();
    return ours && (rtnl_link_get_flags(ours.get()) & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING) &&
           rtnl_link_get_carrier(ours.get()) != 0;
}

void VfInterface::set_mtu(std::uint16_t mtu_bytes) {
    auto const changes = owned<Link>(rtnl_link_alloc());
    rtnl_link_set_mtu(changes.get(), mtu_bytes);
    change(changes.get(), "set the MTU of");
}

void VfInterface::put_back() noexcept {
    if (found_in_ == nullptr) {
        return;
    }
    try {
        if (find_ours()) {
            change(link_with_up(false).get(), "take down");
            auto const back = owned<Link>(rtnl_link_alloc());
            rtnl_link_set_ns_fd(back.get(), found_in_->name_space.get());
            change(back.get(), "give back");
        }
    } catch (std::exception const& error) {
        spdlog::warn("{}; it stays with this guest", error.what());
    }
    found_in_ = nullptr;
}

int VfInterface::change_fd() const {
    return nl_socket_get_fd(changes_.get());
}

// What has changed is asked for: notices may be lost.
bool VfInterface::take_changes() {
    std::array<char, 8192> ignored{};
    bool any = false;
    while (recv(change_fd(), ignored.data(), ignored.size(), MSG_DONTWAIT) > 0 || errno == ENOBUFS) {
        any = true;
    }
    return any;
}

}  // namespace librettos::guest
