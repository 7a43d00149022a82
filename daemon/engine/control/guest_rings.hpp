// SPDX-License-Identifier: BSD-2-Clause
// A connected guest's memory and event channels: mapped and checked as a whole, or not at all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/engine/control/control_ring.hpp"
#include "daemon/engine/control/guest_request.hpp"
#include "daemon/engine/datapath/data_plane.hpp"
#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos::control {

// In each group the channel comes first: mappings go before it, so that the life sign's notification still has a way.
struct MappedQueue {
    std::unique_ptr<EventChannel> event;
    std::unique_ptr<Mapping> tx_ring;
    std::unique_ptr<Mapping> rx_ring;
};

struct GuestRings {
    std::unique_ptr<EventChannel> control_event;
    std::unique_ptr<Mapping> control_to_server;
    std::unique_ptr<Mapping> control_to_guest;
    std::vector<MappedQueue> queues;
    std::optional<ControlRing> control;
    std::uint32_t capacity = 0;
    std::uint32_t features = 0;  // LVIF_F_*, chosen by the guest

    std::size_t mappings() const { return 2 + 2 * queues.size(); }
    std::vector<QueuePair> queue_pairs() const;
    // Wakes whoever waits on any of the channels.
    void notify_all() noexcept;
};

// Maps everything the request names and checks every header once. Sets the life signs. Throws std::system_error for a
// region or an event port that the hypervisor refuses; nothing stays mapped then.
Checked<std::unique_ptr<GuestRings>> open_rings(Hypervisor& hypervisor, DomId guest, GuestRequest const& request,
                                                std::uint32_t offered_features);

}  // namespace librettos::control
