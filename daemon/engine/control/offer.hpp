// SPDX-License-Identifier: BSD-2-Clause
// The offer to a guest, in its backend directory: what it is told, and what the next engine finds there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/config/config.hpp"
#include "daemon/engine/boot.hpp"
#include "daemon/engine/datapath/directory.hpp"
#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos::control {

struct Offer {
    GuestMode mode = GuestMode::shared;
    MacAddress mac;
    Ipv4Address ipv4;  // not set: none
    std::uint8_t ipv4_prefix = 0;
    Ipv6Address ipv6;
    std::uint8_t ipv6_prefix = 0;
    std::string gateway4;  // empty: none
    std::string gateway6;
    std::uint16_t mtu_bytes = 1500;
    std::uint16_t vlan = 0;
    std::uint32_t features = 0;
    std::uint16_t max_queues = 1;
    std::uint32_t max_ring_bytes = 0;
};

// The identity of the shared address and the rules of the network. Throws std::system_error (EINVAL) for an
// address that cannot be parsed.
NetworkIdentity network_identity(Config const& config, PortDescription const& port);

// What a shared guest is offered; a dedicated one's address, MAC and mode are put in afterwards.
Offer shared_offer(Config const& config, NetworkIdentity const& network);

// All keys but `state`; keys of an earlier offer that do not apply any more are removed.
void write_offer(Hypervisor& hypervisor, std::string const& backend, Offer const& offer);

// Our own writing, but read like any other: null when it is not whole.
std::optional<Offer> read_offer(Hypervisor& hypervisor, std::string const& backend);

// What an operator says about a guest's address, whatever the guest asks for; kept beside the offer.
struct Assignment {
    std::optional<GuestMode> mode;  // not set: as the guest asks
    Ipv4Address ipv4;               // of the dedicated pool; not set: any of it
    friend bool operator==(Assignment const&, Assignment const&) = default;
};

std::vector<std::pair<std::string, std::string>> assignment_keys(Assignment const& assignment);
void write_assignment(Hypervisor& hypervisor, std::string const& backend, Assignment const& assignment);
Assignment read_assignment(Hypervisor& hypervisor, std::string const& backend);

// An operator attaches the guest: that ends the guest's back-off.
void count_attach(Hypervisor& hypervisor, std::string const& backend);

// Limits that were set on this guest by the operator, if any; kept beside the offer.
struct GuestLimits {  // 0: none
    std::uint64_t frames_per_s = 0;
    std::uint64_t bits_per_s = 0;
    std::uint32_t ports = 0;

    // As the portmap takes it, where a limit of 0 is one.
    std::uint32_t most_ports() const { return ports != 0 ? ports : 2 * LVIF_PORTS; }
    friend bool operator==(GuestLimits const&, GuestLimits const&) = default;
};

void write_limits(Hypervisor& hypervisor, std::string const& backend, GuestLimits const& limits);
std::optional<GuestLimits> read_limits(Hypervisor& hypervisor, std::string const& backend);

}  // namespace librettos::control
