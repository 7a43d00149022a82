// SPDX-License-Identifier: BSD-2-Clause
// A VF that is driven in this process, as the frames of a stack in this process need it: VF up, send, poll, VF down.
//
// Three users, each one thread at a time: who switches (up, down, gone: SwitchedVf), who receives, who sends. FrameLink
// sees to it that nobody receives or sends before up() has returned 1 or after down() was called.
#pragma once

#include <cstdint>
#include <functional>

#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/process/switch_order.hpp"

namespace librettos::guest {

class Vf : public SwitchedVf {
  public:
    // ---- who receives. A frame that was gathered waits here until it is released; gathering makes room in the VF.
    // True: there may be more to gather, and place for it.
    virtual bool gather() = 0;
    // The oldest one. False: none was gathered.
    virtual bool front(lvif_frame& frame) = 0;
    virtual void release() = 0;
    // Readable once a frame comes after arm(); -1: the VF has to be asked.
    virtual int event_fd() const = 0;
    // False: a frame has come. Taken back by disarm().
    virtual bool arm() = 0;
    virtual void disarm() = 0;

    // ---- who sends
    // Place for one frame. LVIF_EAGAIN: no room; LVIF_EMSGSIZE: longer than a frame may be.
    virtual int reserve(std::uint32_t length, std::uint8_t*& frame) = 0;
    virtual void commit(std::uint32_t length) = 0;
    // What was committed leaves. False: not all of it for want of room; to be called again.
    virtual bool publish() = 0;
    // All that was published has left.
    virtual bool sent_all() = 0;
    // What was committed and has not left, the oldest first: the caller sends it by another way. The VF sends nothing
    // more and is given back next. A frame that it stopped at after it had left, and before it said so, is among them.
    virtual void take_back(std::function<void(std::uint8_t const* frame, std::uint32_t length)> const& take) = 0;
    // Whether it still sends. To be called every 20 ms or so. may_send: a frame of its own, to find out.
    virtual bool alive(bool may_send) = 0;
};

}  // namespace librettos::guest
