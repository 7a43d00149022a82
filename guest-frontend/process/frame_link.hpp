// SPDX-License-Identifier: BSD-2-Clause
// Moves frames between a stack in this process and the rings, or a VF: a receive thread, and send() for whoever sends.
//
// Theory of operation
//
// A turn of the receive thread is a burst of frames of the VF, one of the ring, delivered in place, then what waits for
// room. When nothing came it looks on for a while that adapts itself (librettos/poll_window.h), then sleeps in poll(2)
// on the queue pair's event, which stands for both directions, and on the VF's, if lvif_rx_sleep() and Vf::arm() agree.
// What the stack sends from within a burst (acknowledgements, mostly) is published at its end: one notification, or one
// write to a register of the VF. A stack that knows when it will have sent all that it is about to send has the same by
// Leaves::when_told.
// Frames of the VF that wait to be let in are gathered once a millisecond, without an event for each: who lets them in
// needs the processor. That is the receive thread itself, woken by the queue pair's event, when the server marks the
// ring; or the control thread.
//
// send() never blocks. A full ring refuses the frame and makes the server say when there is room: the receive thread
// then wakes who waits in wait_for_room() and calls Stack::room(). A dead server looks like a full ring. A VF says
// nothing: while frames wait for its room, or it took only a part of a burst, it is asked every millisecond. Frames
// that have no way for the moment, while a switch lets older ones arrive, are held; so are those that come after them,
// until all held ones have gone.
//
// Two mutexes: rx_ is held by the receive thread for a turn, tx_ for one frame. rx_ comes first; the stack's own locks
// may come between the two, so that nobody but the two threads of the device ever takes rx_. quiesce() takes one after
// the other and disconnects; the thread may then still sleep on an event that is being freed, but will not touch it.
// What is known of the rings does not concern the VF: that is read, and takes frames, while they are disconnected.
#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "guest-frontend/linux/descriptor.hpp"
#include "guest-frontend/linux/event_source.hpp"
#include "guest-frontend/linux/look_out.hpp"
#include "guest-frontend/process/held_frames.hpp"
#include "guest-frontend/process/stack.hpp"
#include "guest-frontend/process/vf.hpp"

namespace librettos::guest {

class FrameLink final : public SwitchedFrames {
  public:
    enum class Leaves { at_once, when_told };

    // `attention` (an eventfd) is raised when the server broke a ring, and when frames of the VF wait to be let in.
    // poll_us: how long it looks on at most. vf: null where there is none; outlives this.
    FrameLink(lvif_device* device, EventSource& events, Stack& stack, int attention, std::uint32_t poll_us,
              Vf* vf = nullptr);
    ~FrameLink() override;
    FrameLink(FrameLink const&) = delete;
    FrameLink& operator=(FrameLink const&) = delete;

    // The queue pair is live: begin. Control thread.
    void connect();
    // Afterwards nobody makes a call to the library until connect(). Control thread.
    void quiesce() noexcept;

    // One frame of `length` bytes that fill(std::uint8_t*) writes. Any thread. LVIF_EAGAIN: no room; LVIF_ENOTCONN;
    // LVIF_EMSGSIZE and LVIF_EINVAL as in lvif_tx_reserve().
    template <typename Fill>
    int send(std::uint32_t length, Fill&& fill, Leaves leaves = Leaves::at_once) {
        std::lock_guard const lock(tx_);
        std::uint8_t* frame = nullptr;
        int const result = reserve(length, frame);
        if (result != 0) {
            return result;
        }
        fill(frame);
        return commit(length, leaves);
    }
    // What was sent to leave when told leaves. Any thread.
    void flush();
    // After LVIF_EAGAIN. False: the time is over, or the device is not connected any more.
    bool wait_for_room(std::chrono::milliseconds longest);
    // Any thread.
    bool sends_by_vf() const;

    // ---- the switch. Control thread.
    void use_vf() override;
    void let_in() override;
    void let_in_after_rings() override;
    bool lets_in() override { return vf_let_in_.load(std::memory_order_relaxed); }
    void take_last(std::chrono::milliseconds quiet, std::chrono::milliseconds longest) override;
    void leave_vf() override;
    void send_by(SendBy way) override;
    bool vf_sent_all() override;
    std::size_t take_back() override;
    bool vf_works() override;
    bool server_took_all() override;
    bool server_alive() override;
    // Frames of the VF wait to be let in.
    bool holds_frames_of_vf() const { return vf_waits_.load(std::memory_order_relaxed); }

  private:
    using Clock = SwitchOrder::Clock;

    std::unique_lock<std::mutex> between_turns();
    void wake();
    void run();
    enum class Next { again, look_on, sleep };
    Next turn();
    bool may_sleep();
    bool take_from_vf();
    bool watches_vf() const;
    bool take_from_ring();
    template <typename Peek, typename Release>
    int deliver(Peek&& peek, Release&& release, int& done);
    void give_room();
    void disconnect_on(int error);

    int reserve(std::uint32_t length, std::uint8_t*& frame);
    int reserve_on_way(std::uint32_t length, std::uint8_t*& frame);
    int commit_to(SendBy way, std::uint32_t length);
    int reserve_in_ring(std::uint32_t length, std::uint8_t*& frame);
    int reserve_in_vf(std::uint32_t length, std::uint8_t*& frame);
    int hold(std::uint32_t length, std::uint8_t*& frame);
    int commit(std::uint32_t length, Leaves leaves);
    int send_one(std::vector<std::uint8_t> const& frame);
    void send_held();
    bool has_room(std::uint32_t length);
    bool publish();
    void publish_and_wait_on();
    void ask_vf_for_room();
    void lose_rings();

    lvif_device* const device_;
    EventSource& events_;
    Stack& stack_;
    int const attention_;
    Vf* const vf_;
    Descriptor wake_;
    std::atomic<bool> stop_ = false;

    std::atomic<int> callers_ = 0;  // that wait for rx_: a busy thread would hardly ever leave it to them
    std::mutex rx_;                 // guards what follows
    bool rx_connected_ = false;
    bool reads_vf_ = false;
    bool let_in_after_ring_ = false;  // the VF, once it has been found empty
    bool vf_armed_ = false;
    bool more_to_gather_ = false;  // of frames that wait
    bool moved_ = false;           // frames came in this turn
    LookOut look_out_;
    bool vf_first_ = true;          // what it has is older than what the ring has
    Clock::time_point vf_frame_{};  // when one came
    Clock::time_point vf_empty_{};  // when none was there
    std::uint32_t event_port_ = 0;
    int event_fd_ = -1;

    mutable std::mutex tx_;  // guards what follows
    bool tx_connected_ = false;
    bool writes_vf_ = false;
    SendBy send_by_ = SendBy::rings;
    SendBy reserved_in_ = SendBy::rings;
    HeldFrames held_;
    std::uint32_t wanted_ = 0;  // length of a frame that was refused; 0: none since there was room
    std::condition_variable room_;

    std::atomic<bool> vf_waits_ = false;         // gathered, and not let in
    std::atomic<bool> wants_room_ = false;       // somebody, or frames that are held: a look takes tx_ only then
    std::atomic<bool> ask_vf_for_room_ = false;  // somebody waits for room in the VF, or frames in it do
    std::atomic<bool> vf_let_in_ = false;        // changed with rx_
    std::atomic<std::thread::id> bursting_;      // the receive thread's, while it publishes later what it sends

    std::thread thread_;  // last: runs while all else is there
};

}  // namespace librettos::guest
