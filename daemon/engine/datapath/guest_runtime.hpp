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

// Laid out by what the serving thread touches for each frame: towards a guest, the first two cache lines alone.
struct alignas(64) GuestQueue {
    enum class Service : std::uint8_t {
        asleep,     // armed: its event wakes us
        polled,     // looked at in every turn
        throttled,  // over its rate: looked at again at wake_ns
        muted,      // rang too often for nothing: its event is not listened to until wake_ns
        broken,     // not served any more
    };

    // `owner` has its slot and features.
    inline GuestQueue(Guest& owner, RingConsumer const& from, RingProducer const& to, EventChannel* channel,
                      std::uint16_t served_by);

    RingProducer to_guest;

    // state of the serving thread
    std::uint64_t put_bytes = 0;  // since the last publication
    std::uint32_t put_frames = 0;
    std::uint32_t features;  // of the guest
    Slot slot;               // of the guest
    std::uint16_t thread;    // the data thread that serves it
    Service service = Service::asleep;
    bool touched = false;    // something to publish or count
    GrowingFrame growing{};  // the frame put last and not yet published, when segments can be appended

    RingConsumer from_guest;
    Guest* guest;
    EventChannel* event;
    std::uint32_t idle_turns = 0;       // polls of a busy thread in a row that found nothing
    std::uint32_t empty_doorbells = 0;  // in the present second
    std::uint64_t empty_since_ns = 0;
    std::uint64_t wake_ns = 0;
    bool published_to_guest = false;  // in this turn's publish_rings()
    bool published_from_guest = false;
};

struct Guest {
    Slot slot = wire_slot;
    GuestIdentity identity;
    std::uint32_t features = 0;
    RateLimiter limiter;
    std::vector<GuestQueue> queues;
};

GuestQueue::GuestQueue(Guest& owner, RingConsumer const& from, RingProducer const& to, EventChannel* channel,
                       std::uint16_t served_by)
    : to_guest(to),
      features(owner.features),
      slot(owner.slot),
      thread(served_by),
      from_guest(from),
      guest(&owner),
      event(channel) {
}

}  // namespace librettos
