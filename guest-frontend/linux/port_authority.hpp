// SPDX-License-Identifier: BSD-2-Clause
// Who grants ports to this guest: the hypervisor (hypervisor_ports.hpp, xen_host.cpp), the server
// (control_ring_ports.hpp), or a table in a test.
#pragma once

#include <librettos/portmap.h>
#include <netinet/in.h>

#include <cstdint>

namespace librettos::guest {

enum class Protocol : std::uint8_t { tcp = IPPROTO_TCP, udp = IPPROTO_UDP };

inline char const* name_of(Protocol protocol) {
    return protocol == Protocol::tcp ? "TCP" : "UDP";
}

// Ports are in host order. Results are 0 or a negative errno, as portmap.h has them; a connection that is gone is
// -ECONNRESET. Called by one thread.
class PortAuthority {
  public:
    virtual ~PortAuthority() = default;
    virtual int bind(Protocol protocol, std::uint16_t port) = 0;
    // One of the ephemeral range that the authority chooses.
    virtual int bind_any(Protocol protocol, std::uint16_t& port) = 0;
    virtual int release(Protocol protocol, std::uint16_t port) = 0;
    // The same block of both protocols.
    virtual int lease(std::uint16_t count, std::uint16_t& first) = 0;
    // Of everything that this domain owns.
    virtual int release_all() = 0;
};

}  // namespace librettos::guest
