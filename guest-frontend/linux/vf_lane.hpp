// SPDX-License-Identifier: BSD-2-Clause
// Frames between the TAP interface and a VF, through a packet socket: off-loads pass as they are, since both sides are
// the kernel's.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"

namespace librettos::guest {

// What was lost between TAP and VF.
struct VfLosses {
    std::uint64_t rx_overrun = 0;  // the socket was full
    std::uint64_t rx_refused = 0;  // by the kernel behind the TAP, or of another VLAN
    std::uint64_t tx_refused = 0;  // by the VF
};

// Shared by all queue pairs, and used by any thread.
class VfLane {
  public:
    enum class Sent { done, later, vf_gone };

    // socket: as of VfInterface. Received frames are written to tap_fd. wake: an eventfd of the thread that does it.
    VfLane(Descriptor socket, int tap_fd, int wake, std::uint16_t queues);

    int fd() const { return socket_.get(); }

    // Until then what was received waits.
    void let_in();
    // The TAP has all that came for the guest by this queue pair's ring before its VF received; to be let in when that
    // holds for all of them.
    void ring_is_in(std::uint16_t queue);
    bool lets_in() const { return let_in_.load(std::memory_order_acquire); }
    // One burst; whether there may be more. In order, also where several threads do it.
    bool to_tap();

    // A frame after its virtio-net header. later: wait for fd() to be writable, and send it again. vf_gone: it is still
    // the caller's.
    Sent send(std::span<std::uint8_t const> header_and_frame);
    // What was sent has left the VF.
    bool sent_all() const;

    // The VF is gone or down, as far as was seen here.
    bool failed() const { return failed_.load(std::memory_order_relaxed); }
    VfLosses losses();

  private:
    bool receive_one(std::vector<std::uint8_t>& buffer, std::size_t& bytes, bool& tagged);

    Descriptor socket_;
    int const tap_fd_;
    int const wake_;
    std::atomic<std::uint32_t> rings_awaited_;  // a bit each
    std::atomic<bool> let_in_ = false;
    std::atomic<bool> failed_ = false;
    std::atomic<std::uint64_t> tx_refused_ = 0;
    std::mutex receiving_;  // guards what follows
    std::vector<std::uint8_t> received_;
    VfLosses losses_;
};

}  // namespace librettos::guest
