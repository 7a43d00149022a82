// SPDX-License-Identifier: BSD-2-Clause
// Moves frames between a TAP interface and the rings, or a VF: one thread per queue pair.
//
// Theory of operation
//
// A turn is one burst each way. Ring to TAP first: a write runs the kernel's TCP right there, and what it answers is
// read in the second half of the same turn and published with it: one notification a burst each way. Frames are written
// from, and read into, ring memory; there is no other copy.
//
// When a turn found nothing, the thread looks on for a while that adapts itself (librettos/poll_window.h), then sleeps
// in poll(2) on the TAP queue and the queue pair's event, if lvif_rx_sleep() agrees. When the tx ring is full it stops
// watching the TAP: frames wait, and at last are dropped, in the kernel's queue of that interface; lvif_tx_wait() makes
// the server say when there is room. A dead server looks like a full ring and is waited for in the same way.
//
// A turn runs under the thread's mutex, and the thread forgets all about the connection between turns. So quiesce() is:
// take the mutex, disconnect, wake the thread; it may still sleep on an event that is being freed, but will not touch
// it.
//
// A VF (SwitchOrder decides about it) is one more thing to read from, before the ring, and another place to write to.
// It is read once the rings of all queue pairs have been found marked by the server, then empty.
// What is sent changes its way between two frames: each thread is told, under its mutex, to leave frames in the TAP,
// then, when what went the old way has arrived, to go on by the new one.
#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/event_source.hpp"
#include "guest-frontend/linux/look_out.hpp"
#include "guest-frontend/linux/lvif.hpp"
#include "guest-frontend/linux/tap_device.hpp"
#include "guest-frontend/linux/vf_lane.hpp"
#include "guest-frontend/process/switch_order.hpp"

namespace librettos::guest {

// What was lost between TAP and rings, and why. Written by one data thread each, read by any.
struct PumpDrops {
    std::uint64_t rx_bad_offload;  // off-load fields of the server that do not fit the frame
    std::uint64_t rx_refused;      // by the kernel: interface down, no memory
    std::uint64_t tx_bad_frame;    // of the kernel: too long, or an off-load that was not agreed
};

class QueuePump {
  public:
    // tap_fd: non-blocking, with virtio-net headers. `attention` (an eventfd) is raised when the server broke a ring.
    // poll_us: how long it looks on at most.
    QueuePump(lvif_device* device, EventSource& events, std::uint16_t queue, int tap_fd, int attention,
              std::uint32_t poll_us);
    ~QueuePump();
    QueuePump(QueuePump const&) = delete;
    QueuePump& operator=(QueuePump const&) = delete;

    // The queue pair is live: begin. Control thread.
    void connect();
    // Afterwards the thread makes no call to the library until connect(). Control thread.
    void quiesce() noexcept;
    PumpDrops drops() const;

    // Each holds from the next turn on, and no turn is under way on return. Control thread.
    void use_vf(VfLane* vf);  // receives from it; null: no longer, and sends nothing through it, nor waits for it
    void send_by(SendBy way);
    // Once the ring is found empty, so that the TAP has all that is in it now, the VF is told (VfLane::ring_is_in);
    // also without this, when the server has marked the ring.
    void let_in_after_ring();
    int wake_fd() const { return wake_.get(); }

  private:
    enum class Next { again, look_on, sleep, disconnected };

    std::unique_lock<std::mutex> between_turns();
    void run();
    Next turn();
    bool vf_to_tap();
    bool ring_to_tap();
    bool send();
    bool tap_to_ring();
    bool tap_to_vf();
    bool rest_to_ring();
    void disconnect_on(int error);
    void watch(std::array<pollfd, 4>& watched);
    bool watches_vf();

    lvif_device* const device_;
    EventSource& events_;
    std::uint16_t const queue_;
    int const tap_fd_;
    int const attention_;
    Descriptor wake_;
    std::atomic<bool> stop_ = false;

    std::atomic<int> callers_ = 0;  // that wait for turn_: a busy thread would hardly ever leave it to them
    std::mutex turn_;               // held by the data thread while in a turn; guards what follows
    bool connected_ = false;
    bool tx_full_ = false;
    bool vf_full_ = false;
    bool moved_ = false;  // frames, in this turn
    LookOut look_out_;
    VfLane* vf_ = nullptr;
    bool let_in_after_ring_ = false;
    bool watches_vf_ = false;  // while it sleeps
    SendBy send_by_ = SendBy::rings;
    std::vector<std::uint8_t> buffer_;  // header and frame for the VF
    std::size_t rest_bytes_ = 0;        // of what is in the buffer, and not yet sent
    std::uint32_t event_port_ = 0;
    int event_fd_ = -1;

    std::atomic<std::uint64_t> rx_bad_offload_ = 0;
    std::atomic<std::uint64_t> rx_refused_ = 0;
    std::atomic<std::uint64_t> tx_bad_frame_ = 0;
    std::thread thread_;  // last: runs while all else is there
};

// All queue pairs of a device.
class FramePump {
  public:
    FramePump(lvif_device* device, EventSource& events, TapDevice const& tap, std::uint32_t poll_us);

    void connect(std::uint16_t queues);
    void quiesce() noexcept;
    // Readable when lvif_poll() should look at a broken ring.
    int attention_fd() const { return attention_.get(); }
    void clear_attention();
    PumpDrops drops() const;

    // Of all queue pairs, as above.
    void use_vf(VfLane* vf);
    void send_by(SendBy way);
    void let_in_after_rings();
    // An eventfd that wakes the thread that receives from a VF.
    int vf_wake_fd() const { return queues_.front()->wake_fd(); }
    std::uint16_t connected_queues() const { return connected_; }

  private:
    Descriptor attention_;
    std::vector<std::unique_ptr<QueuePump>> queues_;
    std::uint16_t connected_ = 0;  // the first ones
};

}  // namespace librettos::guest
