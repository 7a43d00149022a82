// SPDX-License-Identifier: BSD-2-Clause
// The server's side of a guest's control ring pair (librettos/control_ring.h). Trusts nothing in it: positions are
// private, the peer's are read once and checked, messages are copied before anybody looks at them.
#pragma once

#include <librettos/control_ring.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace librettos::control {

class ControlRing {
  public:
    // Both are one page of guest memory that outlives this object. Null when the headers are acceptable, else a
    // reason. Checks the positions as well: after a restart they are all we have.
    static char const* fault(std::span<std::byte> to_server, std::span<std::byte> to_guest);

    // Goes on from the positions in the rings, which fault() has found acceptable. The guest may have changed them
    // since: that shows at the next take() or put().
    ControlRing(std::span<std::byte> to_server, std::span<std::byte> to_guest);

    enum class Take : std::uint8_t { message, empty, broken };
    Take take(lvif_message& message);
    // Gives the slots of taken messages back. True: the guest waits for that.
    bool release();
    // Arms the event for the next message. True: nothing to read, wait for it.
    bool arm();

    // Whether put() would succeed.
    bool has_room();
    // False: full, or the guest's tail is beyond reason (broken() tells).
    bool put(lvif_message const& message);
    // Makes what was put visible. True: the guest sleeps and has to be notified.
    bool publish();

    bool broken() const { return broken_; }

  private:
    lvif_control_ring* to_server_;
    lvif_control_ring* to_guest_;
    std::uint32_t tail_;       // of to_server, ours
    std::uint32_t head_;       // of to_guest, ours
    std::uint32_t published_;  // head_ as the guest sees it
    bool broken_ = false;
};

}  // namespace librettos::control
