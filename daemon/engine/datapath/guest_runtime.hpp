// SPDX-License-Identifier: BSD-2-Clause
// A guest as the data threads serve it. Made and freed by the control side; between `add` and the acknowledgement of
// `remove` a queue is touched only by the data thread that serves it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/engine/datapath/coalesce.hpp"
#include "daemon/engine/datapath/directory.hpp"
#include "daemon/engine/datapath/frame_ring.hpp"
#include "daemon/engine/datapath/rate_limiter.hpp"
#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

struct Guest;

struct GuestQueue {
    Guest* guest;
    RingConsumer from_guest;
    RingProducer to_guest;
    EventChannel* event;
    std::uint16_t thread;  // the data thread that serves it

    // state of the serving thread
    enum class Service : std::uint8_t {
        asleep,     // armed: its event wakes us
        polled,     // looked at in every turn
        throttled,  // over its rate: looked at again at wake_ns
        muted,      // rang too often for nothing: its event is not listened to until wake_ns
        broken,     // not served any more
    };
    Service service = Service::asleep;
    bool touched = false;             // something to publish or count at the end of the turn
    bool published_to_guest = false;  // in this turn's publish_rings()
    bool published_from_guest = false;
    std::uint32_t put_frames = 0;  // in this turn
    std::uint64_t put_bytes = 0;
    std::uint32_t idle_turns = 0;       // polls in a row that found nothing
    std::uint32_t empty_doorbells = 0;  // in the present second
    std::uint64_t empty_since_ns = 0;
    std::uint64_t wake_ns = 0;
    GrowingFrame growing{};  // the frame put last in this turn, when segments can be appended
};

struct Guest {
    Slot slot = wire_slot;
    GuestIdentity identity;
    std::uint32_t features = 0;
    RateLimiter limiter;
    std::vector<GuestQueue> queues;
};

}  // namespace librettos
