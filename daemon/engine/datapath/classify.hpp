// SPDX-License-Identifier: BSD-2-Clause
// Where a frame goes: the rules of architecture section 7, in both directions, for one data thread.
//
// Knows bytes, addresses and slots; no DPDK, no rings, no clock of its own. It looks at frames only through
// bounds-checked access and keeps state only for what one frame alone does not tell: fragments, who asked for a
// neighbour, who sent an ICMP echo, group memberships, and the budget for the server's own answers. All that state is
// bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <librettos/frame_ring.h>

#include "daemon/api/counters.hpp"
#include "daemon/engine/datapath/directory.hpp"

namespace librettos {

// A frame's fate. Several may hold at once: a guest's broadcast goes to the wire and to other guests.
struct Verdict {
    Counter drop = Counter::none;  // != none: goes nowhere (though an answer may be made), counted under this name
    bool to_wire = false;
    bool to_targets = false;  // to every slot in Classifier::targets()
    bool reply = false;       // Classifier::reply() goes back to where the frame came from
    bool hold = false;        // a fragment that came before its first: keep it and call hold()
    bool released = false;    // fragments held for this datagram may go now, to `slot`: call take_released()
    Slot slot = wire_slot;    // to this guest, when not wire_slot
};

class Classifier {
  public:
    explicit Classifier(Directory& directory);
    ~Classifier();
    Classifier(Classifier const&) = delete;
    Classifier& operator=(Classifier const&) = delete;

    // `frame` starts with the Ethernet header; private memory, may be cut at 2,048 bytes when frame_bytes says that it
    // is longer.
    Verdict from_wire(std::span<std::uint8_t const> frame, std::size_t frame_bytes, std::uint64_t now_us);

    // `frame`: private copy of what guest `from` sent, untagged. Checks that it says the truth about itself (MAC, IP,
    // port, ARP/ND), that `offload` fits it, and finds whom it is for. Frames to the wire are tagged by the caller.
    Verdict from_guest(Slot from, std::span<std::uint8_t const> frame, lvif_record const& offload,
                       std::uint64_t now_us);

    // Valid until the next from_wire/from_guest.
    std::span<Slot const> targets() const;
    std::span<std::uint8_t const> reply() const;  // a whole frame, checksums done, untagged when it goes to a guest,
                                                  // tagged as it came when it goes to the wire

    // Held fragments are the caller's buffers, known here as tokens. hold() refers to the last from_wire(); false: no
    // room, drop it as drop_fragment_limit. take_released(): one held fragment of the datagram that the last
    // from_wire() released, nullptr when there are no more. take_expired(): one whose time is over, nullptr when none.
    bool hold(void* token);
    void* take_released();
    void* take_expired(std::uint64_t now_us);
    std::size_t held() const;
    std::uint64_t next_expiry_us() const;  // UINT64_MAX when nothing is held

    // To be called after Directory::add / remove.
    void forget(Slot slot);

  private:
    struct State;
    Directory& directory_;
    std::unique_ptr<State> state_;
};

}  // namespace librettos
