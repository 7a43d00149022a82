// SPDX-License-Identifier: BSD-2-Clause
// librettos_rump.h: the offer, applied by the rump kernel's own configuration library.
#include <arpa/inet.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "guest-frontend/rump/current_guest.hpp"
#include "guest-frontend/rump/librettos_rump.h"
#include "guest-frontend/rump/netbsd.h"

#define LIBRETTOS_EXPORT __attribute__((visibility("default")))

namespace {

using namespace librettos::guest;

// A function of the process's by name. -ENOSYS where there is none.
template <typename... Arguments>
int call(char const* name, Arguments... arguments) {
    auto* const function = reinterpret_cast<int (*)(Arguments...)>(dlsym(RTLD_DEFAULT, name));
    return function != nullptr ? function(arguments...) : -ENOSYS;
}

template <std::size_t size>
bool is_set(std::uint8_t const (&address)[size]) {
    return std::any_of(address, address + size, [](std::uint8_t byte) { return byte != 0; });
}

template <std::size_t size>
std::array<char, INET6_ADDRSTRLEN> text_of(std::uint8_t const (&address)[size]) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(size == 4 ? AF_INET : AF_INET6, address, text.data(), text.size());
    return text;
}

int set_mtu(char const* interface, std::uint16_t mtu_bytes) {
    netbsd_ifreq request{};
    std::snprintf(request.name, sizeof request.name, "%s", interface);
    request.mtu = mtu_bytes;
    int const socket = call("rump___sysimpl_socket30", NETBSD_AF_INET, NETBSD_SOCK_DGRAM, 0);
    if (socket < 0) {
        return errno;
    }
    int const result = call("rump___sysimpl_ioctl", socket, NETBSD_SIOCSIFMTU, static_cast<void*>(&request));
    int const error = result == 0 ? 0 : errno;
    call("rump___sysimpl_close", socket);
    return error;
}

int set_ipv4(char const* interface, Offer const& offer) {
    if (!is_set(offer.ipv4)) {
        return 0;
    }
    int const error = call("rump_pub_netconfig_ipv4_ifaddr_cidr", interface,
                           static_cast<char const*>(text_of(offer.ipv4).data()), static_cast<int>(offer.ipv4_prefix));
    if (error != 0 || !is_set(offer.gateway4)) {
        return error;
    }
    return call("rump_pub_netconfig_ipv4_gw", static_cast<char const*>(text_of(offer.gateway4).data()));
}

int set_ipv6(char const* interface, Offer const& offer) {
    if (!is_set(offer.ipv6)) {
        return 0;
    }
    int const error = call("rump_pub_netconfig_ipv6_ifaddr", interface,
                           static_cast<char const*>(text_of(offer.ipv6).data()), static_cast<int>(offer.ipv6_prefix));
    if (error == NETBSD_EAFNOSUPPORT) {
        return 0;  // a kernel without librumpnet_netinet6
    }
    if (error != 0 || !is_set(offer.gateway6)) {
        return error;
    }
    return call("rump_pub_netconfig_ipv6_gw", static_cast<char const*>(text_of(offer.gateway6).data()));
}

}  // namespace

LIBRETTOS_EXPORT int librettos_rump_offer(struct lvif_offer* offer) {
    bool const there = current_guest().with([offer](StackDevice& device) {
        // It was connected before it became the current one, so this does not wait.
        *offer = *device.wait_until_connected(StackDevice::for_ever);
    });
    return there ? 0 : -ENOTCONN;
}

LIBRETTOS_EXPORT int librettos_rump_ifup(char const* interface) {
    Offer offer{};
    int error = call("rump_pub_netconfig_ifcreate", interface);
    if (error == 0) {
        error = librettos_rump_offer(&offer);
    }
    if (error == 0) {
        error = set_mtu(interface, offer.mtu);
    }
    if (error == 0) {
        error = call("rump_pub_netconfig_ifup", interface);
    }
    if (error == 0) {
        error = set_ipv4(interface, offer);
    }
    return error != 0 ? error : set_ipv6(interface, offer);
}
