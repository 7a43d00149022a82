// SPDX-License-Identifier: BSD-2-Clause
// The ports that this guest owns: blocks leased for the kernel's own choice, and single ports that programs bound.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "guest-frontend/linux/ephemeral_range.hpp"
#include "guest-frontend/linux/port_authority.hpp"
#include "guest-frontend/linux/socket_dump.hpp"

namespace librettos::guest {

// One thread, in the guest's network namespace, and the only one that binds there explicitly (port_in_use()).
class PortClaims {
  public:
    // Leases the first block and makes the kernel choose from it. block_ports: even, 2 .. 28232. Throws
    // std::system_error.
    PortClaims(PortAuthority& authority, std::uint16_t block_ports);

    struct Outcome {
        int error;   // 0, EADDRINUSE (another's, or no quota left: logged), ENETDOWN (the authority is gone)
        bool fresh;  // not ours before
    };
    Outcome claim(Protocol protocol, std::uint16_t port);
    // After a fresh claim whose bind() then failed.
    void give_back(Protocol protocol, std::uint16_t port);

    // Adds a block to those from which the kernel chooses. false: the authority refused (logged).
    bool lease_more();

    // The portmap is another one, which knows nothing of this guest: leases a block of it and owns nothing else. What
    // sockets use is claimed by the next settle(). Throws std::system_error.
    void begin_anew();

    // Compares what is owned with what is used: releases single ports that no socket uses any more, claims late what is
    // used without being owned (bound before we looked, or behind our back), leases more when 3/4 of the leased
    // ports are used.
    void settle(UsedPorts const& used);
    // Some port is owned of which the last settle() saw no socket; it wants another settle() soon.
    bool unsettled() const { return unsettled_; }

    bool owns(Protocol protocol, std::uint16_t port) const;
    std::vector<PortBlock> const& leased() const { return leased_; }

  private:
    PortSet& single(Protocol protocol) { return protocol == Protocol::tcp ? tcp_ : udp_; }
    PortSet const& single(Protocol protocol) const { return protocol == Protocol::tcp ? tcp_ : udp_; }
    bool is_leased(std::uint16_t port) const;
    void release_unused(Protocol protocol, PortSet const& used);
    void claim_late(Protocol protocol, PortSet const& used);
    bool lease_is_tight(PortSet const& used) const;
    void warn(std::string const& text);

    PortAuthority& authority_;
    std::uint16_t const block_ports_;
    std::vector<PortBlock> leased_;
    PortSet tcp_;  // single ports, without the leased ones
    PortSet udp_;
    PortSet refused_tcp_;  // used by a socket here, but another guest's: warned about once
    PortSet refused_udp_;
    bool unsettled_ = false;
    std::chrono::steady_clock::time_point quiet_until_{};
};

}  // namespace librettos::guest
