// SPDX-License-Identifier: BSD-2-Clause
// What all guests' lives take place in.
#pragma once

#include <cstdint>
#include <optional>
#include <system_error>

#include "daemon/engine/control/address_pool.hpp"
#include "daemon/engine/control/holder_link.hpp"
#include "daemon/engine/control/log_limit.hpp"
#include "daemon/engine/control/vf_table.hpp"
#include "daemon/engine/datapath/data_plane.hpp"
#include "drivers/hypervisor/hypervisor.hpp"
#include "drivers/hypervisor/server_ports.hpp"

namespace librettos::control {

struct LinkState {
    bool up = false;
    std::uint32_t speed_mbps = 0;
};

// References outlive the guests.
struct Surroundings {
    Hypervisor& hypervisor;
    DataPlane& data_plane;
    HolderLink& holder;
    Config const& config;
    NetworkIdentity network;
    AddressPool pool;
    LinkState link;
    VfTable vfs;
    ServerPorts* ports = nullptr;             // null: guests ask the hypervisor
    TimePoint ports_wake = TimePoint::max();  // when `ports` wants to be called
    LogLimit log{50, std::chrono::milliseconds(100)};
    int channels_epoll = -1;   // control channels' descriptors; Guests waits on it
    std::size_t attached = 0;  // guests with an offer, for limits.guests
    std::uint64_t breaches = 0;
};

}  // namespace librettos::control
