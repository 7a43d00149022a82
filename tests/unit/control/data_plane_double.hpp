// SPDX-License-Identifier: BSD-2-Clause
// A data plane without threads and frames, linked in place of the real one: keeps the protocol of data_plane.hpp
// (added, removed, broken) and shows the test what it was given.
#pragma once

#include <map>
#include <set>

#include "daemon/engine/datapath/data_plane.hpp"
#include "tests/unit/control/world.hpp"

namespace librettos::test {

struct PlaneView {
    struct Watched {
        std::uint16_t vf;
        std::uint32_t request, mark;
        bool operator==(Watched const&) const = default;
    };
    std::map<Slot, GuestAttachment> guests;
    std::map<Slot, RateLimit> limits;
    std::map<Slot, bool> direct;
    std::map<Slot, std::uint32_t> marks;  // of the last drain
    std::map<Slot, Watched> watched;      // the last watch_steering
    std::map<Slot, RingTraffic> traffic;
    std::set<Slot> letting_go;
    std::set<Slot> draining;
    bool hold_drains = false;           // the wire is busy
    std::size_t slots = max_slots - 1;  // how many there are
    bool hold_removals = false;         // the data threads are busy
    int planes = 0;
    int released_unclaimed = 0;
    World* world = nullptr;  // marks memory in use
};

// Of the one DataPlane that lives.
PlaneView& plane();
// The data threads found the guest at fault.
void plane_breaks(Slot slot, char const* reason);
void plane_drained(Slot slot);
// The data threads let go whom they held back.
void plane_lets_go();

}  // namespace librettos::test
