// SPDX-License-Identifier: BSD-2-Clause
// Moves frames between a stack in this process and the rings: a receive thread, and send() for whoever sends.
//
// Theory of operation
//
// A turn of the receive thread is a burst of frames delivered in place, then what waits for room. It sleeps in poll(2)
// on the queue pair's event, which stands for both directions, when lvif_rx_sleep() agrees. What the stack sends from
// within a burst (acknowledgements, mostly) is published at its end: one notification.
//
// send() never blocks. A full ring refuses the frame and makes the server say when there is room: the receive thread
// then wakes who waits in wait_for_room() and calls Stack::room(). A dead server looks like a full ring.
//
// Two mutexes: rx_ is held by the receive thread for a turn, tx_ for one frame. rx_ comes first; the stack's own locks
// may come between the two, so that nobody but the two threads of the device ever takes rx_. quiesce() takes one after
// the other and disconnects; the thread may then still sleep on an event that is being freed, but will not touch it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/event_source.hpp"
#include "guest-frontend/process/stack.hpp"

namespace librettos::guest {

class FrameLink {
  public:
    // `attention` (an eventfd) is raised when the server broke a ring.
    FrameLink(lvif_device* device, EventSource& events, Stack& stack, int attention);
    ~FrameLink();
    FrameLink(FrameLink const&) = delete;
    FrameLink& operator=(FrameLink const&) = delete;

    // The queue pair is live: begin. Control thread.
    void connect();
    // Afterwards nobody makes a call to the library until connect(). Control thread.
    void quiesce() noexcept;

    // One frame of `length` bytes that fill(std::uint8_t*) writes. Any thread. LVIF_EAGAIN: no room; LVIF_ENOTCONN;
    // LVIF_EMSGSIZE and LVIF_EINVAL as in lvif_tx_reserve().
    template <typename Fill>
    int send(std::uint32_t length, Fill&& fill) {
        std::lock_guard const lock(tx_);
        std::uint8_t* frame = nullptr;
        int const result = reserve(length, frame);
        if (result == 0) {
            fill(frame);
            commit(length);
        }
        return result;
    }
    // After LVIF_EAGAIN. False: the time is over, or the device is not connected any more.
    bool wait_for_room(std::chrono::milliseconds longest);

  private:
    enum class Next { again, sleep, disconnected };

    void run();
    Next turn();
    bool deliver_burst();
    void give_room();
    void disconnect_on(int error);
    int reserve(std::uint32_t length, std::uint8_t*& frame);
    void commit(std::uint32_t length);

    lvif_device* const device_;
    EventSource& events_;
    Stack& stack_;
    int const attention_;
    Descriptor wake_;
    std::atomic<bool> stop_ = false;

    std::mutex rx_;  // guards what follows
    bool rx_connected_ = false;
    std::uint32_t event_port_ = 0;
    int event_fd_ = -1;

    std::mutex tx_;  // guards what follows
    bool tx_connected_ = false;
    std::uint32_t wanted_ = 0;  // length of a frame that was refused; 0: none since there was room
    std::condition_variable room_;

    std::atomic<std::thread::id> bursting_;  // the receive thread's, while it publishes later what it sends

    std::thread thread_;  // last: runs while all else is there
};

}  // namespace librettos::guest
