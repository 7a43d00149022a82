// SPDX-License-Identifier: BSD-2-Clause
// The functions and variables of NetBSD's TCP/IP that the port hooks stand before or ask, found by name at run time.
#pragma once

#include <cstdint>
#include <optional>

#include "guest-frontend/linux/ephemeral_range.hpp"
#include "guest-frontend/linux/port_authority.hpp"
#include "guest-frontend/rump/netbsd.h"

namespace librettos::guest {

// One of the two families of functions. Null where the stack lacks it.
template <typename Address>
struct RealFamily {
    int (*allocate)(void* socket, void* table) = nullptr;
    int (*bind)(void* block, Address* address, void* lwp) = nullptr;
    void (*detach)(void* block) = nullptr;
    void (*get_address)(void* block, Address* address) = nullptr;
};

struct RealStack {
    RealFamily<netbsd_sockaddr_in> ipv4;
    RealFamily<netbsd_sockaddr_in6> ipv6;
    void* (*find4)(void* table, netbsd_in_addr address, unsigned port, int wildcard, void* vestige) = nullptr;
    void* (*find6)(void* table, void* address, unsigned port, int wildcard, void* vestige) = nullptr;
    void* tcp_table = nullptr;
    void* udp_table = nullptr;

    // Of that table; nothing for raw sockets and other protocols.
    std::optional<Protocol> protocol_of(void* table) const;
    // Some socket has the port. Under the stack's socket lock.
    bool in_use(Protocol protocol, std::uint16_t port) const;
};

// Looked up at each call: libraries may come later.
RealStack real_stack();
// From which the stack chooses from now on.
void set_ephemeral_range(PortBlock block);
// Without looking for duplicates first, which takes seconds: the server answers for them.
void use_addresses_at_once();

}  // namespace librettos::guest
