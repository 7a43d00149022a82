// SPDX-License-Identifier: BSD-2-Clause
// A TCP/IP stack in this process as its network device sees it: lwIP, or a rump kernel.
#pragma once

#include <cstdint>

#include "guest-frontend/linux/lvif.hpp"

namespace librettos::guest {

class FrameLink;

class Stack {
  public:
    virtual ~Stack() = default;

    // ---- receive thread
    virtual void receiver_starts() {}
    virtual void receiver_ends() {}
    // Only when there is a frame. From here to burst_ends() the stack may hold what it needs to take frames.
    virtual void burst_begins() = 0;
    // The frame is in the ring, and the server's again when this returns. It may send from here.
    virtual void deliver(lvif_frame const& frame) = 0;
    virtual void burst_ends() = 0;
    // FrameLink::send() refused a frame for want of room, and there is room again. It may send from here.
    virtual void room() {}

    // ---- control thread, which serves nobody meanwhile
    // Connected for the first time, or anew after the server had let go (not after a crash, which changes nothing). The
    // link carries frames when this returns; it stays the same.
    virtual void connected(Offer const& offer, FrameLink& frames) = 0;
    // State of the wire and bytes of an IP packet, at first and whenever one changes; down also while detached.
    virtual void link(bool up, std::uint16_t mtu_bytes) = 0;
};

}  // namespace librettos::guest
