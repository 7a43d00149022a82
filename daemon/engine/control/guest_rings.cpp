// SPDX-License-Identifier: BSD-2-Clause
// Mapping and checking of a guest's rings.
#include "daemon/engine/control/guest_rings.hpp"

#include <librettos/frame_ring.h>

#include <atomic>

namespace librettos::control {

namespace {

struct RingFacts {
    char const* fault = nullptr;
    std::uint32_t features = 0;
};

// Each word is read once, into the result; the guest may change it at any time.
RingFacts inspect(std::span<std::byte> bytes, std::uint32_t capacity, std::uint32_t offered_features) {
    auto& header = *reinterpret_cast<lvif_ring_header*>(bytes.data());
    auto const word = [](std::uint32_t& shared) {
        return std::atomic_ref<std::uint32_t>(shared).load(std::memory_order_relaxed);
    };
    auto const position = [](std::uint64_t& shared) {
        return std::atomic_ref<std::uint64_t>(shared).load(std::memory_order_acquire);
    };
    if (word(header.magic) != LVIF_RING_MAGIC)
        return {"frame ring: no magic number"};
    if (word(header.version) != LVIF_RING_VERSION)
        return {"frame ring: unknown version"};
    if (word(header.capacity) != capacity)
        return {"frame ring: capacity is not ring-bytes"};
    auto const features = word(header.features);
    if ((features & ~offered_features) != 0)
        return {"frame ring: features not offered"};
    auto const head = position(header.head);
    auto const tail = position(header.tail);
    if (head - tail > capacity || (head | tail) % LVIF_RECORD_ALIGN != 0)
        return {"frame ring: impossible positions"};
    return {nullptr, features};
}

void show_alive(std::span<std::byte> page, std::size_t offset) {
    auto& byte = *reinterpret_cast<std::uint8_t*>(page.data() + offset);
    std::atomic_ref<std::uint8_t>(byte).store(1, std::memory_order_release);
}

constexpr std::size_t alive_offset = offsetof(lvif_ring_header, server_alive);
static_assert(alive_offset == offsetof(lvif_control_ring, server_alive));

MappedQueue open_queue(Hypervisor& hypervisor, DomId guest, QueueRequest const& request, std::size_t size_bytes) {
    MappedQueue queue;
    queue.event = hypervisor.bind_event(guest, request.event);
    LifeSign const life_sign{alive_offset, queue.event->local_port()};
    queue.tx_ring = hypervisor.map(guest, request.tx_ring, size_bytes, life_sign);
    queue.rx_ring = hypervisor.map(guest, request.rx_ring, size_bytes, life_sign);
    return queue;
}

std::unique_ptr<GuestRings> map_all(Hypervisor& hypervisor, DomId guest, GuestRequest const& request) {
    auto rings = std::make_unique<GuestRings>();
    rings->capacity = request.ring_bytes;
    rings->control_event = hypervisor.bind_event(guest, request.control_event);
    LifeSign const life_sign{alive_offset, rings->control_event->local_port()};
    rings->control_to_server = hypervisor.map(guest, request.control_to_server, LVIF_PAGE_BYTES, life_sign);
    rings->control_to_guest = hypervisor.map(guest, request.control_to_guest, LVIF_PAGE_BYTES, life_sign);
    rings->queues.reserve(request.queues.size());
    for (auto const& queue : request.queues)
        rings->queues.push_back(open_queue(hypervisor, guest, queue, LVIF_PAGE_BYTES + std::size_t{rings->capacity}));
    return rings;
}

}  // namespace

std::vector<QueuePair> GuestRings::queue_pairs() const {
    std::vector<QueuePair> pairs;
    pairs.reserve(queues.size());
    for (auto const& queue : queues)
        pairs.push_back({queue.tx_ring->bytes(), queue.rx_ring->bytes(), capacity, queue.event.get()});
    return pairs;
}

void GuestRings::notify_all() noexcept {
    control_event->notify();
    for (auto& queue : queues)
        queue.event->notify();
}

Checked<std::unique_ptr<GuestRings>> open_rings(Hypervisor& hypervisor, DomId guest, GuestRequest const& request,
                                                std::uint32_t offered_features) {
    auto rings = map_all(hypervisor, guest, request);
    auto const to_server = rings->control_to_server->bytes();
    auto const to_guest = rings->control_to_guest->bytes();
    if (auto const* const reason = ControlRing::fault(to_server, to_guest))
        return Refusal{reason};
    bool first = true;
    for (auto const& queue : rings->queues) {
        for (auto const& ring : {queue.tx_ring->bytes(), queue.rx_ring->bytes()}) {
            auto const facts = inspect(ring, rings->capacity, offered_features);
            if (facts.fault != nullptr)
                return Refusal{facts.fault};
            if (!first && facts.features != rings->features)
                return Refusal{"frame ring: features differ between rings"};
            rings->features = facts.features;
            first = false;
        }
    }
    for (auto const& queue : rings->queues) {
        show_alive(queue.tx_ring->bytes(), alive_offset);
        show_alive(queue.rx_ring->bytes(), alive_offset);
    }
    show_alive(to_server, alive_offset);
    show_alive(to_guest, alive_offset);
    rings->control.emplace(to_server, to_guest);
    return rings;
}

}  // namespace librettos::control
