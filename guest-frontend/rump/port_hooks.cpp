// SPDX-License-Identifier: BSD-2-Clause
#include "guest-frontend/rump/port_hooks.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "guest-frontend/process/say.hpp"
#include "guest-frontend/rump/current_guest.hpp"
#include "guest-frontend/rump/known_blocks.hpp"
#include "guest-frontend/rump/real_stack.hpp"
#include "guest-frontend/rump/scheduling.hpp"

namespace librettos::guest {

namespace {

constexpr std::uint16_t block_ports = 512;

// Neither this nor the guest is destroyed: the kernel's threads call the hooks while, and after, the program's exit()
// destroys what is static.
KnownBlocks& known_blocks = *new KnownBlocks;

bool is_loopback(netbsd_sockaddr_in const& address) {
    return address.address[0] == 127;
}

bool is_loopback(netbsd_sockaddr_in6 const& address) {
    std::uint8_t const* const last = address.address + 15;
    return *last == 1 && std::all_of(address.address, last, [](std::uint8_t byte) { return byte == 0; });
}

netbsd_sockaddr_in any_address(netbsd_sockaddr_in const* /*family*/) {
    netbsd_sockaddr_in any{};
    any.length = sizeof any;
    any.family = NETBSD_AF_INET;
    return any;
}

netbsd_sockaddr_in6 any_address(netbsd_sockaddr_in6 const* /*family*/) {
    netbsd_sockaddr_in6 any{};
    any.length = sizeof any;
    any.family = NETBSD_AF_INET6;
    return any;
}

template <typename Address>
std::uint16_t port_of(RealFamily<Address> const& real, void* block) {
    Address address{};
    if (real.get_address != nullptr) {
        real.get_address(block, &address);
    }
    return ntohs(address.port);
}

// Asks while unscheduled. Without an interface there is nobody to ask, and nobody to be in the way of.
template <typename Ask>
int ask(Ask&& ask) {
    Unscheduled const unscheduled;
    int result = 0;
    current_guest().with([&](StackDevice& device) { result = ask(device.ports()); });
    return result;
}

int netbsd_error(int result) {
    return result == 0 ? 0 : result == -EADDRINUSE ? NETBSD_EADDRINUSE : NETBSD_ENETDOWN;
}

bool lease_another_block() {
    return ask([](StackPorts& ports) {
               auto const block = ports.lease(block_ports);
               if (block) {
                   set_ephemeral_range(*block);
               }
               return block ? 1 : 0;
           }) == 1;
}

void give_back_if_unused(RealStack const& stack, Protocol protocol, std::uint16_t port) {
    if (port != 0 && !stack.in_use(protocol, port)) {
        current_guest().with([&](StackDevice& device) { device.ports().give_back(protocol, port); });
    }
}

template <typename Address>
int allocate(RealFamily<Address> RealStack::*family, void* socket, void* table) {
    RealStack const stack = real_stack();
    auto const protocol = stack.protocol_of(table);
    void* const* const newest = static_cast<void* const*>(table);
    void* const before = *newest;
    int const error = (stack.*family).allocate(socket, table);
    if (error == 0 && protocol && *newest != before) {
        known_blocks.add(*newest, *protocol);
    }
    return error;
}

template <typename Address>
int bind_named(RealStack const& stack, RealFamily<Address> const& real, Protocol protocol, void* block,
               Address* address, void* lwp) {
    std::uint16_t const port = ntohs(address->port);
    if (int const refused = ask([&](StackPorts& ports) { return ports.claim(protocol, port); }); refused != 0) {
        return netbsd_error(refused);
    }
    int const error = real.bind(block, address, lwp);
    if (error == 0) {
        known_blocks.set_port(block, port);
    } else {
        give_back_if_unused(stack, protocol, port);
    }
    return error;
}

// The stack chooses. What it has chosen is ours, but for a socket that wants a privileged port.
template <typename Address>
int bind_unnamed(RealStack const& stack, RealFamily<Address> const& real, Protocol protocol, void* block,
                 Address* address, void* lwp) {
    int error = real.bind(block, address, lwp);
    if (error == NETBSD_EAGAIN && lease_another_block()) {
        error = real.bind(block, address, lwp);
    }
    if (error == NETBSD_EAGAIN) {
        std::uint16_t port = 0;
        if (ask([&](StackPorts& ports) { return ports.claim_any(protocol, port); }) != 0 || port == 0) {
            return error;
        }
        Address chosen = address != nullptr ? *address : any_address(address);
        chosen.port = htons(port);
        return bind_named(stack, real, protocol, block, &chosen, lwp);
    }
    if (error != 0) {
        return error;
    }
    std::uint16_t const port = port_of(real, block);
    known_blocks.set_port(block, port);
    return netbsd_error(ask([&](StackPorts& ports) { return ports.claim(protocol, port); }));
}

template <typename Address>
int bind(RealFamily<Address> RealStack::*family, void* block, Address* address, void* lwp) {
    RealStack const stack = real_stack();
    RealFamily<Address> const& real = stack.*family;
    auto const protocol = known_blocks.protocol(block);
    if (!protocol) {
        say("this revision of NetBSD's TCP/IP is not one whose ports can be claimed: see docs/rump.md");
        return NETBSD_EADDRNOTAVAIL;
    }
    if (address != nullptr && (address->length != sizeof *address || is_loopback(*address))) {
        return real.bind(block, address, lwp);
    }
    return address != nullptr && address->port != 0 ? bind_named(stack, real, *protocol, block, address, lwp)
                                                    : bind_unnamed(stack, real, *protocol, block, address, lwp);
}

template <typename Address>
void detach(RealFamily<Address> RealStack::*family, void* block) {
    RealStack const stack = real_stack();
    auto const protocol = known_blocks.remove(block);
    std::uint16_t const port = protocol ? port_of(stack.*family, block) : 0;
    (stack.*family).detach(block);
    if (protocol) {
        give_back_if_unused(stack, *protocol, port);
    }
}

}  // namespace

CurrentGuest& current_guest() {
    static CurrentGuest& guest = *new CurrentGuest;
    return guest;
}

void claim_bound_ports(StackPorts& ports) {
    for (auto const& [protocol, port] : known_blocks.ports()) {
        if (ports.claim(protocol, port) != 0) {
            say(std::string(name_of(protocol)) + " port " + std::to_string(port) +
                " was bound before there was an interface, and is another guest's");
        }
    }
    if (auto const block = ports.lease(block_ports)) {
        set_ephemeral_range(*block);
    }
}

}  // namespace librettos::guest

