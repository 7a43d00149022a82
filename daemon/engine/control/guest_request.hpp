// SPDX-License-Identifier: BSD-2-Clause
// What a guest asks for in its frontend directory: parsed strictly, bounded by the offer it answers.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos::control {

// Why a guest is not taken, or not kept: shown to it and to the operator.
struct Refusal {
    std::string reason;
};

template <typename T>
using Checked = std::variant<T, Refusal>;

struct QueueRequest {
    RegionRef tx_ring;
    RegionRef rx_ring;
    EventPort event;
};

struct GuestRequest {
    std::uint32_t ring_bytes = 0;  // a power of two
    RegionRef control_to_server;
    RegionRef control_to_guest;
    EventPort control_event;
    std::vector<QueueRequest> queues;
};

struct RequestBounds {
    std::uint16_t max_queues;
    std::uint32_t max_ring_bytes;
};

// Reads a bounded number of keys below `frontend`. Throws what the hypervisor throws.
Checked<GuestRequest> read_guest_request(Hypervisor& hypervisor, std::string const& frontend,
                                         RequestBounds const& bounds);

}  // namespace librettos::control
