// SPDX-License-Identifier: BSD-2-Clause
// The data threads, as the control thread sees them.
//
// Every method is for the control thread. It and the data threads meet only in two bounded queues per thread, of small
// structs: commands there, acknowledgements back. A guest's life: control maps its rings and calls add_guest; the
// threads serve it; control calls remove_guest; every thread lets it go and acknowledges; `removed` appears in
// take_events() and only then control frees mappings and channels.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/engine/boot.hpp"
#include "daemon/engine/datapath/directory.hpp"
#include "drivers/hypervisor/hypervisor.hpp"

namespace librettos {

// One queue pair, mapped and checked by control. Memory and channel outlive the guest's stay in the data plane.
struct QueuePair {
    std::span<std::byte> tx_ring;  // header page and data; the guest produces
    std::span<std::byte> rx_ring;  // the server produces
    std::uint32_t capacity = 0;    // of each, as checked by control (not read again from the ring)
    EventChannel* event = nullptr;
};

// 0: no limit. Applied to what the guest sends; a guest over its rate waits in its ring, nothing is dropped.
struct RateLimit {
    std::uint64_t frames_per_s = 0;
    std::uint64_t bits_per_s = 0;
};

struct GuestAttachment {
    GuestIdentity identity;
    std::string name;            // for the statistics file
    std::uint32_t features = 0;  // LVIF_F_*, agreed
    std::vector<QueuePair> queues;
    RateLimit limit;
};

struct DataEvent {
    enum class Kind : std::uint8_t { added, removed, broken, drained } kind;
    Slot slot;
    char const* reason = "";   // broken: what the guest did, a detach reason (a literal); it is not served any more
    std::uint64_t frames = 0;  // drained: put into the guest's rings meanwhile
};

// Through a guest's rings, since it was attached for the first time.
struct RingTraffic {
    std::uint64_t to_frames = 0, to_bytes = 0, from_frames = 0, from_bytes = 0;
};

class DataPlane {
  public:
    // Starts boot.data_threads threads. Throws std::system_error.
    DataPlane(EngineBoot const& boot, NetworkIdentity const& network, lvif_portmap const& portmap);
    ~DataPlane();  // stops the threads; guests still attached are let go

    // Returns the guest's slot. Throws std::system_error: ENOSPC when all slots are taken, EINVAL for impossible ring
    // positions, EPERM when engines crashed again and again while they served this guest.
    Slot add_guest(GuestAttachment const& guest);
    void remove_guest(Slot slot);
    void set_limit(Slot slot, RateLimit limit);
    void set_network(NetworkIdentity const& network);
    // The wire reaches the guest by a VF, or no longer: Directory::set_direct.
    void set_direct(Slot slot, bool direct);
    // `drained` appears in take_events() once everything that the port had received before is in the guests' rings, for
    // them to see. Before that the guest's rings are marked (librettos/frame_ring.h) with the serial of its switch; 0:
    // they are not. Called again before that: once, for the last call.
    void drain(Slot slot, std::uint32_t mark);
    // The holder was asked to steer the guest's frames to `vf` or from there; said at once. Until the NIC has obeyed
    // (EngineBoot::steered) the port is looked at often, since what comes next may wait for it. Then the rings are
    // marked as by drain(), unless `mark` is 0 or frames may be on their way from one data thread to another. Over with
    // drain(), when the guest is no longer direct, or after 100 ms.
    void watch_steering(Slot slot, std::uint16_t vf, std::uint32_t request, std::uint32_t mark);
    RingTraffic traffic(Slot slot) const;
    // Once all guests of an earlier engine have been added again: forgets the statistics of those that did not come
    // back.
    void release_unclaimed_slots();

    int event_fd() const;  // readable when take_events() has something
    std::vector<DataEvent> take_events();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace librettos