using librettos::guest::RealStack;

#define LIBRETTOS_HOOK extern "C" __attribute__((visibility("default")))

LIBRETTOS_HOOK int rumpns_in_pcballoc(void* socket, void* table);
LIBRETTOS_HOOK int rumpns_in_pcbbind(void* block, netbsd_sockaddr_in* address, void* lwp);
LIBRETTOS_HOOK void rumpns_in_pcbdetach(void* block);
LIBRETTOS_HOOK int rumpns_in6_pcballoc(void* socket, void* table);
LIBRETTOS_HOOK int rumpns_in6_pcbbind(void* block, netbsd_sockaddr_in6* address, void* lwp);
LIBRETTOS_HOOK void rumpns_in6_pcbdetach(void* block);

int rumpns_in_pcballoc(void* socket, void* table) {
    return librettos::guest::allocate(&RealStack::ipv4, socket, table);
}

int rumpns_in_pcbbind(void* block, netbsd_sockaddr_in* address, void* lwp) {
    return librettos::guest::bind(&RealStack::ipv4, block, address, lwp);
}

void rumpns_in_pcbdetach(void* block) {
    librettos::guest::detach(&RealStack::ipv4, block);
}

int rumpns_in6_pcballoc(void* socket, void* table) {
    return librettos::guest::allocate(&RealStack::ipv6, socket, table);
}

int rumpns_in6_pcbbind(void* block, netbsd_sockaddr_in6* address, void* lwp) {
    return librettos::guest::bind(&RealStack::ipv6, block, address, lwp);
}

void rumpns_in6_pcbdetach(void* block) {
    librettos::guest::detach(&RealStack::ipv6, block);
}
