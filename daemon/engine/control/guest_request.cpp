// SPDX-License-Identifier: BSD-2-Clause
// Reading a guest's request from the store.
#include "daemon/engine/control/guest_request.hpp"

#include <librettos/frame_ring.h>
#include <librettos/handshake.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>

#include "daemon/engine/control/strict_text.hpp"

namespace librettos::control {

namespace {

// Reads numbers until the first that is wrong; says which.
class NumberReader {
  public:
    NumberReader(Hypervisor& hypervisor, std::string const& directory)
        : hypervisor_(hypervisor), directory_(directory) {}

    std::uint32_t number(std::string const& key, std::uint32_t min, std::uint32_t max) {
        if (!reason_.empty())
            return 0;
        auto const text = hypervisor_.read(directory_ + "/" + key);
        if (!text) {
            reason_ = key + " is missing";
            return 0;
        }
        auto const value = parse_number(*text, max);
        if (!value || *value < min) {
            reason_ =
                key + " is '" + printable(*text, 20) + "', not " + std::to_string(min) + ".." + std::to_string(max);
            return 0;
        }
        return static_cast<std::uint32_t>(*value);
    }

    std::uint32_t reference(std::string const& key) {
        return number(key, 0, std::numeric_limits<std::uint32_t>::max());
    }

    std::string const& reason() const { return reason_; }

  private:
    Hypervisor& hypervisor_;
    std::string const& directory_;
    std::string reason_;
};

template <typename T>
bool has_duplicate(std::vector<T> values) {
    std::sort(values.begin(), values.end());
    return std::adjacent_find(values.begin(), values.end()) != values.end();
}

std::optional<Refusal> find_sharing(GuestRequest const& request) {
    std::vector<RegionRef> regions{request.control_to_server, request.control_to_guest};
    std::vector<EventPort> events{request.control_event};
    for (auto const& queue : request.queues) {
        regions.push_back(queue.tx_ring);
        regions.push_back(queue.rx_ring);
        events.push_back(queue.event);
    }
    if (has_duplicate(std::move(regions)))
        return Refusal{"one region named for two rings"};
    if (has_duplicate(std::move(events)))
        return Refusal{"one event port named twice"};
    return std::nullopt;
}

}  // namespace

Checked<GuestRequest> read_guest_request(Hypervisor& hypervisor, std::string const& frontend,
                                         RequestBounds const& bounds) {
    NumberReader reader(hypervisor, frontend);
    GuestRequest request;
    auto const queues = reader.number(LVIF_KEY_QUEUES, 1, bounds.max_queues);
    request.ring_bytes = reader.number(LVIF_KEY_RING_BYTES, LVIF_RING_MIN_CAPACITY, bounds.max_ring_bytes);
    if (reader.reason().empty() && !std::has_single_bit(request.ring_bytes))
        return Refusal{"ring-bytes is not a power of two"};
    request.control_to_server = {reader.reference(LVIF_KEY_CONTROL_TO_SERVER)};
    request.control_to_guest = {reader.reference(LVIF_KEY_CONTROL_TO_GUEST)};
    request.control_event = {reader.reference(LVIF_KEY_CONTROL_EVENT)};
    for (std::uint32_t q = 0; q < queues && reader.reason().empty(); ++q) {
        auto const directory = "queue-" + std::to_string(q) + "/";
        QueueRequest queue;
        queue.tx_ring = {reader.reference(directory + LVIF_KEY_TX_RING)};
        queue.rx_ring = {reader.reference(directory + LVIF_KEY_RX_RING)};
        queue.event = {reader.reference(directory + LVIF_KEY_EVENT)};
        request.queues.push_back(queue);
    }
    if (!reader.reason().empty())
        return Refusal{reader.reason()};
    if (auto refusal = find_sharing(request))
        return std::move(*refusal);
    return request;
}

}  // namespace librettos::control
