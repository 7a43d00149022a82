// SPDX-License-Identifier: BSD-2-Clause
// Receiving and sending by the frontend library's calls, a burst per guest.
#include "tests/bench/guest_side.hpp"

#include <cstring>
#include <stdexcept>

#include <netinet/in.h>

namespace librettos::bench {

GuestSide::GuestSide(Traffic const& traffic, std::span<std::unique_ptr<GuestDevice> const> guests)
    : traffic_(traffic),
      guests_(guests),
      private_(private_bytes + LVIF_MAX_FRAME_BYTES),
      template_(traffic.shape().frame_bytes),
      steps_(guests.size()) {
    traffic.fill(template_, Direction::guest_to_wire);
}

void GuestSide::receive_round() {
    std::uint64_t count = 0;
    for (auto const& guest : guests_) {
        lvif_device* const device = guest->device();
        lvif_frame frame;
        unsigned taken = 0;
        while (taken < burst && lvif_rx_peek(device, 0, &frame) == 1) {
            std::memcpy(&private_[private_at_], frame.bytes, frame.length);
            private_at_ = (private_at_ + frame.length + 63) / 64 * 64 % private_bytes;
            lvif_rx_release(device, 0);
            ++taken;
        }
        if (taken != 0)
            lvif_rx_publish(device, 0);
        count += taken;
    }
    __atomic_store_n(&received_, received_ + count, __ATOMIC_RELAXED);
}

void GuestSide::send_round() {
    auto const length = static_cast<std::uint32_t>(template_.size());
    for (std::size_t g = 0; g < guests_.size(); ++g) {
        lvif_device* const device = guests_[g]->device();
        std::span<OwnedPort const> const walk = traffic_.walk(static_cast<std::uint16_t>(g));
        std::uint8_t* frame = nullptr;
        unsigned sent = 0;
        while (sent < burst && lvif_tx_reserve(device, 0, length, &frame) == 0) {
            std::memcpy(frame, template_.data(), length);
            traffic_.address<Direction::guest_to_wire>(frame, walk[steps_[g]++ & (walk.size() - 1)]);
            lvif_offload const none{};
            if (lvif_tx_commit(device, 0, length, &none) == 0)
                ++sent;
        }
        if (sent != 0)
            lvif_tx_publish(device, 0);
    }
}

void GuestSide::check(GuestDevice const& guest, lvif_frame const& frame) const {
    std::uint16_t port_be = 0;
    std::memcpy(&port_be, frame.bytes + 36, 2);
    std::uint16_t const port = ntohs(port_be);
    lvif_portmap const& portmap = traffic_.portmap();
    std::uint32_t const entry = frame.bytes[23] == IPPROTO_UDP ? portmap.udp[port] : portmap.tcp[port];
    if (frame.length != template_.size() || entry != lvif_port_entry(LVIF_PORT_BOUND, guest.domain(), 0))
        throw std::runtime_error("guest " + std::to_string(guest.domain()) + " got a frame that is not for it");
}

std::uint64_t GuestSide::receive_and_check() {
    std::uint64_t count = 0;
    for (auto const& guest : guests_) {
        lvif_frame frame;
        while (lvif_rx_peek(guest->device(), 0, &frame) == 1) {
            check(*guest, frame);
            lvif_rx_release(guest->device(), 0);
            ++count;
        }
        lvif_rx_publish(guest->device(), 0);
    }
    return count;
}

}  // namespace librettos::bench
