// SPDX-License-Identifier: BSD-2-Clause
// Which ports the sockets of a network namespace use, asked from the kernel.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>

#include "guest-frontend/linux/port_authority.hpp"

struct nl_sock;

namespace librettos::guest {

using PortSet = std::bitset<LVIF_PORTS>;

// Local ports of sockets that the network can reach: those on loopback addresses are left out.
struct UsedPorts {
    PortSet tcp;  // all states, TIME_WAIT too; before Linux 6.8 not those bound but neither listening nor connected
    PortSet udp;

    PortSet const& of(Protocol protocol) const { return protocol == Protocol::tcp ? tcp : udp; }
};

// Works in the network namespace in which it was constructed. Functions throw std::system_error.
class SocketDump {
  public:
    SocketDump();
    ~SocketDump();
    SocketDump(SocketDump const&) = delete;
    SocketDump& operator=(SocketDump const&) = delete;

    // Costs a walk over the kernel's socket tables, which all namespaces share: milliseconds on a big machine.
    UsedPorts used_ports();

    // Whether TCP connections that their program has closed still have bytes, or their end, to be acknowledged.
    bool data_left_behind();

  private:
    nl_sock* netlink_;
};

// The namespace's own socket counters (/proc/net/sockstat), microseconds: when they are the same, nothing worth a dump
// has happened, or exactly as many sockets came as went.
std::string socket_counters();

// Whether any socket, of either address family, any state and any address, uses the port: tries to bind it. Exact where
// a dump is not. Nothing else may bind explicitly in the namespace meanwhile (the caller answers all binds).
bool port_in_use(Protocol protocol, std::uint16_t port);

}  // namespace librettos::guest
